"""Few-shot accumulations by the name of the code that published them: on the same episodes they differ.

From the outcomes of one-way episodes (a positive class against the rest), pixel by pixel:

- `oslsm` (Shaban et al., One-shot learning for semantic segmentation, BMVC 2017; its test script): per class
  TP / max(TP + FP + FN, 1) of the summed counts, mean of the fold's classes. Void counts as background.
- `panet` (Wang et al., PANet, ICCV 2019; its `Metric`): the same sums, but an episode enters those of a label only
  where its target shows that label, so the false positives on a target without positives vanish. Void is dropped.
- `hsnet` (Min et al., HSNet, ICCV 2021; its `AverageMeter`) and `pfenet` (Tian et al., PFENet, TPAMI 2020; its test
  script): intersection / max(union, 1) of the summed counts, mean of the fold's classes. Void is dropped.
- `reference` (Rakelly et al., guided networks; `pos_iu` of its `SegScorer`): counts pooled over all classes before they
  are divided. Void is dropped.

FB-IoU is the mean of the IoU of the foreground and of the background, each pooled over all episodes and classes:
`panet` again leaves out the episodes whose target lacks the side in question, `hsnet` and `pfenet` leave out none.
The codes of OSLSM and of the reference report none.

The published codes sum one fold; the paper's figure is the mean of the four folds (and, for PANet, of its runs).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Int, Int32, Integer

from guided_jax.episode import UNKNOWN
from guided_jax.inputs import check_whole, describe, is_array
from guided_jax.scoring.inputs import as_classes, as_counts, check_masks
from guided_jax.scoring.positive_iu import LabelMap, count_positives

OUTCOMES = (
    "true_positive",
    "false_positive",
    "false_negative",
    "true_negative",
    "void_positive",
    "void_negative",
)
"""What `count_outcomes` counts, in its order; the first three are those of `count_positives`."""


def count_outcomes(
    prediction: LabelMap,
    target: LabelMap,
    size: Integer[np.ndarray | Array, "*b 2"] | None = None,
) -> Int32[np.ndarray | Array, "*b 6"]:
    """Counts the pixels of each outcome of one-way episodes, on the host (numpy) or on the device (jax.numpy).

    Args:
        prediction: 0 negative, anything else positive.
        target: 0 negative, 255 void or padding, anything else positive.
        size: height and width of the images at the top left of their canvases; what lies outside is padding and never
            counts. Without it the whole map is the image: 255 is void.

    Returns:
        Pixels, in the order of `OUTCOMES`.

    Raises:
        ValueError: the maps are not uint8 or bool, or not of one shape, or the sizes are not theirs.
    """
    check_masks(("prediction", "target"), prediction, target, axes=None)
    if size is not None:
        _check_sizes(size, target.shape[:-2])
    xp = target.__array_namespace__()
    positive, void = prediction > 0, target == UNKNOWN
    wanted, other = (target > 0) & ~void, target == 0
    if size is not None:
        ones = (1,) * (target.ndim - 2)
        rows = xp.arange(target.shape[-2]).reshape(*ones, -1, 1)
        columns = xp.arange(target.shape[-1]).reshape(*ones, 1, -1)
        void &= (rows < size[..., :1, None]) & (columns < size[..., 1:, None])
    parts = (
        wanted & positive,
        other & positive,
        wanted & ~positive,
        other & ~positive,
        void & positive,
        void & ~positive,
    )
    return xp.stack([part.sum((-2, -1), dtype=xp.int32) for part in parts], axis=-1)


def _check_sizes(size, lead: tuple[int, ...]) -> None:
    if not is_array(size) or size.dtype.kind not in "iu" or tuple(size.shape) != (*lead, 2):
        raise ValueError(
            f"the size is {describe(size)}; it must be whole numbers {(*lead, 2)}: height and width of each image"
        )


def count_labels(
    prediction: LabelMap,
    target: LabelMap,
    size: Integer[np.ndarray | Array, "*b 2"] | None = None,
) -> Int32[np.ndarray | Array, "*b 6"]:
    """`count_positives`, then the other three of `count_outcomes`: the same as the latter where no label is above 1.

    Args:
        prediction: labels; one positive taken for another is a false positive and a false negative.
        target: labels, 255 void or padding.
        size: as in `count_outcomes`.
    """
    outcomes = count_outcomes(prediction, target, size)
    return target.__array_namespace__().concat([count_positives(prediction, target), outcomes[..., 3:]], axis=-1)


class FewShotScore(NamedTuple):
    """The score of a set of episodes, usually those of one fold.

    Attributes:
        protocol: name of the code whose accumulation it is.
        iou: what that code calls mIoU, in [0, 1]; the pooled IoU for the reference.
        fb_iou: FB-IoU in [0, 1]; None where that code has none.
        by_class: IoU of each class of the fold in [0, 1], by class id.
        episodes: number of episodes.
    """

    protocol: str
    iou: float
    fb_iou: float | None
    by_class: dict[int, float]
    episodes: int


class Accumulation(NamedTuple):
    """How a published code sums the outcomes of episodes, and what it divides.

    Attributes:
        void_is_background: void pixels count as background; else they are dropped.
        where_shown: an episode enters the sums of a side, foreground or background, only where its target shows it.
        pooled: counts are summed over all classes and then divided; else the IoU is the mean of the classes' IoUs.
        least_union: least divisor, in pixels: with 1 a class without any scores 0, with 0 it is undefined.
        has_fb_iou: the code reports FB-IoU.
    """

    void_is_background: bool = False
    where_shown: bool = False
    pooled: bool = False
    least_union: int = 0
    has_fb_iou: bool = False


ACCUMULATIONS = {
    "oslsm": Accumulation(void_is_background=True, least_union=1),
    "panet": Accumulation(where_shown=True, has_fb_iou=True),
    "hsnet": Accumulation(least_union=1, has_fb_iou=True),
    "pfenet": Accumulation(least_union=1, has_fb_iou=True),
    "reference": Accumulation(pooled=True),
}
"""By name of the code that published them, see the head of this file."""


def score_episodes(
    outcomes: Int[np.ndarray, "n 6"], classes: Int[np.ndarray, " n"], protocol: str, fold: Sequence[int] = ()
) -> FewShotScore:
    """Scores episodes as a published code does.

    Args:
        outcomes: of each episode, from `count_outcomes`.
        classes: class id of each episode.
        protocol: whose accumulation: one of `ACCUMULATIONS`.
        fold: all class ids of the fold; by default those that occur. A class without an episode (in PANet: without
            a positive) scores 0 for OSLSM, HSNet and PFENet, and is undefined, NaN, for PANet, as is their mean; the
            reference has no mean of classes.

    Raises:
        ValueError: an unknown protocol, an episode of a class outside the fold, outcomes that are no whole numbers
            [n, 6], or classes that are not as many.
    """
    if protocol not in ACCUMULATIONS:
        raise ValueError(f"protocol is {protocol!r}; it must be one of {', '.join(ACCUMULATIONS)}")
    rule = ACCUMULATIONS[protocol]
    outcomes = as_counts(outcomes, "outcomes", len(OUTCOMES))
    classes = as_classes(classes, len(outcomes))
    labels = sorted(check_whole(label, "a class of the fold") for label in fold) or sorted(set(classes.tolist()))
    if strangers := sorted(set(classes.tolist()) - set(labels)):
        raise ValueError(f"episodes of the classes {strangers}, which are not of the fold {labels}")
    foreground, background = _sides(outcomes, rule)
    sums = {label: foreground[classes == label].sum(0) for label in labels}
    by_class = {label: _iou(each, rule.least_union) for label, each in sums.items()}
    if rule.pooled:
        value = _iou(foreground.sum(0))
    else:
        value = float(np.mean(list(by_class.values()))) if by_class else float("nan")
    fb_iou = (_iou(foreground.sum(0)) + _iou(background.sum(0))) / 2 if rule.has_fb_iou else None
    return FewShotScore(protocol, value, fb_iou, by_class, len(outcomes))


def _sides(outcomes: np.ndarray, rule: Accumulation) -> tuple[np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives of foreground and background."""
    tp, fp, fn, tn, void_positive, void_negative = outcomes.T
    if rule.void_is_background:
        fp, tn = fp + void_positive, tn + void_negative
    foreground, background = np.stack([tp, fp, fn], 1), np.stack([tn, fn, fp], 1)
    if rule.where_shown:
        foreground = np.where((tp + fn > 0)[:, None], foreground, 0)
        background = np.where((tn + fp > 0)[:, None], background, 0)
    return foreground, background


def _iou(counts: np.ndarray, least_union: int = 0) -> float:
    union = max(int(counts.sum()), least_union)
    return float(counts[0] / union) if union else float("nan")
