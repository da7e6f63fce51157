"""Frames and label maps on canvases."""

import numpy as np

STEP = 32
"""Canvases are multiples of so many pixels, so that videos of about the same size share a compilation."""


def lay(arrays: np.ndarray, canvas: tuple[int, int], fill: int) -> np.ndarray:
    """Lays arrays [n, h, w, ...] at the top left of canvases filled with `fill`."""
    laid = np.full((len(arrays), *canvas, *arrays.shape[3:]), fill, arrays.dtype)
    laid[:, : arrays.shape[1], : arrays.shape[2]] = arrays
    return laid
