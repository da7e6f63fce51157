"""What annotation tools draw on an image, as marks: areas (polygons, boxes, masks), lines and points of objects.

Positions are x and y in pixels from the top left corner of the image, so that the middle of the first pixel is at 0.5.
Where areas are drawn, and nothing is drawn as background, all outside of them is background: such tools ask for the
whole object. Points and lines leave the rest of the image unannotated.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from data_pipelines.datasets.coco import rasterise
from data_pipelines.datasets.coco_checks import check_segmentation
from guided_jax.episode import UNKNOWN, Click
from guided_jax.inputs import MOST_LABELS, describe
from guided_jax.session.edits import Marks
from guided_jax.session.marks import LabelMap, Point, Scribble

Size = tuple[int, int]
"""Height and width in pixels."""

Number = int | float

XY = tuple[Number, Number]

BACKGROUND = ("background", "bg", "negative")
"""Names of what is no object, whatever their case and the underscores around them."""
IGNORED = "__ignore__"
"""labelme's name of what stays unannotated."""

LINE_WIDTH = 3
"""Pixels, of a line that a tool draws without a width."""
CORNERS = 72
"""Of the polygon that stands for an ellipse."""


class Area(NamedTuple):
    """Pixels of an object; `draw` gives them for the size of the image, and raises ValueError where it cannot."""

    label: str
    draw: Callable[[Size], Bool[np.ndarray, "h w"]]


class Line(NamedTuple):
    """A polyline on an object."""

    label: str
    points: Sequence[XY]


class Dots(NamedTuple):
    """Points on an object."""

    label: str
    points: Sequence[XY]


Shape = Area | Line | Dots


class Marked(NamedTuple):
    """The marks on an image, and the names of their labels from 1 on; "" where one has none."""

    objects: dict[int, str]
    marks: Marks


def polygons(label: str, rings: Sequence[Sequence[XY]], at: str) -> Area:
    """The area of one or several polygons together.

    Args:
        label: name of the object.
        rings: the corners of each.
        at: they come from, for messages.
    """
    segmentation = [[float(part) for point in ring for part in point] for ring in rings]

    def draw(size: Size) -> Bool[np.ndarray, "h w"]:
        if problem := check_segmentation(segmentation, *size):
            raise ValueError(f"{at}: {problem}")
        return rasterise(segmentation, *size)

    return Area(label, draw)


def box(label: str, first: XY, second: XY, at: str, turned: Number = 0) -> Area:
    """The area of a box between two opposite corners, turned about its middle by degrees clockwise."""
    (left, top), (right, bottom) = first, second
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return polygons(label, [_turn(corners, ((left + right) / 2, (top + bottom) / 2), turned)], at)


def ellipse(label: str, middle: XY, radii: XY, at: str, turned: Number = 0) -> Area:
    """The area of an ellipse, as a polygon, turned about its middle by degrees clockwise."""
    angles = np.arange(CORNERS) * 2 * math.pi / CORNERS
    ring = [(middle[0] + radii[0] * math.cos(angle), middle[1] + radii[1] * math.sin(angle)) for angle in angles]
    return polygons(label, [_turn(ring, middle, turned)], at)


def patch(label: str, corner: Point, mask: Bool[np.ndarray, "a b"], at: str) -> Area:
    """The area of a mask whose top left pixel is at a row and column of the image, where it must lie as a whole."""
    (row, column), (high, wide) = corner, mask.shape

    def draw(size: Size) -> Bool[np.ndarray, "h w"]:
        if min(corner) < 0 or row + high > size[0] or column + wide > size[1]:
            raise ValueError(
                f"{at}: a mask of {high}x{wide} pixels (height x width) at row {row}, column {column} does not lie in "
                f"the image of {size[0]}x{size[1]}"
            )
        whole = np.zeros(size, bool)
        whole[row : row + high, column : column + wide] = mask
        return whole

    return Area(label, draw)


def read_point(value: Any, at: str) -> XY:
    """A point [x, y] of a file.

    Raises:
        ValueError: it is no pair of finite numbers.
    """
    sound = isinstance(value, list | tuple) and len(value) == 2 and all(type(part) in (int, float) for part in value)
    if not sound or not all(map(math.isfinite, value)):
        raise ValueError(f"{at} has the point {describe(value)}; a point must be two numbers, x and y")
    return value[0], value[1]


def mark_shapes(shapes: Sequence[Shape], size: Size, at: str) -> Marked:
    """The marks that shapes make, in their order; objects are numbered in the order of their first shape.

    Args:
        shapes: on an image.
        size: of the image.
        at: they come from, for messages.

    Raises:
        ValueError: a shape has no label or does not lie in the image, or there are too many objects.
    """
    for shape in shapes:
        if not shape.label.strip():
            raise ValueError(f"{at}: a shape has no label; name the object that it is on, or '{BACKGROUND[0]}'")
    kept = [shape for shape in shapes if shape.label != IGNORED]
    names = list(dict.fromkeys(shape.label for shape in kept if not _is_background(shape)))
    if len(names) >= MOST_LABELS:
        raise ValueError(f"{at}: has shapes of {len(names)} objects; at most {MOST_LABELS - 1} can be told apart")
    labels = {name: label for label, name in enumerate(names, 1)}
    marks = [_mark(shape, labels.get(shape.label, 0), size, at) for shape in kept]
    drawn = [isinstance(shape, Area) for shape in kept]
    if any(drawn) and not any(map(_is_background, kept)):
        ground = np.zeros(size, np.uint8)
        for shape in shapes:
            if shape.label == IGNORED and isinstance(shape, Area):
                ground[shape.draw(size)] = UNKNOWN
        marks.insert(0, [LabelMap.of(ground)])
    return Marked({label: name for name, label in labels.items()}, tuple(each for some in marks for each in some))


def _is_background(shape: Shape) -> bool:
    return shape.label.strip("_ ").lower() in BACKGROUND


def _mark(shape: Shape, label: int, size: Size, at: str) -> list[Click | Scribble | LabelMap]:
    match shape:
        case Area():
            return [LabelMap.of(np.where(shape.draw(size), label, UNKNOWN).astype(np.uint8))]
        case Line():
            return [Scribble(tuple(_pixel(point, size, at) for point in shape.points), label, LINE_WIDTH)]
        case Dots():
            return [Click(*_pixel(point, size, at), label) for point in shape.points]


def _pixel(point: XY, size: Size, at: str) -> Point:
    """The pixel that holds a point; the right and the lower edge of the image belong to its last pixels."""
    x, y = point
    height, width = size
    if not (0 <= x <= width and 0 <= y <= height):
        raise ValueError(
            f"{at}: the point x {x:g}, y {y:g} lies outside the image of {width} x {height} pixels (width x height)"
        )
    return min(int(y), height - 1), min(int(x), width - 1)


def _turn(points: Sequence[XY], middle: XY, degrees: Number) -> list[XY]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    away = [(x - middle[0], y - middle[1]) for x, y in points]
    return [(middle[0] + cosine * x - sine * y, middle[1] + sine * x + cosine * y) for x, y in away]
