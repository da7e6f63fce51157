"""Original files on disk: what is listed, what is missing, the size in a header, the labels in a mask."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from data_pipelines.datasets.record import DatasetError, Record

SPLIT_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Lazy:
    """Records of known number, each made when its turn comes.

    Attributes:
        items: one entry a record, whatever `make` needs.
        make: turns an item into its record.
    """

    items: Sequence[Any]
    make: Callable[[Any], Record]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Record]:
        return map(self.make, self.items)


def require(path: Path, remedy: str) -> Path:
    """Returns the path if it exists.

    Args:
        path: file or folder.
        remedy: what the user can do, for the end of the error's line.
    """
    if not path.exists():
        raise DatasetError(f"{path} is missing; {remedy}")
    return path


def check_listed(files: Iterable[Path], listing: Path, remedy: str) -> None:
    """Raises an error that says which and how many of the files named in a list are not there."""
    files = list(files)
    missing = [file for file in files if not file.exists()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of the {len(files)} files that {listing} asks for are missing, first {missing[0]}; "
            f"{remedy}"
        )


def read_list(path: Path) -> list[str]:
    """The lines of a list of images, stripped, without empty and repeated ones."""
    return list(dict.fromkeys(line.strip() for line in path.read_text().splitlines() if line.strip()))


def find_lists(folder: Path) -> dict[str, Path]:
    """The lists `NAME.txt` in a folder, by name."""
    return {file.stem: file for file in sorted(folder.glob("*.txt")) if SPLIT_NAME.fullmatch(file.stem)}


def spread(names: Iterable[str]) -> list[str]:
    """Shuffles names by their hash, so that a slice of a split is a fair sample of it, everywhere the same."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def natural_key(name: str) -> tuple:
    """Sorts frame2 before frame10."""
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name))


def image_size(encoded: bytes, name: str) -> tuple[int, int]:
    """Height and width in the header of an encoded image; nothing is decoded.

    Args:
        encoded: the file's bytes.
        name: of the file, for the error.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.height, image.width
    except UnidentifiedImageError:
        raise DatasetError(f"{name} is not an image that can be read; replace or remove the file") from None


def read_mask(path: Path) -> UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]:
    """Reads a mask as it is stored: the indices of a palette image, the values of a grey one, else RGB.

    A colour image whose three channels agree everywhere is a grey one. An alpha channel is dropped.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("1", "L", "P"):
                return np.array(image, np.uint8)
            if image.mode.startswith("I"):
                return _narrow(np.array(image), path)
            colour = np.array(image.convert("RGB"))
    except (OSError, SyntaxError) as error:  # Pillow's errors for a broken PNG
        raise DatasetError(f"{path} is not an image that can be read ({error}); replace or remove the file") from error
    grey = colour[..., :1]
    return grey[..., 0].copy() if (colour == grey).all() else colour


def _narrow(deep: np.ndarray, path: Path) -> UInt8[np.ndarray, "h w"]:
    if deep.min() < 0 or deep.max() > 255:
        raise DatasetError(f"{path} holds the value {deep.max()}; a mask has labels 0 to 254, and 255 for void")
    return deep.astype(np.uint8)


def has_palette(path: Path) -> bool:
    """Whether an image is stored as indices into a palette."""
    with Image.open(path) as image:
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
        raise DatasetError(
            f"{mask} is {mask_size[1]} x {mask_size[0]} pixels, but its image {image} is {size[1]} x {size[0]}"
        )
