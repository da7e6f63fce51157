"""What a report is made of, whatever it is written as."""

from pathlib import Path
from typing import NamedTuple


class Text(NamedTuple):
    """A paragraph of plain text."""

    text: str


class Table(NamedTuple):
    """A table of plain text.

    Attributes:
        head: names of the columns.
        rows: cells, as many as columns.
        caption: what is shown, and in which unit.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


class Picture(NamedTuple):
    """A PNG in the folder of the report.

    Attributes:
        file: its name there.
        caption: what is shown.
        photo: whether it shows photographs, which a page may hold with some loss.
    """

    file: str
    caption: str
    photo: bool = False


Block = Text | Table | Picture


class Section(NamedTuple):
    """Results that can be compared with each other.

    Attributes:
        title: of the section.
        blocks: in their order.
        protocol: entries that all of its results share, shown at its end.
    """

    title: str
    blocks: list[Block]
    protocol: dict[str, str]


class FigureFolder:
    """The folder of a report, which gives its pictures their names.

    Args:
        folder: an existing one.
    """

    def __init__(self, folder: Path):
        self.folder, self._number = folder, 0

    def new(self, what: str) -> Path:
        """A file for another picture."""
        self._number += 1
        return self.folder / f"{self._number:02d}-{what}.png"


def per_label(points: str) -> str:
    """A number of points in words: `1 point per label`; `dense` and other names as they are."""
    return f"{points} point{'' if points == '1' else 's'} per label" if points.isdigit() else points
