"""Which tasks PASCAL-5i's lists take, from the masks of VOC and SBD, and the files; `guided_jax lists` writes them.

A list holds the tasks of a fold's own classes: lines `IMAGE__CC`, CC the class from 01 to 20. Compared with the
community's own, as HSNet's repository has them, ours are over the images at hand.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from data_pipelines.datasets.record import decode_layer, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.datasets.voc import CLASSES
from data_pipelines.disk import write_text
from data_pipelines.selection.classes import FOLDS
from data_pipelines.selection.lists import Listed

STRIDE, LEAST = 32, 3


class Verdict(NamedTuple):
    """Whether a list takes a class in an image.

    Attributes:
        taken: by the rule.
        rounding: whether another rounding of half a pixel would turn that.
    """

    taken: bool
    rounding: bool


def judge(mask: Bool[np.ndarray, "h w"]) -> Verdict:
    """OSLSM's rule against small objects: a mask scaled down to 1/32 must keep more than two pixels.

    Its `change_coordinates` pads 15 pixels and takes the nearest pixel at the centre of each 32 x 32 cell. That centre
    lies halfway between the pixels 32i and 32i+1 of the mask, and rounds up to 32i+1. The scikit-image of that time
    estimated the map by a singular value decomposition, whose last bits depend on the linear algebra library
    (scikit-image issue 2629) and could tip some rows or columns to 32i: the community's lists of val show none of that,
    those of trn do (about 4 lines in a thousand). No map by image size agrees with both: at 375 x 500 they need
    different rows of the same cell.
    """
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % STRIDE), (0, -width % STRIDE)))
    near = np.stack([padded[i::STRIDE, j::STRIDE] for i in (0, 1) for j in (0, 1)])
    taken = int(near[3].sum()) >= LEAST
    return Verdict(taken, bool(near.all(0).sum() < LEAST <= near.any(0).sum()))


def judge_split(split: Split) -> dict[Listed, Verdict]:
    """The verdict on every class region of a split of VOC or SBD."""
    verdicts = {}
    for number in range(len(split.records)):
        record = to_record(split.records[number])
        layers = {}
        for segment in record.segments:
            if segment.instance == 0:
                layer = layers.setdefault(segment.layer, decode_layer(record.layers[segment.layer]))
                verdicts[Listed(record.image_id, segment.class_id)] = judge(layer == segment.value)
    return verdicts


def write_lists(folder: Path, listed: Sequence[Listed]) -> list[int]:
    """Writes `fold0.txt` to `fold3.txt` in the order given; returns their numbers of lines."""
    folder.mkdir(parents=True, exist_ok=True)
    size, numbers = len(CLASSES) // FOLDS, []
    for fold in range(FOLDS):
        lines = [str(line) for line in listed if (line.class_id - 1) // size == fold]
        write_text(folder / f"fold{fold}.txt", "".join(f"{line}\n" for line in lines))
        numbers.append(len(lines))
    return numbers


def by_class(line: Listed) -> tuple[int, str]:
    """The order of the community's lists of trn; those of val are by image."""
    return line.class_id, line.image_id


def compare(verdicts: dict[Listed, Verdict], theirs: Sequence[Listed]) -> dict[Listed, bool]:
    """The lines of the images at hand that only one side takes: whether rounding decides them."""
    images = {line.image_id for line in verdicts}
    there = {line for line in theirs if line.image_id in images}
    ours = {line for line, verdict in verdicts.items() if verdict.taken}
    return {line: line in verdicts and verdicts[line].rounding for line in sorted(there ^ ours)}
