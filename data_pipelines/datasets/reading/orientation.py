"""Whether masks were drawn on images as they are stored, or as EXIF has them turned."""

import contextlib
import itertools
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.datasets.reading.images import UPRIGHT, open_image, read_orientation
from data_pipelines.datasets.record import DatasetError
from data_pipelines.processes import in_order, pieces_of

logger = logging.getLogger(__name__)

CHOICES = ("upright", "stored")
PIECE = 4096
"""Images whose headers one process reads at a time: a second of work or so."""


class Tagged(NamedTuple):
    """An image that its EXIF tag turns: width and height as it is stored, and those of its mask, if it has one."""

    path: Path
    orientation: int
    size: tuple[int, int]
    drawn: tuple[int, int] | None


def survey_orientation(pairs: Iterable[tuple[Path, Path | None]], asked: str = "") -> dict[Path, int]:
    """The images that are to be turned upright, with their EXIF orientation.

    Where a tag exchanges height and width, the mask's size shows how it was drawn. Where it does not (a half turn, a
    square image), the others of the folder tell.

    Args:
        pairs: images with their masks, if they have one.
        asked: 'upright' or 'stored'; empty: found out.

    Raises:
        DatasetError: nothing tells.
    """
    tagged, votes, open_question = {}, {}, None
    with contextlib.closing(in_order(_find_tagged, pieces_of(list(pairs), PIECE))) as pieces:
        found = list(itertools.chain.from_iterable(pieces))
    for image_path, orientation, size, drawn in found:
        tagged[image_path] = orientation
        if drawn is None:
            continue
        exchanged = size[::-1] if orientation >= 5 else size
        if exchanged != size and drawn in (size, exchanged):
            votes.setdefault("stored" if drawn == size else "upright", image_path)
        else:
            open_question = open_question or (image_path, orientation)
    choice = asked or (next(iter(votes)) if len(votes) == 1 else "")
    if not choice and (open_question or votes):
        image_path, orientation = open_question or (votes["upright"], tagged[votes["upright"]])
        raise DatasetError(
            f"{image_path} is turned by its EXIF tag (orientation {orientation}), and nothing tells whether its mask "
            "was drawn on it as viewers show it, or as it is stored; add :exif=upright or :exif=stored to the source"
        )
    if tagged:
        what = "are turned as viewers show them" if choice == "upright" else "stay as they are stored"
        logger.info("%d images with an EXIF orientation %s, as their masks are", len(tagged), what)
    return tagged if choice == "upright" else {}


def _find_tagged(pairs: Sequence[tuple[Path, Path | None]]) -> list[Tagged]:
    tagged = []
    for image_path, mask_path in pairs:
        with open_image(image_path) as image:
            orientation, size = read_orientation(image), image.size
        if orientation == UPRIGHT:
            continue
        drawn = None
        if mask_path is not None:
            with open_image(mask_path) as mask:
                drawn = mask.size
        tagged.append(Tagged(image_path, orientation, size, drawn))
    return tagged
