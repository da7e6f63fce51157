"""Plots what trained models do on tasks of their evaluation: their predictions, and their curves."""

import math
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from data_pipelines.points import name_count
from experiments.drawing.curves import DENSE, plot_curves
from experiments.drawing.episodes import plot_episodes
from experiments.runs.load import Trained, predict, spread_tasks
from guided_jax.scoring.positive_iu import count_positives, iu

ROWS = 6


def plot_predictions(path: Path, models: Mapping[str, Trained], *, points: str, rows: int = ROWS) -> None:
    """Plots rows of support with its dots, query, each model's prediction, and truth.

    Args:
        path: of the PNG file.
        models: by name; the first one's configuration gives the tasks.
        points: per label, one of its `eval.points`.
        rows: number of tasks, evenly chosen.
    """
    config = next(iter(models.values())).config
    tasks, chosen = spread_tasks(config, rows)
    draw = [name_count(count) for count in tasks.counts].index(points)
    episodes = [tasks[i] for i in chosen]
    predictions = {name: predict(model, episodes, draw) for name, model in models.items()}
    ious = {}
    for name, maps in predictions.items():
        counts = [count_positives(jnp.asarray(m), jnp.asarray(e.target)) for m, e in zip(maps, episodes, strict=True)]
        ious[name] = [float(each) for each in iu(np.asarray(counts))]
    titles = [tasks.task(i).class_name or tasks.task(i).image_id for i in chosen]
    plot_episodes(path, episodes, predictions, ious=ious, titles=titles, draw=draw)


def plot_results(path: Path, results: Mapping[str, dict]) -> None:
    """Plots positive IU over points per label of results by the name of their model."""
    curves = {}
    for name, result in results.items():
        curves[name] = as_points({points: each["pos_iu"] for points, each in result["scores"].items()})
    plot_curves(path, curves, title=next(iter(results.values()))["protocol"]["data"])


def as_points(values: Mapping[str, float | None]) -> dict[int | str, float]:
    """Scores by the number of points per label, or `dense`, from scores by its name; NaN where there is none."""
    return {
        name if name == DENSE else int(name): math.nan if value is None else value for name, value in values.items()
    }
