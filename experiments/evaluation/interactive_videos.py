"""The result of the annotators of videos: as JSON with its protocol in full, and as tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines.datasets.sources import Split
from experiments.evaluation.annotators import Accuracy, AnnotatorOptions, ObjectResult, Times
from experiments.evaluation.spread import spread
from experiments.runs.load import Trained
from experiments.runs.workdir import environment
from experiments.settings.config import Config
from guided_jax.scoring.positive_iu import iu

SHOWN = (1, 2, 3, 5, 10, 15, 20, 30, 50, 100)


def report(
    trained: Trained, config: Config, split: Split, asked: AnnotatorOptions, results: list[ObjectResult], times: Times
) -> dict[str, Any]:
    """The result as JSON: scores in [0, 1], the protocol that gave them, and a row an object."""
    grid = []
    for s, p in asked.cells():
        draws = [_score([each.grid[s, p][draw] for each in results]) for draw in range(asked.draws)]
        grid.append({"frames": s, "points": p, "dots_per_label": s * p, **_over_draws(draws)})
    # Where an object needs no further dot, its last accuracy stands for the later ones.
    curve = [
        {"dots": k + 1, **_score([each.corrected[min(k, len(each.corrected) - 1)] for each in results])}
        for k in range(asked.corrections)
    ]
    protocol = {
        "task": "interactive video",
        "data": split.name,
        "source": asked.source,
        "data_version": split.version,
        "videos": sorted({each.video for each in results}),
        "every": asked.every,
        "objects": len(results),
        "labels": "each object on its own against all the rest, whose dots are negative",
        "frames": list(asked.frames),
        "points": list(asked.points),
        "budget": asked.budget,
        "draws": asked.draws,
        "random": (
            "P points per label, uniform, on S frames, uniform over those that show the object; the smaller numbers "
            "are parts of the larger ones; with fewer frames or pixels, all of them"
        ),
        "corrections": asked.corrections,
        "correction_rule": (
            "from empty masks; one dot on the frame of lowest J, the first of equals, where the error is deepest by "
            "exact Euclidean distance, void left out (the rule of the clicks); positive if the missed region is deeper"
        ),
        "scored": "every frame that has a mask, the annotated ones too",
        "accumulation": "pos_iu: counts pooled over frames and objects, void left out; j: mean over frames, then "
        "over objects, void is background",
        "max_side": config.data.max_side,
        "seed": config.seed,
        "step": trained.step,
    }
    rows = [
        {
            "video": each.video,
            "object": each.label,
            "frames": each.scored,
            "grid": [
                {"frames": s, "points": p, **_over_draws([_score([accuracy]) for accuracy in each.grid[s, p]])}
                for s, p in asked.cells()
            ],
            "corrections": [
                {"dot": list(dot), **_score([accuracy])}
                for dot, accuracy in zip(each.dots, each.corrected, strict=True)
            ],
        }
        for each in results
    ]
    return {
        "name": trained.config.name,
        "protocol": protocol,
        "scores": {"grid": grid, "corrections": curve},
        "objects": rows,
        "times": {
            "encode_ms_per_frame": float(np.median(times.encode)),
            "update_ms": float(np.median(times.update)),
            "frame_ms": float(np.median(times.frame)) if times.frame else None,
            "of": "medians; update: from a dot to the uint8 mask of its frame on the host, without any encoding; "
            "frame: the mask of each other frame after it; compiling and reading left out",
        },
        "about": environment(),
    }


def _score(accuracies: Sequence[Accuracy]) -> dict[str, float]:
    counts = np.sum([each.counts for each in accuracies], axis=0)
    return {"pos_iu": float(iu(counts)), "j": float(np.mean([each.j for each in accuracies]))}


def _over_draws(scores: list[dict[str, float]]) -> dict[str, Any]:
    """Means over draws, and with several of them the standard deviations."""
    found = {key: spread([each[key] for each in scores]) for key in scores[0]}
    means: dict[str, Any] = {key: each.mean for key, each in found.items()}
    if len(scores) > 1:
        means["deviation"] = {key: each.deviation for key, each in found.items()}
    return means


def describe(result: dict[str, Any]) -> str:
    """The result as tables for a terminal."""
    protocol, scores, times = result["protocol"], result["scores"], result["times"]
    cells = {(each["frames"], each["points"]): each for each in scores["grid"]}
    lines = [f"{protocol['data']}: {len(protocol['videos'])} videos, {protocol['objects']} objects"]
    for key, title in (("pos_iu", "positive IU"), ("j", "J")):
        lines.append(f"{title} x 100 by annotated frames S (down) and points per label and frame P (across):")
        lines.append(f"{'S':>8}" + "".join(f"{f'P={p}':>8}" for p in protocol["points"]))
        for s in protocol["frames"]:
            row = [cells.get((s, p)) for p in protocol["points"]]
            lines.append(f"{s:>8}" + "".join(f"{100 * each[key]:>8.1f}" if each else f"{'-':>8}" for each in row))
    if scores["corrections"]:
        chosen = [each for each in scores["corrections"] if each["dots"] in SHOWN]
        lines.append("corrections, one dot at a time on the worst frame:")
        lines.append(f"{'dots':>14}" + "".join(f"{each['dots']:>8}" for each in chosen))
        lines.append(f"{'positive IU':>14}" + "".join(f"{100 * each['pos_iu']:>8.1f}" for each in chosen))
        lines.append(f"{'J':>14}" + "".join(f"{100 * each['j']:>8.1f}" for each in chosen))
    lines.append(
        f"a dot takes {times['update_ms']:.1f} ms to its frame's mask, each other frame {times['frame_ms'] or 0:.1f} "
        f"ms; a frame was encoded once, in {times['encode_ms_per_frame']:.0f} ms"
    )
    return "\n".join(lines)
