"""The result of clicks: as JSON with its protocol in full and a row an object, and as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.evaluation.clicks import ClickOptions, Object
from experiments.runs.data import OpenSource
from experiments.runs.load import Trained
from experiments.runs.workdir import environment
from experiments.settings.config import Config
from experiments.settings.fields import to_dict
from guided_jax.scoring.clicks import click_score, noc

SHOWN = (1, 2, 3, 5, 10, 15, 20)
RULE = (
    "of the missed and the wrongly taken pixels, void left out and the frame padded by 1, the deepest by exact "
    "Euclidean distance, pixels clicked before left out; positive if the missed region is strictly deeper, else "
    "negative; the first in row-major order; from an empty mask"
)


def report(
    trained: Trained,
    config: Config,
    opened: OpenSource,
    objects: Sequence[Object],
    asked: ClickOptions,
    *,
    seen: Sequence[str] | None,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The result as JSON: the scores, the protocol that gave them, and each object's clicks and IoUs.

    Args:
        trained: the model.
        config: with the data and the evaluation that were asked for.
        opened: whose objects.
        objects: that were clicked on.
        asked: what for.
        seen: evaluated classes that the model was trained on; None: unknown.
        about: what else the result says of itself.
    """
    targets = [target / 100 for target in asked.targets]
    scores = click_score([each.clicked.ious for each in objects], targets, asked.clicks)
    protocol = {
        "task": "clicks",
        "data": opened.split.name,
        "source": config.eval.source,
        "data_version": opened.split.version,
        "unit": opened.source.unit,
        "classes": config.eval.classes,
        "seen_in_training": "unknown" if seen is None else list(seen),
        "forced": config.eval.force_seen and (seen is None or bool(seen)),
        "lists": config.eval.lists,
        "objects": scores.objects,
        "limit": asked.limit,
        "clicks": asked.clicks,
        "click_rule": RULE,
        "noc": "first click with an IoU of at least the target, else the limit; at_limit counts NoC == limit",
        "mean_iou": "after k clicks, mean over objects; where no wrong pixel is left it stays",
        "threshold": "the greatest logit, of two labels a probability above 0.5",
        "void": "pixels of label 255 are left out",
        "aids": "none at test time: no zoom, no flip, no previous mask",
        "upsampling": "guided filter" if asked.guided_filter else "bilinear",
        "max_side": config.data.max_side,
        "min_area": config.eval.min_area,
        "seed": config.seed,
        "step": trained.step,
    }
    updates = [each for one in objects for each in one.update_ms]
    encodes = [each.encode_ms for each in objects if each.encode_ms]
    masks = {"masks": _from_workdir(asked.save, asked.workdir)} if asked.save else {}
    return {
        "name": trained.config.name,
        "protocol": protocol,
        **masks,
        "scores": {
            "noc": {str(percent): scores.noc[t] for percent, t in zip(asked.targets, targets, strict=True)},
            "at_limit": {str(percent): scores.at_limit[t] for percent, t in zip(asked.targets, targets, strict=True)},
            "mean_iou": scores.mean_iou,
        },
        "objects": [
            {
                "image": each.image,
                "object": each.name,
                "clicks": [list(click) for click in each.clicked.clicks],
                "ious": each.clicked.ious,
                "noc": {str(p): noc(each.clicked.ious, p / 100, asked.clicks) for p in asked.targets},
            }
            for each in objects
        ],
        "times": {
            "click_ms_median": float(np.median(updates)),
            "click_ms_mean": float(np.mean(updates)),
            "click_ms_mean_with_encoding": float((sum(updates) + sum(encodes)) / len(updates)),
            "encode_ms_median": float(np.median(encodes)),
            "of": "from the click to the uint8 mask on the host; compiling, reading images and the user left out",
        },
        "about": {"config": to_dict(config), **about, **environment()},
    }


def _from_workdir(folder: Path, workdir: Path | None) -> str:
    """A folder as it is found from the workdir, where it lies in there; else as given."""
    if not workdir:
        return str(folder)
    inside = folder.resolve().is_relative_to(workdir.resolve())
    return str(folder.resolve().relative_to(workdir.resolve()) if inside else folder)


def describe(result: dict[str, Any]) -> str:
    """The result as a table for a terminal."""
    scores, times, clicks = result["scores"], result["times"], result["protocol"]["clicks"]
    lines = [f"{result['protocol']['data']}: {result['protocol']['objects']} objects, {clicks} clicks at most"]
    lines.append(f"{'IoU target':>22}" + "".join(f"{f'{percent} %':>8}" for percent in scores["noc"]))
    lines.append(f"{'clicks (NoC)':>22}" + "".join(f"{each:>8.2f}" for each in scores["noc"].values()))
    lines.append(f"{f'objects >= {clicks}':>22}" + "".join(f"{each:>8}" for each in scores["at_limit"].values()))
    shown = [number for number in SHOWN if number <= clicks]
    lines.append(f"{'clicks':>22}" + "".join(f"{number:>8}" for number in shown))
    lines.append(f"{'mean IoU x 100':>22}" + "".join(f"{100 * scores['mean_iou'][k - 1]:>8.1f}" for k in shown))
    lines.append(
        f"a click takes {times['click_ms_median']:.1f} ms; {times['click_ms_mean_with_encoding']:.1f} ms on average "
        f"with the encoding of the images ({times['encode_ms_median']:.0f} ms each)"
    )
    return "\n".join(lines)
