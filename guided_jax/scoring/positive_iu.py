"""Positive IU: the intersection over union of the positives (paper 5), from summed counts.

Two accumulations, always both, since they differ: *pooled* sums the counts of all tasks before dividing
(the reference's `pos_iu`: large objects weigh more), *class mean* sums over each class's tasks, divides,
and takes the mean of the classes (OSLSM's).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int, Int32, Shaped, UInt8

from guided_jax.episode import UNKNOWN
from guided_jax.scoring.inputs import as_classes, as_counts, check_masks

LabelMap = Bool[np.ndarray | Array, "*b h w"] | UInt8[np.ndarray | Array, "*b h w"]
"""Labels of numpy or JAX; bool where there is a single object."""


def count_positives(prediction: LabelMap, target: LabelMap) -> Int32[np.ndarray | Array, "*b 3"]:
    """Counts true positive, false positive and false negative pixels of each episode, on the host or on the device.

    A pixel is a true positive where prediction and target agree on a positive label; predicted
    as another positive it counts on both sides, as in a union of binary tasks. Pixels with
    target 255 (void, padding) are left out.

    Raises:
        ValueError: the maps are not uint8 or bool, or not of one shape.
    """
    check_masks(("prediction", "target"), prediction, target, axes=None)
    xp = target.__array_namespace__()
    known = target != UNKNOWN
    agree = prediction == target
    positive, claimed = known & (target > 0), known & (prediction > 0)
    parts = (positive & agree, claimed & ~agree, positive & ~agree)
    return xp.stack([part.sum((-2, -1), dtype=xp.int32) for part in parts], -1)


def iu(counts: Shaped[np.ndarray, "*b 3"]) -> np.ndarray:
    """TP / (TP + FP + FN) in [0, 1]; NaN where there was nothing to find and nothing was found."""
    counts = np.asarray(counts, np.float64)
    union = counts.sum(-1)
    return np.where(union > 0, counts[..., 0] / np.maximum(union, 1), np.nan)


class PositiveIU(NamedTuple):
    """Scores in [0, 1] of a set of tasks.

    Attributes:
        pooled: positive IU of the counts of all tasks together.
        class_mean: mean of the positive IUs of the classes that have a task.
        by_class: positive IU of each class, by class id.
        tasks: number of tasks.
    """

    pooled: float
    class_mean: float
    by_class: dict[int, float]
    tasks: int


def positive_iu(counts: Int[np.ndarray, "n 3"], classes: Int[np.ndarray, " n"]) -> PositiveIU:
    """Scores a set of tasks from the counts of each.

    Args:
        counts: true positives, false positives and false negatives of each task.
        classes: class id of each task.

    Raises:
        ValueError: the counts are no whole numbers [n, 3], or the classes are not as many.
    """
    counts = as_counts(counts, "counts", 3)
    classes = as_classes(classes, len(counts))
    by_class = {int(c): float(iu(counts[classes == c].sum(0))) for c in np.unique(classes)}
    defined = [score for score in by_class.values() if not np.isnan(score)]
    mean = float(np.mean(defined)) if defined else float("nan")
    return PositiveIU(float(iu(counts.sum(0))), mean, by_class, len(counts))
