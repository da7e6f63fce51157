"""What is handed to the scores, checked where it enters: masks of one size, counts, and IoUs.

Nothing is broadcast and no type is guessed: the mean of two masks of other sizes, a map of scores taken for a mask, or
per cents taken for shares would give a plausible number.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int, UInt8

from guided_jax.inputs import check_whole, describe, is_array

LABELS = ("uint8", "bool")
"""Types of a mask: labels, or a single object."""


def check_mask(mask: Any, what: str, types: Sequence[str] = LABELS, *, axes: int | None = 2) -> None:
    """Raises ValueError where it is no array of one of the types with so many axes (None: two or more)."""
    shaped = is_array(mask) and (len(mask.shape) == axes if axes else len(mask.shape) >= 2)
    if not (shaped and str(mask.dtype) in types):
        wanted = "[height, width]" if axes == 2 else "[..., height, width]"
        raise ValueError(
            f"the {what} is {describe(mask)}; it must be {' or '.join(types)} {wanted}: labels, not scores or colours"
        )


def check_masks(
    names: tuple[str, str], one: Any, other: Any, types: Sequence[str] = LABELS, *, axes: int | None = 2
) -> None:
    """Raises ValueError where two masks are not of the types, or not of one shape.

    Args:
        names: of the two, for messages.
        one: an array of numpy or JAX.
        other: another.
        types: names of the dtypes that are taken.
        axes: number of axes; None: two or more.
    """
    for name, mask in zip(names, (one, other), strict=True):
        check_mask(mask, name, types, axes=axes)
    if one.shape != other.shape:
        raise ValueError(
            f"the {names[0]} is {tuple(one.shape)}, the {names[1]} {tuple(other.shape)}: height and width must agree"
        )


def as_labels(
    names: tuple[str, str], one: Any, other: Any
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Two masks of one size on the host, as `check_masks` takes them; a bool mask has the labels 0 and 1.

    Raises:
        ValueError: see `check_masks`.
    """
    check_masks(names, one, other)
    return np.asarray(one).astype(np.uint8, copy=False), np.asarray(other).astype(np.uint8, copy=False)


def as_bools(names: tuple[str, str], one: Any, other: Any) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Two bool masks of one size on the host.

    Raises:
        ValueError: see `check_masks`.
    """
    check_masks(names, one, other, ("bool",))
    return np.asarray(one), np.asarray(other)


def as_counts(counts: Any, what: str, columns: int) -> Int[np.ndarray, "n columns"]:
    """Counts of pixels as int64, one row a task.

    Raises:
        ValueError: they are no whole numbers [n, columns] from 0 on.
    """
    wanted = f"whole numbers [n, {columns}] of pixels, from 0 on"
    array = _numbers(counts, what, wanted)
    if array.ndim != 2 or array.shape[1] != columns or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{what} is {describe(array)}; it must be {wanted}")
    if (array < 0).any():
        raise ValueError(f"{what} has the number {array.min()}; it must be {wanted}")
    return array.astype(np.int64)


def as_classes(classes: Any, number: int) -> Int[np.ndarray, " n"]:
    """Class ids, one for each of so many tasks.

    Raises:
        ValueError: they are no whole numbers, or not so many.
    """
    wanted = f"whole numbers [{number}], one for each row of counts"
    array = _numbers(classes, "classes", wanted)
    if array.shape != (number,) or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"classes is {describe(array)}; it must be {wanted}")
    return array.astype(np.int64)


def as_ious(ious: Any, what: str = "ious") -> Float64[np.ndarray, " n"]:
    """IoUs after each click.

    Raises:
        ValueError: they are no numbers [n] in [0, 1].
    """
    wanted = "numbers [n] in [0, 1], not per cents or NaN"
    array = _numbers(ious, what, wanted)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise ValueError(f"{what} is {describe(array)}; it must be {wanted}")
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"{what} has values from {array.min()} to {array.max()}; it must be {wanted}")
    return array.astype(np.float64)


def check_share(value: Any, what: str) -> None:
    """Raises ValueError where it is no number in [0, 1]."""
    number = value if isinstance(value, int | float | np.number) and not isinstance(value, bool) else -1
    if not 0 <= number <= 1:
        raise ValueError(f"{what} is {describe(value)}; it must be a share in [0, 1], not a per cent")


def check_limit(limit: Any) -> int:
    """The greatest number of clicks, at least 1.

    Raises:
        ValueError: it is no such number.
    """
    if (number := check_whole(limit, "limit")) < 1:
        raise ValueError(f"limit is {number}; it must be 1 or more")
    return number


def _numbers(values: Any, what: str, wanted: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        raise ValueError(f"{what} is {describe(values)}; it must be {wanted}") from None
