"""Figures that are published, for the tasks that they are of; none that can only be read off a plot.

The paper: Rakelly, Shelhamer, Darrell, Efros and Levine, Few-Shot Segmentation Propagation with Guided Networks,
arXiv 1806.07373. Its accuracy is positive IU. Figures of OSLSM (Shaban et al., BMVC 2017) and of co-FCN (Rakelly et
al., ICLR workshop 2018) on PASCAL-5i are mIoU over the classes of a fold, dense support. Those of PANet, PFENet and
HSNet with VGG-16 are means over the folds, and shown beside their own episodes alone.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from experiments.evaluation.spread import percent

Result = Mapping[str, Any]


class Published(NamedTuple):
    """A published figure.

    Attributes:
        what: was measured.
        figure: as published.
        source: where it stands.
        protocol: under which it was measured, as far as it is told.
        ours: what corresponds to it in a result of the same task; None where the result has none.
    """

    what: str
    figure: str
    source: str
    protocol: str
    ours: Callable[[Result], str | None]


PAPER = "paper, section {}"
REPORTED = "as reported by the co-FCN README of rezazad68/fewshot-segmentation"


def _percent(value: float | None) -> str | None:
    return None if value is None else percent(value)


def _of_video(points: str) -> Callable[[Result], str | None]:
    return lambda result: _percent(result["scores"].get(points, {}).get("pos_iu"))


def _kept(result: Result) -> str | None:
    few, dense = (result["scores"].get(points, {}).get("pos_iu") for points in ("5", "dense"))
    return f"{100 * few / dense:.0f} %" if few is not None and dense else None


def _seconds(result: Result) -> str | None:
    seconds = result.get("speed", {}).get("seconds_per_video")
    return None if seconds is None else f"{seconds:.2f} s a video"


DAVIS = "DAVIS 2017 val, first frame annotated"
VIDEO = (
    Published("positive IU x 100, dense first frame", "33.3", PAPER.format(5.3), DAVIS, _of_video("dense")),
    Published("of the dense accuracy with 5 points per label", "87 %", PAPER.format(5.3), DAVIS, _kept),
    Published("time", "~ 3 s a video", PAPER.format(5.3), f"{DAVIS}; a GPU of 2018", _seconds),
)


def _pooled(points: str) -> Callable[[Result], str | None]:
    return lambda result: _percent(result["scores"].get(points, {}).get("pos_iu"))


def _gain(result: Result) -> str | None:
    one, ten = (result["scores"].get(points, {}).get("pos_iu") for points in ("1", "10"))
    return None if one is None or ten is None else f"{100 * (ten - one):+.1f}"


SPLITS = "PASCAL VOC, classes held out; mean of four splits, of which a fold is one"
CROSS = (
    Published("learnt from instances: 1 point per label", "26.4", PAPER.format(5.2), SPLITS, _pooled("1")),
    Published("its gain from 1 to 10 points", "+6", PAPER.format(5.2), SPLITS, _gain),
)

FOLDS = {
    ("co-FCN", 1): (36.7, 50.6, 44.9, 32.4),
    ("co-FCN", 5): (37.5, 50.0, 44.1, 33.9),
    ("OSLSM", 1): (33.6, 55.3, 40.9, 33.5),
    ("OSLSM", 5): (35.9, 58.1, 42.7, 39.1),
}
"""mIoU x 100 of PASCAL-5i's folds 0 to 3."""


MEANS = {
    ("panet", 1): ("PANet", 48.1, "arXiv 1908.06391, abstract"),
    ("panet", 5): ("PANet", 55.7, "arXiv 1908.06391, abstract"),
    ("pfenet", 1): ("PFENet", 58.0, "arXiv 2008.01449, as Papers with Code lists it"),
    ("hsnet", 1): ("HSNet", 59.7, "arXiv 2104.01538, as the README of BAM lists it"),
    ("hsnet", 5): ("HSNet", 64.1, "arXiv 2104.01538, as the README of BAM lists it"),
}
"""Name, mean mIoU x 100 of PASCAL-5i's folds with VGG-16, and source, by protocol and shots."""


def _accumulated(name: str) -> Callable[[Result], str | None]:
    def ours(result: Result) -> str | None:
        table = result["scores"].get("dense", {}).get("accumulations", {})
        return _percent(table[name]["iou"]) if name in table else None

    return ours


def fold_of(protocol: Mapping[str, Any]) -> int | None:
    """The fold of PASCAL-5i that was evaluated on VOC; None where it was something else."""
    found = re.fullmatch(r"\s*fold:([0-3])\s*", str(protocol.get("chosen_classes", "")))
    of_voc = str(protocol.get("source", "")).startswith(("voc:", "sbd:"))
    return int(found[1]) if found and of_voc and protocol.get("mode") == "semantic" else None


def published_for(kind: str, result: Result) -> list[Published]:
    """The figures for the task of a result, in the order of the paper.

    Args:
        kind: of the result.
        result: with its protocol.
    """
    protocol = result["protocol"]
    if kind == "video":
        whole = protocol.get("source") == "davis:val" and protocol.get("names", "all") == "all"
        return list(VIDEO) if whole and protocol.get("every", 1) == 1 and protocol.get("shots") == 1 else []
    fold = fold_of(protocol) if kind == "evaluation" else None
    if fold is None or protocol.get("forced"):
        return []
    rows = []
    if result.get("about", {}).get("trained_on", {}).get("mode") == "interactive" and protocol.get("shots") == 1:
        rows += CROSS
    for (name, shots), folds in FOLDS.items():
        if shots == protocol.get("shots"):
            what = f"{name}, {shots}-shot, fold {fold}: mIoU x 100, dense"
            how = "PASCAL-5i, 1,000 episodes; ours: accumulation of OSLSM, the episodes of this protocol"
            rows.append(Published(what, f"{folds[fold]:.1f}", REPORTED, how, _accumulated("oslsm")))
    episodes = str(protocol.get("episodes", "")).partition(":")[0]
    if named := MEANS.get((episodes, protocol.get("shots"))):
        name, figure, source = named
        what = f"{name}, VGG-16, {protocol['shots']}-shot, mean of the folds 0 to 3: mIoU x 100, dense"
        how = f"PASCAL-5i, the episodes of {name}; ours: its accumulation, of fold {fold} alone"
        rows.append(Published(what, f"{figure:.1f}", source, how, _accumulated(episodes)))
    return rows
