"""The best, the median and the worst cases of a result, as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.datasets.record import DatasetError
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.points import name_count
from experiments.drawing.episodes import plot_episodes
from experiments.evaluation.predictions import FLAT, UNUSED, draw_folder, name_masks, read_prediction
from experiments.evaluation.task_rows import read_rows, real_episodes
from experiments.reports.content import Block, FigureFolder, Picture, Text, per_label
from experiments.reports.found import Found
from experiments.reports.ranks import choose_cases, row_title
from experiments.reports.series import Series, config_of
from experiments.reports.shapes import CASES, check_result
from experiments.runs.data import count_draws, evaluation_episodes, open_sources
from experiments.runs.load import Trained, load_model, predict
from experiments.settings.checks import check_config
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import with_overrides
from guided_jax.episode import Episode
from guided_jax.scoring.positive_iu import iu


def case_blocks(
    series: Series, figures: FigureFolder, *, rows: int, points: str = "", where: Mapping[str, str] | None = None
) -> list[Block]:
    """Pictures of the first seed's tasks, or a line that says why there are none.

    Args:
        series: of evaluations.
        figures: for the picture.
        rows: of each kind.
        points: per label, by name; empty: the headline of the evaluation.
        where: fields of the configuration that say where the data are.
    """
    found = series.found[0]
    try:
        check_result(found.path, found.result, CASES["evaluation"])
        config = case_config(found, where or {})
        return [_picture(series.label, found, config, figures, rows, points or _headline(found, config))]
    except (UserError, DatasetError, OSError) as error:
        return [Text(f"{series.label}: no pictures of single tasks, for {error}")]


def _kind_of(kind: str, name: str) -> str:
    return f"{kind}: {name}" if name else kind


def case_config(found: Found, where: Mapping[str, str]) -> Config:
    """The configuration of a result, to open its data again.

    Args:
        found: the result.
        where: fields that say where the data are now.

    Raises:
        UserError: it does not tell, or tells one that cannot be.
    """
    config = config_of(found)
    if config is None:
        raise UserError(f"{found.path} does not tell its configuration")
    try:
        config = with_overrides(config, {**UNUSED, **where})
        check_config(config, training=False)
    except ValueError as error:
        raise UserError(f"{found.path}: {error}") from error
    return config


def _headline(found: Found, config: Config) -> str:
    scores = found.result["scores"]
    return config.eval.headline if config.eval.headline in scores else next(iter(scores))


def _picture(label: str, found: Found, config: Config, figures: FigureFolder, rows: int, points: str) -> Picture:
    ranked = rank_tasks(found, points)
    (opened,) = open_sources(config, "eval")
    tasks = evaluation_episodes(config, opened, None, limit=config.eval.limit, devices=1)
    position = {tasks.number(i): i for i in real_episodes(tasks)}
    titles, ious, chosen = [], [], []
    for kind, chosen_rows in choose_cases(len(ranked), rows).items():
        for row in (ranked[i] for i in chosen_rows):
            titles.append((_kind_of(kind, row["class"]), row["image"]))
            ious.append(row["pos_iu"][points])
            if row["episode"] not in position:
                raise UserError(f"{opened.split.name} has no episode {row['episode']}; are these the same data?")
            chosen.append(position[row["episode"]])
    names = [name_count(count) for count in tasks.counts]
    draw = names.index(points) if points in names else 0
    episodes = [tasks[i] for i in chosen]
    titles = [row_title(lines, episode.query_size.tolist()) for lines, episode in zip(titles, episodes, strict=True)]
    maps = _predictions(found, config, tasks, chosen, episodes, draw, points)
    path = figures.new("cases")
    plot_episodes(path, episodes, {"prediction": maps}, ious={"prediction": ious}, titles=titles, draw=draw)
    text = f"{label}: best, median and worst tasks by positive IU, {per_label(points)}, first draw"
    return Picture(path.name, text, photo=True)


def rank_tasks(found: Found, points: str) -> list[dict[str, Any]]:
    """The tasks of the first draw from best to worst, without those that have no positive IU.

    Raises:
        UserError: the rows are missing, or of another result.
    """
    name = found.result.get("rows")
    if not name:
        raise UserError(f"{found.path} has no rows of its tasks; score it again with --mode=eval")
    path = found.path.parent / name
    rows = [row for row in read_rows(path) if row["draw"] == 0]
    if points not in found.result["scores"]:
        raise UserError(f"{found.path} has no score at {points} points, but at {', '.join(found.result['scores'])}")
    scores = found.result["scores"][points]
    pooled = scores["draws"]["pos_iu"][0] if "draws" in scores else scores["pos_iu"]
    pooled = float("nan") if pooled is None else pooled
    counts = np.array([row["counts"].get(points, [0] * 6) for row in rows], np.int64).reshape(-1, 6)
    if not np.isclose(float(iu(counts[:, :3].sum(0))), pooled, equal_nan=True):
        raise UserError(f"{path} is not of {found.path.name}: its counts give another score")
    known = [row for row in rows if row["pos_iu"].get(points) is not None]
    if not known:
        raise UserError(f"nothing is scored: no task of {path} shows a positive, or was given one")
    return sorted(known, key=lambda row: row["pos_iu"][points], reverse=True)


def _predictions(
    found: Found,
    config: Config,
    tasks: EvaluationEpisodes,
    chosen: Sequence[int],
    episodes: Sequence[Episode],
    draw: int,
    points: str,
) -> list[np.ndarray]:
    folder = found.result["protocol"].get("predictions")
    if folder is None:
        return predict(_model(found), episodes, draw)
    folder, names = draw_folder(Path(folder), 0, count_draws(config.eval)), name_masks(tasks)
    folder = folder if points == FLAT else folder / points
    return [read_prediction(folder / names[tasks.number(i)], tasks.size(i), config.model.way) for i in chosen]


def _model(found: Found) -> Trained:
    return load_model(found.path.parent, step=found.result["protocol"]["step"])
