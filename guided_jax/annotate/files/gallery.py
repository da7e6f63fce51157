"""The images to annotate: of a folder, of a list of files, or of a clip. Nothing that is not listed here is read."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from guided_jax.annotate.files.pictures import SUFFIXES, read_picture
from guided_jax.clips import open_clip


class Picture(NamedTuple):
    """An image to annotate.

    Attributes:
        name: by which annotations know it.
        read: gives its pixels, RGB uint8 [h, w, 3], each time the same.
    """

    name: str
    read: Callable[[], UInt8[np.ndarray, "h w 3"]]


class Gallery(NamedTuple):
    """Images in their order.

    Attributes:
        title: what they are, for the page.
        pictures: no two of one name.
        clip: whether they are the frames of a video file.
        rate: frames a second; None where nothing tells.
    """

    title: str
    pictures: tuple[Picture, ...]
    clip: bool = False
    rate: float | None = None

    def find(self, name: str) -> Picture:
        """The image of a name.

        Raises:
            ValueError: there is none.
        """
        found = next((picture for picture in self.pictures if picture.name == name), None)
        if found is None:
            raise ValueError(f"there is no image {name!r} here")
        return found


EMPTY = Gallery("", ())


def open_folder(folder: Path) -> Gallery:
    """The images right in a folder, in natural order. Links that lead out of it are passed over.

    Raises:
        ValueError: it holds no image.
    """
    root = folder.resolve()
    files = sorted(
        (path for path in _listed(folder) if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")),
        key=lambda path: natural_key(path.name),
    )
    pictures = tuple(Picture(path.name, _reader(path, root)) for path in files if _lies_in(path, root))
    if not pictures:
        raise ValueError(f"{folder}: holds no image ({', '.join(SUFFIXES)})")
    return Gallery(root.name or str(root), pictures)


def open_files(paths: Sequence[Path]) -> Gallery:
    """Images by their files, in the order given.

    Raises:
        ValueError: one is missing or has the suffix of no image, or two have the same name.
    """
    names = set()
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path}: is no image by its name ({', '.join(SUFFIXES)})")
        if path.name in names:
            raise ValueError(f"{path}: another image has the name {path.name}, too; annotations know images by it")
        names.add(path.name)
    pictures = tuple(Picture(path.name, _reader(path, path.resolve().parent)) for path in paths)
    return Gallery(f"{len(pictures)} images" if len(pictures) > 1 else paths[0].name, pictures)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _listed(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise ValueError(f"{folder}: cannot be read: {error.strerror}") from None


def _lies_in(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root)


def _reader(path: Path, root: Path) -> Callable[[], UInt8[np.ndarray, "h w 3"]]:
    def read() -> UInt8[np.ndarray, "h w 3"]:
        if not _lies_in(path, root):  # it may have become a link meanwhile
            raise ValueError(f"{path.name}: leads out of its folder")
        return read_picture(path)

    return read


def open_video(path: Path) -> Gallery:
    """The frames of a video file, each decoded when it is asked for.

    Raises:
        ValueError: it cannot be read as a video.
    """
    clip = open_clip(path)
    pictures = tuple(Picture(name, partial(clip.__getitem__, number)) for number, name in enumerate(clip.names))
    return Gallery(path.name, pictures, clip=True, rate=clip.rate)


def open_paths(paths: Sequence[Path]) -> Gallery:
    """The images of a folder, a video or files; none: there are no images yet.

    Raises:
        ValueError: there is nothing of the kind.
    """
    if not paths:
        return EMPTY
    if paths[0].is_dir():
        return open_folder(paths[0])
    if len(paths) == 1 and paths[0].is_file() and paths[0].suffix.lower() not in SUFFIXES:
        return open_video(paths[0])
    return open_files(paths)
