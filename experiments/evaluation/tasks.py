"""Scores a model on every task of a data set, and names the protocol in full."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Bool, Int64
from tqdm import tqdm

from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.points import name_count
from data_pipelines.selection.lists import hash_lists
from data_pipelines.selection.protocols import PROTOCOLS
from data_pipelines.tasks import count_tasks
from experiments.evaluation.accumulations import RULE, accumulate
from experiments.evaluation.spread import defined, mean, spread
from experiments.runs.data import OpenSource, host_batches, task_classes
from experiments.settings.config import Config
from guided_jax.learning.parallel import prefetch
from guided_jax.scoring.positive_iu import PositiveIU, iu, positive_iu

SUPPORT = {
    "interactive": "the annotated image is the query itself",
    "semantic": "support drawn from the other images of its class",
    "video": "support the first frames that show the object, their points drawn anew for every query",
}
"""Where the support of a task comes from, by mode."""


SMALL = 0.02
"""Share of an image below which a task is a small one."""


class Scores(NamedTuple):
    """Positive IU of every number of points.

    Attributes:
        by_points: scores by the number of points per label, as a name (`dense` too).
        counts: pixels of each task under each number of points, in the order of the episodes: int64 [n, a, 6], columns
            as `guided_jax.scoring.few_shot.OUTCOMES`.
        classes: class id of each task.
    """

    by_points: dict[str, PositiveIU]
    counts: np.ndarray
    classes: np.ndarray


Keep = Callable[[np.ndarray, np.ndarray], None]
"""Is given the numbers (uint32) of a batch's tasks and their label maps [b, a, h, w] on the canvas."""


