"""Fixed canvases for images of any size: few shapes, so few compilations."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from data_pipelines.datasets.record import DatasetError

Canvas = tuple[int, int]
"""Height and width, in pixels, of the padded frame that an image lies in; `data.buckets` is a list of them."""


def parse_canvases(text: str) -> tuple[Canvas, ...]:
    """Parses canvases, height x width: '384x512,512x384,512x512'.

    Raises:
        ValueError: what cannot be parsed, and what could.
    """
    canvases = []
    for word in text.split(","):
        sides = [side.strip() for side in word.split("x")]
        if len(sides) != 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
            raise ValueError(
                f"buckets {text!r}: {word.strip()!r} is not HEIGHTxWIDTH; write for example 384x512,512x384,512x512"
            )
        canvases.append((int(sides[0]), int(sides[1])))
    if len(set(canvases)) < len(canvases):
        raise ValueError(f"buckets {text!r}: a canvas occurs twice")
    return tuple(canvases)


def name_canvas(canvas: Canvas) -> str:
    """The canvas as it is written in a config: '384x512'."""
    return f"{canvas[0]}x{canvas[1]}"


def choose_canvas(height: int, width: int, canvases: Sequence[Canvas], *, name: str = "an image") -> Canvas:
    """The canvas of least area that holds an image.

    Raises:
        DatasetError: none does.
    """
    fitting = [canvas for canvas in canvases if canvas[0] >= height and canvas[1] >= width]
    if not fitting:
        raise DatasetError(
            f"{name} of {height}x{width} pixels (height x width) fits none of the buckets "
            f"{','.join(map(name_canvas, canvases))} (data.buckets): add one that is large enough, or set "
            "data.max_side to scale images down"
        )
    return min(fitting, key=lambda canvas: canvas[0] * canvas[1])


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


def pad_to_canvas(array: np.ndarray, canvas: Canvas, fill: int) -> np.ndarray:
    """Pads an array [h, w, ...] with `fill`, below and at the right, to the size of a canvas."""
    padded = np.full((*canvas, *array.shape[2:]), fill, array.dtype)
    padded[: array.shape[0], : array.shape[1]] = array
    return padded


def _scale(array: np.ndarray, max_side: int, interpolation: int) -> np.ndarray:
    height, width = array.shape[:2]
    size = scaled_size(height, width, max_side)
    if size == (height, width):
        return array
    return cv2.resize(array, size[::-1], interpolation=interpolation)
