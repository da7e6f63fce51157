"""Masks over their images in the colours of a palette of masks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from guided_jax.masks.overlay import draw_labels


def overlay(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], palette: Sequence[int]
) -> UInt8[np.ndarray, "h w 3"]:
    """An image with its labels from 1 on tinted and outlined.

    Args:
        image: RGB.
        labels: of its pixels; 0 is left as it is.
        palette: red, green and blue of each of 256 values, one after the other; shown twice as bright, since those of
            masks are dark.
    """
    return draw_labels(image, labels, np.minimum(2 * np.array(palette).reshape(256, 3), 255).astype(np.uint8))
