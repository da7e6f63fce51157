"""Scores a model on every task of a data set, and names the protocol in full."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.points import name_count
from experiments.config import Config
from experiments.data import OpenSource, host_batches
from guided_jax.learning.parallel import prefetch
from guided_jax.scoring.positive_iu import PositiveIU, positive_iu


class Scores(NamedTuple):
    """Positive IU of every number of points.

    Attributes:
        by_points: scores by the number of points per label, as a name (`dense` too).
        counts: pixels of each task under each draw: int64 [n, a, 3], in the order of the episodes.
        classes: class id of each task.
    """

    by_points: dict[str, PositiveIU]
    counts: np.ndarray
    classes: np.ndarray


def score(
    config: Config, params: dict, episodes: EvaluationEpisodes, count: Callable, mode: str, *, show: bool = False
) -> Scores:
    """Scores every task once, whatever the batch size, the devices and the hosts.

    Args:
        config: of the experiment.
        params: of the model, on the devices.
        episodes: what to score.
        count: the parallel evaluate step.
        mode: pmap or jit.
        show: whether to show progress.
    """
    devices = jax.local_devices()
    batches = host_batches(config, episodes, episodes.group)
    total = len(episodes) // episodes.group
    counts, classes, real = [], [], []
    placed = prefetch(_keep_host_fields(batches, classes, real), mode, devices)
    for batch in tqdm(placed, desc="evaluate", total=total, disable=None if show else True, leave=False, mininterval=1):
        counts.append(count(params, batch))
    rows = [np.stack(each) for each in (counts, classes, real)]
    if jax.process_count() > 1:
        # [hosts, batches, ...] to batches in the order of the episodes.
        rows = [np.concatenate(list(each), axis=1) for each in multihost_utils.process_allgather(rows)]
    counts, classes, real = (np.concatenate(list(each)) for each in rows)
    counts, classes = counts[real].astype(np.int64), classes[real]
    names = [name_count(number) for number in episodes.counts]
    scores = {name: positive_iu(counts[:, a], classes) for a, name in enumerate(names)}
    return Scores(scores, counts, classes)


def _keep_host_fields(batches, classes, real):
    for batch in batches:
        classes.append(batch.task_class)
        real.append(batch.real)
        yield batch


def report(config: Config, opened: OpenSource, scores: Scores, *, step: int, limit: int, about: dict) -> dict:
    """The result as JSON: scores in [0, 1] and the protocol that gave them."""
    names = opened.split.class_names
    by_points = {}
    for points, each in scores.by_points.items():
        classes = {names[c - 1] if c else "all": value for c, value in each.by_class.items()}
        by_points[points] = {"pos_iu": each.pooled, "class_mean": each.class_mean, "classes": classes}
    protocol = {
        "data": opened.split.name,
        "source": config.eval.source,
        "data_version": opened.split.version,
        "mode": config.eval.mode or config.data.mode,
        "shots": config.eval.shots,
        "points": "per label and support image; smaller numbers are subsets of larger ones",
        "tasks": len(scores.counts),
        "limit": limit,
        "max_side": config.data.max_side,
        "min_area": config.eval.min_area,
        "void": "pixels of label 255 and padding are left out",
        "accumulation": "pos_iu: counts pooled over all tasks; class_mean: mean over classes of pooled counts",
        "seed": config.seed,
        "step": step,
    }
    return {"name": config.name, "protocol": protocol, "scores": by_points, "about": about}