def make_scores(counts: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Scores:
    """Scores from the counts [n, a, 6] of each task under each of the named numbers of points."""
    by_points = {name: positive_iu(counts[:, a, :3], classes) for a, name in enumerate(names)}
    return Scores(by_points, counts, classes)


def is_small(counts: Int64[np.ndarray, "*b 6"]) -> Bool[np.ndarray, "*b"]:
    """Whether tasks take less than `SMALL` of what is known of their image, by their counts of `OUTCOMES`."""
    return counts[..., 0] + counts[..., 2] < SMALL * counts[..., :4].sum(-1)


def small_iu(counts: Int64[np.ndarray, "n 6"]) -> float:
    """Positive IU pooled over the small tasks, which large ones would hide; NaN where there are none."""
    return float(iu(counts[is_small(counts)][:, :3].sum(0)))


def score(
    config: Config,
    params: dict,
    episodes: EvaluationEpisodes,
    count: Callable,
    mode: str,
    *,
    show: bool = False,
    keep: Keep | None = None,
) -> Scores:
    """Scores every task once, whatever the batch size, the devices and the hosts.

    Args:
        config: of the experiment.
        params: of the model, on the devices.
        episodes: what to score.
        count: the parallel evaluate step.
        mode: pmap, jit or fsdp.
        show: whether to show progress.
        keep: is given the label maps that this process predicts; `count` must then return them, too.
    """
    devices = jax.local_devices()
    batches = host_batches(config, episodes, episodes.group)
    total = len(episodes) // episodes.group
    counts, classes, real, numbers = [], [], [], []
    placed = prefetch(_keep_host_fields(batches, classes, real, numbers), mode, devices)
    for batch in tqdm(placed, desc="evaluate", total=total, disable=None if show else True, leave=False, mininterval=1):
        found = count(params, batch)
        if keep is not None:
            found, labels = found
            kept = real[len(counts)]
            keep(numbers[len(counts)][kept], labels[kept])
        counts.append(found)
    rows = [np.stack(each) for each in (counts, classes, real)]
    if jax.process_count() > 1:
        # [hosts, batches, ...] to batches in the order of the episodes.
        rows = [np.concatenate(list(each), axis=1) for each in multihost_utils.process_allgather(rows)]
    counts, classes, real = (np.concatenate(list(each)) for each in rows)
    counts, classes = counts[real].astype(np.int64), classes[real]
    return make_scores(counts, classes, [name_count(number) for number in episodes.counts])


def _keep_host_fields(batches, classes, real, numbers):
    for batch in batches:
        classes.append(batch.task_class)
        real.append(batch.real)
        numbers.append(batch.index)
        yield batch


def report(
    config: Config,
    opened: OpenSource,
    scores: Scores,
    *,
    step: int | None,
    limit: int,
    about: dict,
    more: Sequence[Scores] = (),
    seen: Sequence[str] | None = None,
) -> dict:
    """The result as JSON: scores in [0, 1] and the protocol that gave them.

    Args:
        config: of the experiment.
        opened: what was evaluated.
        scores: of the first draw of support and points.
        step: of the checkpoint; None where the masks are not of a model of ours.
        limit: most tasks that were asked for; 0: all.
        about: what else the result says of itself.
        more: of the other draws; then scores are means over all draws, beside each draw's own and their deviation.
        seen: evaluated classes that the model was trained on; None: unknown.
    """
    names = opened.split.class_names
    mode = config.eval.mode or config.data.mode
    by_points = {}
    for a, points in enumerate(scores.by_points):
        draws = [each.by_points[points] for each in (scores, *more)]
        classes = {
            names[c - 1] if c else "all": mean([each.by_class[c] for each in draws if c in each.by_class])
            for c in sorted(set().union(*(each.by_class for each in draws)))
        }
        values = {"pos_iu": [each.pooled for each in draws], "class_mean": [each.class_mean for each in draws]}
        values["small"] = [small_iu(each.counts[:, a]) for each in (scores, *more)]
        found = {name: spread(each) for name, each in values.items()}
        by_points[points] = {**{name: each.mean for name, each in found.items()}, "classes": classes}
        if more:
            by_points[points]["deviation"] = {name: each.deviation for name, each in found.items()}
            by_points[points]["draws"] = {name: list(map(defined, each)) for name, each in values.items()}
        if mode == "semantic":
            by_points[points]["accumulations"] = accumulate(
                [(each.counts[:, a], each.classes) for each in (scores, *more)]
            )
    evaluation, rule = config.eval, PROTOCOLS[config.eval.protocol]
    lists = None
    if opened.lines:
        lists = {"files": evaluation.lists, "hash": hash_lists(evaluation.lists), "lines": opened.lines}
    protocol = {
        "data": opened.split.name,
        "source": evaluation.source,
        "data_version": opened.split.version,
        "mode": mode,
        "classes": task_classes(opened),
        "chosen_classes": evaluation.classes or "all",
        "left_out_classes": list(opened.left_out),
        "seen_in_training": "unknown" if seen is None else list(seen),
        "forced": evaluation.force_seen and (seen is None or bool(seen)),
        "lists": lists,
        "episodes": f"{evaluation.protocol}: {rule.about}" + ("" if rule.episodes else f", {SUPPORT[mode]}"),
        "episode_seed": config.seed if rule.seed is None else rule.seed,
        "draws": 1 + len(more),
        "shots": evaluation.shots,
        "points": "per label and support image; smaller numbers are subsets of larger ones",
        "tasks": len(scores.counts),
        "small_tasks": f"{int(is_small(scores.counts[:, 0]).sum())} below {SMALL:.0%} of the image",
        "tasks_of_data": count_tasks(opened.tasks),
        "limit": limit,
        "max_side": config.data.max_side,
        "min_area": evaluation.min_area,
        "void": "pixels of label 255 and padding are left out",
        "accumulation": "pos_iu: counts pooled over all tasks; class_mean: mean over classes of pooled counts"
        + (f"; {RULE}" if mode == "semantic" else ""),
        "seed": config.seed,
        "step": step,
        **({"tuning": dataclasses.asdict(config.tune)} if config.tune.steps else {}),
    }
    return {"name": config.name, "protocol": protocol, "scores": by_points, "about": about}
