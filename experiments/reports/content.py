"""What a report is made of, whatever it is written as."""

import statistics
from collections.abc import Sequence
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


class Canvas:
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


class Spread(NamedTuple):
    """A mean over runs.

    Attributes:
        mean: of the values.
        deviation: of the sample; None for a single value.
        number: of values.
    """

    mean: float
    deviation: float | None
    number: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation (n - 1) of one value or more."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def percent(value: float | None, deviation: float | None = None) -> str:
    """A score of [0, 1] x 100 with a decimal, `-` where there is none."""
    if value is None or value != value:
        return "-"
    return f"{100 * value:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")


def per_label(points: str) -> str:
    """A number of points in words: `1 point per label`; `dense` and other names as they are."""
    return f"{points} point{'' if points == '1' else 's'} per label" if points.isdigit() else points
