"""What users hand over, checked where it enters: images, label maps, sizes and whole numbers.

Every refusal is a ValueError of one line: what was given, what it must be and, where the mistake is a known one, the
expression that mends it. Arrays are those of numpy and of JAX; nothing is converted silently, for a float image may
hold 0 to 1 or 0 to 255, and a bool map does not say whether False is negative or unannotated.
"""

import reprlib
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np
from jaxtyping import UInt8

from guided_jax.episode import UNKNOWN

MOST_LABELS = UNKNOWN
"""Labels of a task at most: they are 0 to 254 in a map, where 255 is unknown."""


def is_array(value: Any) -> bool:
    """Whether it is an array as numpy's and JAX's are."""
    return isinstance(getattr(value, "dtype", None), np.dtype) and isinstance(getattr(value, "shape", None), tuple)


def describe(value: Any) -> str:
    """An array by dtype and shape, a short value as Python writes it, anything else by its type; in one line."""
    if isinstance(value, np.ma.MaskedArray):
        return f"a masked array, {value.dtype} {tuple(value.shape)}"
    if is_array(value) and not isinstance(value, np.generic):
        return f"{value.dtype} {tuple(value.shape)}"
    if value is None or isinstance(value, bool | int | float | str | bytes | np.generic):
        return reprlib.repr(value)
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def check_whole(value: Any, what: str) -> int:
    """A whole number as an int: Python's, or an integer of numpy or JAX.

    Args:
        value: bools are refused: they are what a comparison gave by mistake.
        what: subject of the message, as `the row of a click`.

    Raises:
        ValueError: it is none.
    """
    try:
        if not isinstance(value, bool):
            return index(value)
    except TypeError:
        pass
    raise ValueError(f"{what} is {describe(value)}; it must be a whole number (int)")


def check_way(way: Any) -> int:
    """A number of labels, the negative included.

    Raises:
        ValueError: it is no whole number from 2 to 255.
    """
    if not 2 <= (number := check_whole(way, "way")) <= MOST_LABELS:
        raise ValueError(
            f"way={number}: must be 2 (the negative and one positive) to {MOST_LABELS}: labels are uint8, and "
            f"{UNKNOWN} is unknown"
        )
    return number


def check_size(size: Any, what: str) -> tuple[int, int]:
    """Height and width in pixels, both at least 1.

    Raises:
        ValueError: it is no such pair.
    """
    try:
        height, width = (check_whole(side, what) for side in size)
    except (TypeError, ValueError):
        height, width = 0, 0
    if min(height, width) < 1:
        given = size if isinstance(size, tuple | list) and len(size) < 4 else describe(size)
        raise ValueError(f"{what} is {given}; it must be (height, width) in pixels, two whole numbers from 1 on")
    return height, width


def check_canvases(canvases: Any) -> tuple[tuple[int, int], ...]:
    """Heights and widths of canvases; none: ().

    Raises:
        ValueError: they are none.
    """
    if not isinstance(canvases, tuple | list):
        raise ValueError(f"canvases is {describe(canvases)}; it must be a list of (height, width) in pixels")
    return tuple(check_size(each, "a canvas") for each in canvases)


def check_rgb(image: Any, what: str, *lead: str) -> UInt8[np.ndarray, "*lead h w 3"]:
    """An RGB image of 0 to 255, or a stack of them, on the host.

    Args:
        image: a uint8 array [height, width, 3]. That red comes first cannot be checked: cv2 reads BGR.
        what: subject of the message, as `image 'a'`.
        lead: names of the axes before the height, for a stack.

    Raises:
        ValueError: it is no such array.
    """
    wanted = f"uint8 [{', '.join((*lead, 'height', 'width'))}, 3], RGB"

    def fits(shape):
        return len(shape) == len(lead) + 3 and shape[-1] == 3 and all(shape)

    return _check_array(image, what, wanted, fits, _mend_image)


def check_labels(
    labels: Any, what: str, wanted: str, fits: Callable[[tuple[int, ...]], bool]
) -> UInt8[np.ndarray, "..."]:
    """A map of labels, or a stack of them, on the host; `check_annotation` looks at its values.

    Args:
        labels: a uint8 array.
        what: subject of the message, as `the annotation of image 'a'`.
        wanted: its shape in words.
        fits: whether a shape is the wanted one.

    Raises:
        ValueError: it is no such array.
    """
    return _check_array(labels, what, f"uint8 {wanted}", fits, _mend_labels)


def check_annotation(labels: UInt8[np.ndarray, "..."], what: str, way: int, *, negatives_only: bool) -> None:
    """Checks the values of an annotation.

    Args:
        labels: 0 negative, 1 to way - 1 the positives, 255 where unannotated.
        what: subject of the message, as `the annotation of image 'a'`.
        way: number of labels.
        negatives_only: whether 0 and 255 alone are meant: negatives, the rest unannotated.

    Raises:
        ValueError: a label is not below `way`, or the values are 0 and 255 alone and this was not said to be meant:
            elsewhere such a map is the mask of an object.
    """
    highest = int(labels.max(initial=0, where=labels != UNKNOWN))
    if highest >= way:
        raise ValueError(
            f"{what} has the label {highest}; the labels are 0 (the negative) to {way - 1}, and {UNKNOWN} where "
            "unannotated"
        )
    if not negatives_only and highest == 0 and (labels == UNKNOWN).any() and (labels == 0).any():
        raise ValueError(
            f"{what} has the values 0 and 255 alone, so that it shows no object: 255 is unannotated; use 1 for the "
            "object (mask // 255), or say negatives_only=True"
        )


def _check_array(value, what, wanted, fits, mend) -> UInt8[np.ndarray, "..."]:
    plain = is_array(value) and not isinstance(value, np.ma.MaskedArray)  # its mask would be dropped without a word
    if not (plain and value.dtype == np.uint8 and fits(tuple(value.shape))):
        hint = mend(value)
        raise ValueError(f"{what} is {describe(value)}; it must be {wanted}" + (f" ({hint})" if hint else ""))
    return np.asarray(value)


def _mend_image(value) -> str:
    if value is None:
        return "cv2.imread gives None where it cannot read a file"
    if type(value).__module__.partition(".")[0] == "PIL":
        return 'np.asarray(image.convert("RGB"))'
    if isinstance(value, np.ma.MaskedArray):
        return "image.data is all of it, image.filled(0) is black where it is masked"
    if not is_array(value):
        return ""
    if value.dtype.kind == "f":
        return "of values in [0, 1]: np.round(255 * image).astype(np.uint8)"
    if value.ndim == 2:
        return "of a grey image: np.stack([image] * 3, -1)"
    if value.ndim == 3 and value.shape[2] == 4:
        return "without the alpha channel: image[..., :3]"
    if value.ndim == 3 and value.shape[2] == 1:
        return "of a grey image: np.repeat(image, 3, -1)"
    if value.ndim == 3 and value.shape[0] == 3 != value.shape[2]:
        return "channels last: np.moveaxis(image, 0, -1)"
    return ""


def _mend_labels(value) -> str:
    if value is None:
        return "cv2.imread gives None where it cannot read a file"
    if isinstance(value, np.ma.MaskedArray):
        return "labels.filled(255), where masked pixels are unannotated"
    if not is_array(value):
        return "np.asarray(labels, np.uint8)"
    if value.dtype == bool:
        return (
            "of a bool mask: mask.astype(np.uint8) where False is negative, np.where(mask, 1, 255).astype(np.uint8) "
            "where it is unannotated"
        )
    return "labels.astype(np.uint8), if its values are labels" if value.dtype != np.uint8 else ""
