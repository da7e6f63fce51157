"""What the published codes would report of the same few-shot episodes, side by side, for a result."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from guided_jax.scoring.few_shot import PROTOCOLS, score_episodes

RULE = (
    "accumulations: mIoU and FB-IoU as the codes of OSLSM, PANet, HSNet and PFENet and the reference sum them "
    "(guided_jax.scoring.few_shot), over the classes that have an episode"
)


def accumulate(
    draws: Sequence[tuple[Int[np.ndarray, "n 6"], Int[np.ndarray, " n"]]],
) -> dict[str, dict[str, Any]]:
    """Scores the outcomes of each draw and their classes under every accumulation; means over the draws.

    Returns:
        By name of the accumulation: `iou` and `fb_iou` in [0, 1] (None where the code has none, or nothing to divide),
        and with several draws `draws` of iou and their sample `deviation`.
    """
    table = {}
    for protocol in PROTOCOLS:
        scored = [score_episodes(outcomes, classes, protocol) for outcomes, classes in draws]
        ious = [each.iou for each in scored]
        row: dict[str, Any] = {"iou": _number(ious), "fb_iou": _number([each.fb_iou for each in scored])}
        if len(draws) > 1:
            known = row["iou"] is not None
            row |= {"deviation": statistics.stdev(ious) if known else None, "draws": ious if known else None}
        table[protocol] = row
    return table


def _number(values: Sequence[float | None]) -> float | None:
    """Their mean for JSON, which has no NaN."""
    if any(value is None or math.isnan(value) for value in values):
        return None
    return values[0] if len(values) == 1 else statistics.fmean(values)
