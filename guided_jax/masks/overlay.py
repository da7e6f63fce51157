"""Masks over their images: tinted and outlined."""

import cv2
import numpy as np
from jaxtyping import UInt8

OPACITY = 0.45
PIXELS_A_LINE = 350
"""Pixels of the longer side for each pixel that outlines are wide."""


def draw_labels(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], colours: UInt8[np.ndarray, "256 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """An image with its labels from 1 on tinted, and outlined along their inner side.

    Args:
        image: RGB.
        labels: of its pixels; 0 is left as it is.
        colours: red, green and blue of each label.
    """
    shown = image.copy()
    objects = labels > 0
    shown[objects] = ((1 - OPACITY) * image[objects] + OPACITY * colours[labels[objects]]).astype(np.uint8)
    width = 1 + max(labels.shape) // PIXELS_A_LINE
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    rims = objects & (cv2.dilate(labels, kernel) != cv2.erode(labels, kernel))
    shown[rims] = colours[labels[rims]]
    return shown
