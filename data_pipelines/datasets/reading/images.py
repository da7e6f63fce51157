"""Image files at the border: decoded once while a data set is built, so that no broken one ends a training."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from data_pipelines.datasets.record import DatasetError, decode_image

EXIF_ORIENTATION = 0x0112
UPRIGHT = 1


@contextlib.contextmanager
def open_image(path: Path, encoded: bytes | None = None) -> Iterator[Image.Image]:
    """Opens an image; whatever goes wrong with it inside the block is an error that names it.

    Args:
        path: of the file.
        encoded: its bytes, where they were read already.
    """
    if encoded is None:
        _check_regular(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, and of metadata that nobody reads
            with Image.open(path if encoded is None else io.BytesIO(encoded)) as image:
                yield image
    except DatasetError:
        raise
    except Image.DecompressionBombError as error:
        raise DatasetError(
            f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} million pixels; scale it down, or remove it"
        ) from error
    except Exception as error:  # a decoder raises whatever the bytes lead it to
        raise DatasetError(
            f"{path} is not an image that can be read ({_reason(error)}); replace or remove the file"
        ) from error


def read_image(path: Path) -> tuple[bytes, tuple[int, int]]:
    """The bytes of an image file, and its stored height and width; all of it is decoded to see that it can be.

    Raises:
        DatasetError: the file is missing, cut short, too large, or no image.
    """
    _check_regular(path)
    encoded = read_bytes(path)
    with open_image(path, encoded) as image:
        size = image.height, image.width
        image.load()
        if image.format not in ("JPEG", "PNG"):  # both of these decode alike in OpenCV, which reads them later
            decode_image(encoded)
    return encoded, size


def _check_regular(path: Path) -> None:
    """Raises DatasetError for a pipe or a device: reading it would wait, or never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise DatasetError(f"{path} is not an image that can be read (a pipe or a device); replace or remove the file")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, or an error that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def read_orientation(image: Image.Image) -> int:
    """How EXIF says that an image is to be turned: 1 to 8, 1 for upright or without a tag."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, UPRIGHT)
    except Exception:  # a damaged tag says nothing
        return UPRIGHT
    return value if value in range(1, 9) else UPRIGHT


def turn_upright(encoded: bytes, orientation: int) -> bytes:
    """An image as viewers show it, as PNG, so that no pixel changes its value."""
    image = _turn(decode_image(encoded), orientation)
    return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as viewers show it, from its header alone.

    Raises:
        DatasetError: the file is missing or no image.
    """
    with open_image(path) as image:
        size = image.height, image.width
        return size[::-1] if read_orientation(image) >= 5 else size


def read_upright(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image as viewers show it, RGB; alpha is dropped, 16 bits become 8.

    Raises:
        DatasetError: the file is missing, cut short, too large, or no image.
    """
    _check_regular(path)
    encoded = read_bytes(path)
    with open_image(path, encoded) as image:
        orientation = read_orientation(image)
        # Pillow cuts grey values above 255 off, which OpenCV scales.
        pixels = decode_image(encoded) if image.mode[0] in "IF" else np.array(image.convert("RGB"))
    return np.ascontiguousarray(_turn(pixels, orientation))


def _turn(image: UInt8[np.ndarray, "_ _ 3"], orientation: int) -> UInt8[np.ndarray, "_ _ 3"]:
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # tells the address of an object, which is another one each time
        return "its format is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
