"""The rows of a result: every task with its name and the pixels that were counted, one a line of a JSON-lines file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.evaluation import EvaluationEpisodes
from experiments.evaluation.spread import defined
from experiments.evaluation.tasks import Scores
from experiments.settings.errors import UserError
from experiments.settings.json_files import read_json_lines, write_json, write_json_lines
from experiments.settings.shapes import EACH, SCORE, find_fault
from guided_jax.scoring.few_shot import OUTCOMES
from guided_jax.scoring.positive_iu import iu

ROW_SHAPE = {
    "draw": int,
    "episode": int,
    "image": str,
    "class": str,
    "counts": {EACH: [int]},
    "pos_iu": {EACH: SCORE},
}
"""What every row has, see `make_rows`."""


def real_episodes(episodes: EvaluationEpisodes) -> list[int]:
    """Positions of the tasks, without the episodes that only fill up batches."""
    return [i for i in range(len(episodes)) if episodes.is_real(i)]


def make_rows(draws: Sequence[Scores], episodes: Sequence[EvaluationEpisodes]) -> list[dict[str, Any]]:
    """One row a task and draw.

    Args:
        draws: scores of each draw of support and points.
        episodes: what was scored in each.

    Returns:
        draw, episode (its number: see `EvaluationEpisodes.number`), data, image, class, instance, for frames video and
        frame, `counts` by points in the order of `guided_jax.scoring.few_shot.OUTCOMES`, and `pos_iu` by points (None
        where there was nothing to find and nothing was found).
    """
    rows = []
    for draw, (scores, tasks) in enumerate(zip(draws, episodes, strict=True)):
        for counts, i in zip(scores.counts, real_episodes(tasks), strict=True):
            name = tasks.task(i)
            row = {"draw": draw, "episode": tasks.number(i), "data": name.dataset, "image": name.image_id}
            row |= {"class": name.class_name, "instance": name.instance}
            if name.video:
                row |= {"video": name.video, "frame": name.frame}
            values = [defined(each) for each in iu(counts[:, :3])]
            row["counts"] = dict(zip(scores.by_points, counts.tolist(), strict=True))
            row["pos_iu"] = dict(zip(scores.by_points, values, strict=True))
            rows.append(row)
    return rows


def write_scores(
    folder: Path,
    name: str,
    result: dict[str, Any],
    draws: Sequence[Scores],
    episodes: Sequence[EvaluationEpisodes],
) -> None:
    """Writes `result.json` and its rows, `tasks.jsonl`, or with a name `result-NAME.json` and `tasks-NAME.jsonl`."""
    end = f"-{name}" if name else ""
    write_json_lines(folder / f"tasks{end}.jsonl", make_rows(draws, episodes))
    write_json(folder / f"result{end}.json", {**result, "rows": f"tasks{end}.jsonl"})


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads rows.

    Raises:
        UserError: the file is missing or broken, or a line is no such row.
    """
    rows = read_json_lines(path)
    for number, row in enumerate(rows, 1):
        fault = find_fault(row, ROW_SHAPE)
        if fault is None and any(len(counts) != len(OUTCOMES) for counts in row["counts"].values()):
            fault = f"counts: not the {len(OUTCOMES)} outcomes"
        if fault:
            raise UserError(f"{path}: cannot be read: line {number}: {fault}; score it again")
    return rows
