"""Annotation files of CVAT (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/): its XML for images.

Read are its shapes `polygon`, `box`, `ellipse`, `mask`, `polyline` and `points`; tags are passed over.
"""

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from data_pipelines.datasets.reading.images import read_bytes
from experiments.segmenting.shapes import XY, Area, Dots, Line, Shape, Size, box, ellipse, patch, polygons

READ = ("polygon", "box", "ellipse", "mask", "polyline", "points")
PASSED_OVER = ("tag",)


class CvatImage(NamedTuple):
    """An image of a file: its name there, its size, and its shapes from the lowest to the uppermost."""

    name: str
    size: Size
    shapes: list[Shape]


def read_cvat(path: Path) -> list[CvatImage]:
    """Reads a file.

    Raises:
        DatasetError: it cannot be read.
        ValueError: it is no XML of CVAT for images, or something in it is not sound; where, in one line.
    """
    try:
        root = ElementTree.fromstring(read_bytes(path))
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: is not XML: {error}") from None
    if root.tag != "annotations":
        raise ValueError(f"{path}: is no XML of CVAT: its root is {root.tag!r}, not 'annotations'")
    if root.find("track") is not None:
        raise ValueError(f"{path}: is CVAT's XML for videos; export the task as 'CVAT for images'")
    return [_read_image(image, f"{path}: image[{number}]") for number, image in enumerate(root.findall("image"))]


def _read_image(image: Element, at: str) -> CvatImage:
    name = image.get("name") or ""
    if not name:
        raise ValueError(f"{at}: has no name")
    size = tuple(_whole(image, side, f"{at} ({name})", least=1) for side in ("height", "width"))
    drawn = [(number, shape) for number, shape in enumerate(image) if shape.tag not in PASSED_OVER]
    drawn.sort(key=lambda pair: _whole(pair[1], "z_order", f"{at} ({name})", default=0, least=None))
    shapes = [_read_shape(shape, f"{at} ({name}): {shape.tag}[{number}]") for number, shape in drawn]
    return CvatImage(name.replace("\\", "/"), size, shapes)


def _read_shape(shape: Element, at: str) -> Shape:
    if shape.tag not in READ:
        raise ValueError(f"{at}: is a shape that is not read; read are {', '.join(READ)}")
    label = (shape.get("label") or "").strip()
    if not label:
        raise ValueError(f"{at}: has no label")

    def numbers(*names: str) -> list[float]:
        return [_number(shape.get(name), f"{at}: {name}") for name in names]

    turned = _number(shape.get("rotation", "0"), f"{at}: rotation")
    match shape.tag:
        case "polygon":
            return polygons(label, [_points(shape, at)], at)
        case "box":
            left, top, right, bottom = numbers("xtl", "ytl", "xbr", "ybr")
            return box(label, (left, top), (right, bottom), at, turned)
        case "ellipse":
            x, y, across, down = numbers("cx", "cy", "rx", "ry")
            return ellipse(label, (x, y), (across, down), at, turned)
        case "mask":
            return _read_mask(label, shape, at)
        case "polyline":
            return Line(label, _points(shape, at))
        case _:
            return Dots(label, _points(shape, at))


def _read_mask(label: str, shape: Element, at: str) -> Area:
    """Run lengths row by row within a box, in turn without the object and with it, beginning with those without."""
    left, top, width, height = (
        _whole(shape, name, at, least=least) for name, least in (("left", 0), ("top", 0), ("width", 1), ("height", 1))
    )
    texts = [text.strip() for text in (shape.get("rle") or "").split(",")]
    counts = [int(text) for text in texts if text.isascii() and text.isdigit()]
    if len(counts) < len(texts) or sum(counts) != width * height:
        raise ValueError(f"{at}: rle must be whole numbers that sum to {width} x {height} = {width * height} pixels")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return patch(label, (top, left), flat.reshape(height, width), at)


def _points(shape: Element, at: str) -> list[XY]:
    pairs = [text.split(",") for text in (shape.get("points") or "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{at}: points must be as x,y;x,y")
    return [(_number(x, f"{at}: points"), _number(y, f"{at}: points")) for x, y in pairs]


def _number(text: str | None, at: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{at} is {text!r}; it must be a number")
    return value


def _whole(element: Element, name: str, at: str, *, least: int | None, default: int | None = None) -> int:
    text = element.get(name)
    if text is None and default is not None:
        return default
    value = _number(text, f"{at}: {name}")
    if value != int(value) or (least is not None and value < least):
        raise ValueError(
            f"{at}: {name} is {text!r}; it must be a whole number" + (f" from {least} on" if least else "")
        )
    return int(value)
