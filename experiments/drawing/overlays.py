"""Masks over their images: tinted and outlined in the colours of a palette."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

OPACITY = 0.45
PIXELS_A_LINE = 350
"""Pixels of the longer side for each pixel that outlines are wide."""


def overlay(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], palette: Sequence[int]
) -> UInt8[np.ndarray, "h w 3"]:
    """An image with its labels from 1 on tinted, and outlined along their inner side.

    Args:
        image: RGB.
        labels: of its pixels; 0 is left as it is.
        palette: red, green and blue of each of 256 values, one after the other; shown twice as bright, since those of
            masks are dark.
    """
    colours = np.minimum(2 * np.array(palette).reshape(256, 3), 255).astype(np.uint8)
    shown = image.copy()
    objects = labels > 0
    shown[objects] = ((1 - OPACITY) * image[objects] + OPACITY * colours[labels[objects]]).astype(np.uint8)
    width = 1 + max(labels.shape) // PIXELS_A_LINE
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    rims = objects & (cv2.dilate(labels, kernel) != cv2.erode(labels, kernel))
    shown[rims] = colours[labels[rims]]
    return shown
