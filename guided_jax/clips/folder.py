"""A clip in a folder of images."""

import re
from pathlib import Path

from guided_jax.clips.clip import Clip
from guided_jax.clips.images import SUFFIXES, read_image


def clip_of_folder(folder: Path, title: str) -> Clip:
    """A clip of the images that lie in a folder itself; a frame has the name of its file without the suffix.

    Raises:
        ValueError: the folder cannot be read, holds no image or two of one name, or the first cannot be read.
    """
    try:
        files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    except OSError as error:
        raise ValueError(f"{title} cannot be read: {error.strerror}") from None
    if not files:
        raise ValueError(f"{title}: holds no image that ends in {', '.join(SUFFIXES)}")
    files.sort(key=lambda file: (_natural_key(file.stem), file.name))
    by_name: dict[str, Path] = {}
    for file in files:
        if (other := by_name.setdefault(file.stem, file)) != file:
            raise ValueError(f"{title}: {other.name} and {file.name} have the same name; remove one of them")
    size = read_image(files[0]).shape[:2]
    return Clip(title, tuple(by_name), size, None, lambda number: read_image(files[number]))


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts frame2 before frame10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]
