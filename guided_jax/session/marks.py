"""Marks: what a person draws on an image, and the annotation that marks make together.

A mark is a `Click`, a `Scribble` or a `LabelMap`. Later marks lie over earlier ones.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from guided_jax.episode import UNKNOWN, Click

Point = tuple[int, int]
"""Row and column of a pixel."""


class Scribble(NamedTuple):
    """A polyline of a width: it marks the pixels whose centres are at most half the width from it.

    Attributes:
        points: row and column of its corners in pixels, in their order; a single one makes a disc.
        label: 0 is the negative; 255 takes the annotation of its pixels away.
        width: in pixels, 1 or more.
    """

    points: tuple[Point, ...]
    label: int
    width: int = 1

    @property
    def erases(self) -> bool:
        """Whether it takes annotation away."""
        return self.label == UNKNOWN


class LabelMap(NamedTuple):
    """A label for every pixel of an image, 255 where it marks nothing; kept as runs, since it lies in the history.

    Attributes:
        size: height and width in pixels.
        starts: where each run of equal labels begins, row by row; the bytes of int32.
        values: the label of each run, as bytes.
    """

    size: tuple[int, int]
    starts: bytes
    values: bytes

    @classmethod
    def of(cls, labels: UInt8[np.ndarray, "h w"]) -> "LabelMap":
        """The mark of a label map."""
        flat = labels.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        return cls(labels.shape, starts.astype(np.int32).tobytes(), flat[starts].tobytes())

    def labels(self) -> UInt8[np.ndarray, "h w"]:
        """The label map."""
        lengths = np.diff(np.frombuffer(self.starts, np.int32), append=self.size[0] * self.size[1])
        return np.repeat(np.frombuffer(self.values, np.uint8), lengths).reshape(self.size)


Mark = Click | Scribble | LabelMap


def paint(marks: Sequence[Mark], size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """The annotation that marks make, in their order: the last one on a pixel counts; 255 where there is none.

    Args:
        marks: on an image, all of them inside it.
        size: height and width of the image in pixels.
    """
    annotation = np.full(size, UNKNOWN, np.uint8)
    for mark in marks:
        match mark:
            case Click():
                annotation[mark.row, mark.column] = mark.label
            case Scribble():
                _draw(annotation, mark)
            case LabelMap():
                labels = mark.labels()
                np.copyto(annotation, labels, where=labels != UNKNOWN)
    return annotation


def labels_of(mark: Mark) -> set[int]:
    """The labels that a mark gives to pixels."""
    return {*(mark.values if isinstance(mark, LabelMap) else [mark.label])} - {UNKNOWN}


def relabel(mark: Mark, labels: Mapping[int, int]) -> Mark:
    """The mark with other labels.

    Args:
        mark: any.
        labels: from the old label to the new one; a label that is not in it stays.
    """
    if not isinstance(mark, LabelMap):
        return mark._replace(label=labels.get(mark.label, mark.label))
    table = np.arange(UNKNOWN + 1, dtype=np.uint8)
    table[list(labels)] = list(labels.values())
    return LabelMap.of(table[mark.labels()])


def covers(scribble: Scribble, point: Point) -> bool:
    """Whether a scribble marks a pixel."""
    row, column = np.array([point[0]]), np.array([point[1]])
    return any(bool(_near(start, end, scribble.width, row, column).any()) for start, end in _segments(scribble))


def _draw(annotation: UInt8[np.ndarray, "h w"], scribble: Scribble) -> None:
    reach = -(-scribble.width // 2)
    for start, end in _segments(scribble):
        # Only the rectangle around a segment is looked at: a hand draws many short ones.
        low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach + 1
        rows, columns = (
            np.arange(max(first, 0), min(last, side))
            for first, last, side in zip(low.tolist(), high.tolist(), annotation.shape, strict=True)
        )
        part = annotation[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        part[_near(start, end, scribble.width, rows, columns)] = scribble.label


def _segments(scribble: Scribble) -> list[tuple[Point, Point]]:
    points = scribble.points
    return list(pairwise(points)) or [(points[0], points[0])]


def _near(start: Point, end: Point, width: int, rows: np.ndarray, columns: np.ndarray) -> Bool[np.ndarray, "r c"]:
    """Which pixels lie at most half the width from a segment.

    In whole numbers, all of it multiplied by the segment's length squared, so that no rounding decides.
    """
    (top, left), (down, across) = start, (end[0] - start[0], end[1] - start[1])
    rows, columns = rows[:, None].astype(np.int64) - top, columns[None].astype(np.int64) - left
    length = down**2 + across**2
    along = rows * down + columns * across
    from_start = rows**2 + columns**2
    from_end = (rows - down) ** 2 + (columns - across) ** 2
    aside = (rows * across - columns * down) ** 2
    beside = (along > 0) & (along < length)
    squares = np.where(beside, aside, np.minimum(from_start, from_end) * max(length, 1))
    return 4 * squares <= width**2 * max(length, 1)
