"""Image files as they come from people: decoded upright under limits, or refused in one line; and sent to a browser."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "MPO")
"""What is decoded; a file is what its bytes say, not what its name says."""

MOST_PIXELS = 50_000_000
MOST_BYTES = 64 << 20
"""Of an image file, and of anything that is uploaded."""

THUMBNAIL = 160
"""Longer side in pixels of the images in the strip."""

QUALITY = 92
"""Of the JPEG in which images are sent to the page."""


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """The image in a file, upright, as RGB.

    Raises:
        ValueError: the file cannot be read, is too large, or holds no image.
    """
    try:
        if not path.is_file():
            raise ValueError(f"{path.name}: is no file any more")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path.name}: has more than {MOST_BYTES >> 20} MB; scale it down")
        encoded = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read: {error.strerror}") from None
    return decode_picture(encoded, path.name)


def decode_picture(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """The image in the bytes of a file, turned as its EXIF tag says, as RGB; transparent pixels are white.

    Args:
        encoded: bytes of the file.
        name: of the image, for messages.

    Raises:
        ValueError: this is no image, or one of too many pixels.
    """
    with _opened(encoded, name) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I") or upright.mode == "F":  # 16 bits; PIL would cut them off at 255
            values = np.asarray(upright, np.float32)
            scale = 255 / max(1.0, float(values.max()))
            grey = np.clip(values * np.float32(scale), 0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, -1)
        if "A" in upright.getbands() or "transparency" in upright.info:
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright.convert("RGBA"))
        return np.array(upright.convert("RGB"))


def decode_labels(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w"]:
    """The values of a mask: indices of a palette image or greys.

    Raises:
        ValueError: this is no image, or one in colours.
    """
    with _opened(encoded, name) as image:
        if image.mode == "1":
            return np.array(image.convert("L"))
        if image.mode in ("L", "P"):
            return np.array(image)
        colour = np.array(image.convert("RGB"))
    if not (colour == colour[..., :1]).all():
        raise ValueError(f"{name}: is an image in colours; a mask is a PNG of labels, with a palette or grey")
    return colour[..., 0].copy()


def to_jpeg(image: UInt8[np.ndarray, "h w 3"], *, longest: int = 0) -> bytes:
    """An image as JPEG, its longer side at most so many pixels (0: as it is)."""
    height, width = image.shape[:2]
    if 0 < longest < max(height, width):
        sides = (max(1, round(side * longest / max(height, width))) for side in (width, height))
        image = cv2.resize(image, tuple(sides), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[
        1
    ].tobytes()


class _opened:
    """Around the decoding of an image: whatever goes wrong is one line that names it."""

    def __init__(self, encoded: bytes, name: str):
        self._encoded, self._name = encoded, name

    def __enter__(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large images, which are looked at here, and of metadata
                image = Image.open(io.BytesIO(self._encoded), formats=FORMATS)
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{self._name}: has more than {MOST_PIXELS // 10**6} million pixels; scale it down")
            image.load()
            return image
        except ValueError:
            raise
        except Exception:  # a decoder raises whatever the bytes lead it to
            raise ValueError(f"{self._name}: is not an image that can be read (JPEG, PNG, WebP, BMP, TIFF)") from None

    def __exit__(self, *_: object) -> None:
        pass
