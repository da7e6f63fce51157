"""Image files as frames."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Of the image files that are frames, in small or capital letters."""


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image as viewers show it: turned as its EXIF says, without alpha, grey ones in RGB.

    Raises:
        ValueError: the file is missing, cut short, or no image.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # grey of 16 bits, which PIL would cut off at 255
                return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, 2)
            if "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return np.array(upright.convert("RGB"))
    except Exception as error:  # a decoder raises whatever the bytes lead it to
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not an image that can be read ({reason}); replace or remove the file") from None


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
