"""Image files as frames."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Of the image files that are frames, in small or capital letters."""


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image as viewers show it: turned as its EXIF says, without alpha, grey ones in RGB.

    Raises:
        ValueError: the file is missing, or no image.
    """
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        raise ValueError(f"{path} is not an image that can be read; replace or remove the file")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Writes an image as PNG, fast rather than small.

    Raises:
        ValueError: it cannot be written.
    """
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_PNG_COMPRESSION, 1))[1]
    try:
        path.write_bytes(encoded)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
