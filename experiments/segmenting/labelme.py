"""Annotation files of labelme (https://github.com/wkentaro/labelme): one JSON an image, its shapes with their labels.

Read are its shapes `polygon`, `rectangle`, `circle`, `mask`, `linestrip`, `line`, `point` and `points`.
"""

import base64
import binascii
import io
import math
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image, UnidentifiedImageError

from experiments.segmenting.shapes import XY, Area, Dots, Line, Shape, Size, box, ellipse, patch, polygons, read_point
from guided_jax.inputs import describe

POINTS = {
    "polygon": (3, None),
    "rectangle": (2, 2),
    "circle": (2, 2),
    "mask": (2, 2),
    "linestrip": (2, None),
    "line": (2, 2),
    "point": (1, 1),
    "points": (1, None),
}
"""The least and the greatest number of points of each shape."""


def read_labelme(values: dict[str, Any], where: str) -> tuple[str, Size | None, list[Shape]]:
    """What a file holds: the path of its image relative to it, the image's size, if it says so, and its shapes.

    Args:
        values: as `json.loads` gives them, with the field `shapes`.
        where: they come from, for messages.

    Raises:
        ValueError: something in it is not sound; where, in one line.
    """
    name, shapes = values.get("imagePath"), values["shapes"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: imagePath is {describe(name)}; it must be the path of the image")
    if not isinstance(shapes, list):
        raise ValueError(f"{where}: shapes is {describe(shapes)}; it must be a list")
    size = values.get("imageHeight"), values.get("imageWidth")
    known = all(type(side) is int and side > 0 for side in size)
    read = [_read_shape(shape, f"{where}: shapes[{number}]") for number, shape in enumerate(shapes)]
    return name.replace("\\", "/"), size if known else None, read


def _read_shape(shape: Any, at: str) -> Shape:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"].strip():
        raise ValueError(f"{at}: must be a group of fields with a label, which is a text and not empty")
    label, kind = shape["label"].strip(), shape.get("shape_type") or "polygon"
    if kind not in POINTS:
        raise ValueError(f"{at}: shape_type is {describe(kind)}; read are {', '.join(POINTS)}")
    least, most = POINTS[kind]
    points = shape.get("points")
    if not isinstance(points, list) or len(points) < least or (most is not None and len(points) > most):
        number = f"{least}" if most == least else f"{least} or more"
        raise ValueError(f"{at}: points must be a list of {number} for a {kind}")
    points = [read_point(point, at) for point in points]
    match kind:
        case "polygon":
            return polygons(label, [points], at)
        case "rectangle":
            return box(label, *points, at)
        case "circle":
            return ellipse(label, points[0], (math.dist(*points),) * 2, at)
        case "mask":
            return _read_mask(label, points, shape.get("mask"), at)
        case "linestrip" | "line":
            return Line(label, points)
        case _:
            return Dots(label, points)


def _read_mask(label: str, points: list[XY], encoded: Any, at: str) -> Area:
    """A mask lies between two pixels, both of which it covers."""
    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in points)
    mask = _decode(encoded, at)
    if mask.shape != (bottom - top + 1, right - left + 1):
        raise ValueError(f"{at}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels, which its points do not span")
    return patch(label, (top, left), mask, at)


def _decode(encoded: Any, at: str) -> Bool[np.ndarray, "h w"]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            return np.array(image.convert("L")) > 0
    except (TypeError, binascii.Error, UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise ValueError(f"{at}: mask must be an image in base64, as labelme writes it") from None
