"""What is to be written where, and what of it is there already."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        out: folder of the outputs.
        formats: that are asked for.
        skip_broken: leaves images out that cannot be read.
    """

    out: Path
    formats: tuple[str, ...]
    skip_broken: bool

    @property
    def of_images(self) -> tuple[str, ...]:
        """The formats that each image has a file of."""
        return tuple(kind for kind in self.formats if kind != "mp4")


def are_done(files: Iterable[Path], source: Path) -> bool:
    """Whether files are there, and none of them is older than what it was made of."""
    made = source.stat().st_mtime
    return all(file.is_file() and file.stat().st_mtime >= made for file in files)
