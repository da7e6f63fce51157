"""Original files on disk: what is listed, what is missing, the size in a header, the labels in a mask."""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_pipelines.datasets.reading.images import open_image, read_bytes, read_orientation
from data_pipelines.datasets.record import DatasetError

SPLIT_NAME = re.compile(r"[\w-]+")
DEEP = 65535
"""White in 16 bits."""


def require(path: Path, remedy: str) -> Path:
    """Returns the path if it exists.

    Args:
        path: file or folder.
        remedy: what the user can do, for the end of the error's line.
    """
    if not os.path.exists(path):  # False, not an error, for a name that no file can have
        raise DatasetError(f"{path} is missing; {remedy}")
    return path


def check_listed(files: Iterable[Path], listing: Path, remedy: str) -> None:
    """Raises an error that says which and how many of the files named in a list are not there."""
    files = list(files)
    missing = [file for file in files if not os.path.exists(file)]
    if missing:
        raise DatasetError(
            f"{len(missing)} of the {len(files)} files that {listing} asks for are missing, first {missing[0]}; "
            f"{remedy}"
        )


def read_list(path: Path) -> list[str]:
    """The lines of a list of images, stripped, without empty and repeated ones."""
    lines = list(dict.fromkeys(line.strip() for line in read_text(path).splitlines() if line.strip()))
    if not lines:
        raise DatasetError(f"{path} is empty; it lists one image or clip a line")
    return lines


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        DatasetError: it cannot be read, or is of another encoding.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 (byte {error.start}); save it in UTF-8") from error


def is_hidden(path: Path) -> bool:
    """Whether a path, relative to a data set, is of the system: `._a.jpg` and `__MACOSX` of a Mac's archive."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def find_lists(folder: Path) -> dict[str, Path]:
    """The lists `NAME.txt` in a folder, by name."""
    return {file.stem: file for file in sorted(folder.glob("*.txt")) if SPLIT_NAME.fullmatch(file.stem)}


def spread(names: Iterable[str]) -> list[str]:
    """Shuffles names by their hash, so that a slice of a split is a fair sample of it, everywhere the same."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def natural_key(name: str) -> tuple:
    """Sorts frame2 before frame10."""
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name))


def read_mask(path: Path) -> UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]:
    """Reads a mask as it is stored: the indices of a palette image, the values of a grey one, else RGB.

    A colour image whose three channels agree everywhere is a grey one. Transparent pixels are black; where all others
    are black, or all are white, the alpha channel is the mask. Else alpha is dropped. In a palette of white
    and black, black is 0.
    """
    with open_image(path) as image:
        if image.mode in ("1", "L", "P"):
            indices = np.array(image, np.uint8)
            white_first = image.mode == "P" and (image.getpalette() or [])[:6] == [255] * 3 + [0] * 3
            return 1 - indices if white_first and indices.max() <= 1 else indices
        if image.mode.startswith("I"):
            return _narrow(np.array(image), path)
        alpha = np.array(image.getchannel("A")) if "A" in image.getbands() else None
        colour = np.array(image.convert("RGB"))
    if alpha is not None and alpha.min() != alpha.max():
        colour[alpha == 0] = 0
        shown = colour[alpha > 0]
        if (shown == 0).all() or (shown == 255).all():
            return alpha
    grey = colour[..., :1]
    return grey[..., 0].copy() if (colour == grey).all() else colour


def _narrow(deep: np.ndarray, path: Path) -> UInt8[np.ndarray, "h w"]:
    if deep.max() == DEEP and np.isin(deep, (0, DEEP)).all():
        return (deep > 0).astype(np.uint8) * 255
    if deep.min() < 0 or deep.max() > 255:
        raise DatasetError(f"{path} holds the value {deep.max()}; a mask has labels 0 to 254, and 255 for void")
    return deep.astype(np.uint8)


def has_palette(path: Path) -> bool:
    """Whether an image is stored as indices into a palette."""
    with open_image(path) as image:
        return image.mode == "P"


def read_labels(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Reads a mask whose values are labels; a coloured one without palette is an error."""
    mask = read_mask(path)
    if mask.ndim == 3:
        raise DatasetError(f"{path} is an RGB image; this data set's masks are palette or grey PNGs")
    return mask


def check_same_size(image: Path, size: tuple[int, int], mask: Path, mask_size: tuple[int, ...]) -> None:
    """Raises an error where image and mask differ in height or width."""
    if tuple(mask_size) != tuple(size):
        turned = ""
        if tuple(mask_size) == tuple(size[::-1]):
            with open_image(image) as opened:
                orientation = read_orientation(opened)
            turned = f"; its EXIF tag turns it (orientation {orientation})" if orientation >= 5 else "; one is turned"
        raise DatasetError(
            f"{mask} is {mask_size[1]} x {mask_size[0]} pixels, but its image {image} is {size[1]} x {size[0]}{turned}"
        )
