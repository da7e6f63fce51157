"""Fixed canvases for images of any size: few shapes, so few compilations."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from data_pipelines.datasets.record import DatasetError

Bucket = tuple[int, int]
"""Height and width of a canvas in pixels."""


def parse_buckets(text: str) -> tuple[Bucket, ...]:
    """Parses canvases, height x width: '384x512,512x384,512x512'.

    Raises:
        ValueError: what cannot be parsed, and what could.
    """
    buckets = []
    for word in text.split(","):
        sides = [side.strip() for side in word.split("x")]
        if len(sides) != 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
            raise ValueError(
                f"buckets {text!r}: {word.strip()!r} is not HEIGHTxWIDTH; write for example 384x512,512x384,512x512"
            )
        buckets.append((int(sides[0]), int(sides[1])))
    if len(set(buckets)) < len(buckets):
        raise ValueError(f"buckets {text!r}: a canvas occurs twice")
    return tuple(buckets)


def name_bucket(bucket: Bucket) -> str:
    """The bucket as it is written in a config: '384x512'."""
    return f"{bucket[0]}x{bucket[1]}"


def choose_bucket(height: int, width: int, buckets: Sequence[Bucket], *, name: str = "an image") -> Bucket:
    """The bucket of least area that holds an image.

    Raises:
        DatasetError: none does.
    """
    fitting = [bucket for bucket in buckets if bucket[0] >= height and bucket[1] >= width]
    if not fitting:
        raise DatasetError(
            f"{name} of {height}x{width} pixels (height x width) fits none of the buckets "
            f"{','.join(map(name_bucket, buckets))}: add one that is large enough, or set max_side to scale images down"
        )
    return min(fitting, key=lambda bucket: bucket[0] * bucket[1])


def scaled_size(height: int, width: int, max_side: int) -> tuple[int, int]:
    """Height and width once the longer side is at most `max_side` pixels; 0 keeps every size."""
    longer = max(height, width)
    if not max_side or longer <= max_side:
        return height, width
    return max(1, round(height * max_side / longer)), max(1, round(width * max_side / longer))


def scale_image(image: UInt8[np.ndarray, "h w 3"], max_side: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Scales an image down to `scaled_size`, averaging over areas."""
    return _scale(image, max_side, cv2.INTER_AREA)


def scale_labels(labels: UInt8[np.ndarray, "h w"], max_side: int) -> UInt8[np.ndarray, "h2 w2"]:
    """Scales a label map down to `scaled_size`, taking the nearest label."""
    return _scale(labels, max_side, cv2.INTER_NEAREST_EXACT)


def place(array: np.ndarray, bucket: Bucket, fill: int) -> np.ndarray:
    """Lays an array [h, w, ...] at the top left of a canvas filled with `fill`."""
    canvas = np.full((*bucket, *array.shape[2:]), fill, array.dtype)
    canvas[: array.shape[0], : array.shape[1]] = array
    return canvas


def _scale(array: np.ndarray, max_side: int, interpolation: int) -> np.ndarray:
    height, width = array.shape[:2]
    size = scaled_size(height, width, max_side)
    if size == (height, width):
        return array
    return cv2.resize(array, size[::-1], interpolation=interpolation)
