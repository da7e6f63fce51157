"""What the published codes would report of the same few-shot episodes, side by side, for a result."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from experiments.evaluation.spread import mean, spread
from guided_jax.scoring.few_shot import ACCUMULATIONS, score_episodes

RULE = (
    "accumulations: mIoU and FB-IoU as the codes of OSLSM, PANet, HSNet and PFENet and the reference sum them "
    "(guided_jax.scoring.few_shot), over the classes that have an episode"
)


def accumulate(
    draws: Sequence[tuple[Int[np.ndarray, "n 6"], Int[np.ndarray, " n"]]],
) -> dict[str, dict[str, Any]]:
    """Scores episodes under every accumulation.

    Args:
        draws: of each draw the outcomes of its episodes (`OUTCOMES`, pixels) and their class ids.

    Returns:
        By name of the accumulation `iou` and `fb_iou` in [0, 1], means over the draws (None where the code reports
        none, or nothing was there to divide); with several draws, the `draws` of iou and their `deviation`.
    """
    table = {}
    for name in ACCUMULATIONS:
        scored = [score_episodes(outcomes, classes, name) for outcomes, classes in draws]
        ious = spread([each.iou for each in scored])
        row: dict[str, Any] = {"iou": ious.mean, "fb_iou": mean([each.fb_iou for each in scored])}
        if len(draws) > 1:
            known = ious.mean is not None
            row |= {"deviation": ious.deviation, "draws": [each.iou for each in scored] if known else None}
        table[name] = row
    return table
