"""What a session is asked for, checked where it enters; each refusal is a ValueError of one line."""

from collections.abc import Hashable, Iterable
from typing import Any

from guided_jax.inputs import check_whole, describe
from guided_jax.session.marks import Point


def check_name(name: Any) -> Hashable:
    """The name of an image: hashable, equal to itself, and not None.

    Raises:
        ValueError: it is not.
    """
    try:
        hash(name)
        if name != name:
            raise ValueError(f"the name of an image is {describe(name)}; it must equal itself, as a str or an int does")
    except TypeError:
        raise ValueError(f"the name of an image is {describe(name)}; it must be hashable, as a str or an int") from None
    if name is None:
        raise ValueError("the name of an image is None; undo and clear take it for all images: give another name")
    return name


def check_label(label: Any, what: str, mark: str, way: int, *others: int) -> int:
    """A label as an int.

    Args:
        label: of Python, numpy or JAX.
        what: subject of the message where it is none, as `a click on image 'a'`.
        mark: that has the label, as `the click`.
        way: number of labels.
        others: that are allowed besides.

    Raises:
        ValueError: it is none.
    """
    label = check_whole(label, f"the label of {what}")
    if not (0 <= label < way or label in others):
        raise ValueError(f"{mark} has the label {label}; the labels are 0 (the negative) to {way - 1}")
    return label


def check_pixel(row: Any, column: Any, what: str, mark: str, name: Hashable, size: tuple[int, int]) -> Point:
    """Row and column of a pixel of an image, as ints.

    Args:
        row: of Python, numpy or JAX.
        column: the same.
        what: subject of the message where they are no whole numbers, as `a click on image 'a'`.
        mark: that lies there, as `the click`.
        name: of the image.
        size: height and width of the image in pixels.

    Raises:
        ValueError: they are no whole numbers, or lie outside the image.
    """
    row, column = check_whole(row, f"the row of {what}"), check_whole(column, f"the column of {what}")
    height, width = size
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(
            f"{mark} at row {row}, column {column} lies outside the image {name!r} of {height}x{width} pixels "
            "(height x width; rows and columns count from 0)"
        )
    return row, column


def check_pair(point: Any, what: str) -> tuple[Any, Any]:
    """What should be row and column, as two values.

    Raises:
        ValueError: it is no pair.
    """
    if isinstance(point, Iterable) and not isinstance(point, str) and len(pair := tuple(point)) == 2:
        return pair
    raise ValueError(f"{what} has the point {describe(point)}; a point must be (row, column)")
