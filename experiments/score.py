"""Scores a folder of predicted masks without the model: our own, or someone else's.

    guided_jax score DIR [--config.data.root=DATA]
    guided_jax score DIR --config=few_shot:0 --config.data.root=DATA

Our own are what `--config.eval.save=DIR` wrote. `experiments.evaluation.predictions` tells how a folder is laid out.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from data_pipelines.evaluation import EvaluationEpisodes
from experiments.evaluation.predictions import (
    INDEX,
    UNUSED,
    count_masks,
    draw_folder,
    find_points,
    name_masks,
    read_index,
)
from experiments.evaluation.task_rows import write_scores
from experiments.evaluation.tasks import Scores, make_scores, report
from experiments.run import table_of
from experiments.runs.data import OpenSource, count_draws, evaluation_episodes, open_evaluation
from experiments.runs.workdir import environment
from experiments.settings.checks import check_config, check_writable
from experiments.settings.command_flags import define_config, define_path, override, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.config_files import load_config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.fields import differing, read_stored, to_dict, with_overrides
from experiments.settings.help_texts import Command

FREE = ("data.root", "data.prepared")
"""Fields that may differ from those that a folder was written under; another evaluation has other masks."""

COMMAND = Command(
    "guided_jax score",
    __doc__,
    words="DIR",
    fields="Another value for a field of the evaluation, as --config.data.root=DATA; of a folder that "
    f"--config.eval.save wrote {' and '.join(FREE)} alone.",
)


class MasksToScore(NamedTuple):
    """A folder of masks, and the evaluation that it is scored by.

    Attributes:
        folder: of masks.
        config: of the evaluation.
        index: that was written with the masks, or None.
        out: folder for the result.
    """

    folder: Path
    config: Config
    index: dict[str, Any] | None
    out: Path


def parse(argv: Sequence[str]) -> tuple[MasksToScore, bool]:
    """Reads a command line, the first word of which is the program's name; tells, too, whether a list is asked for.

    Raises:
        UserError: it is not as it should be.
    """
    values = own_flags()
    define_config(
        values, "The evaluation, for masks from elsewhere (a folder that --config.eval.save wrote knows its own):"
    )
    define_path(values, "out", "", "`DIR` for result.json and tasks.jsonl; without it they are written to the masks.")
    text = "Prints the file name of every task's mask, DIR/POINTS/IMAGE__CLASS.png or DIR/IMAGE__CLASS.png, and ends."
    flags.DEFINE_bool("list", False, text, flag_values=values)
    folders, overrides = read_flags(argv, values, COMMAND)
    if values.list and values.config:
        folders = folders or ["."]
    if len(folders) != 1:
        raise UserError(f"one folder of masks is expected, not {len(folders)}: guided_jax score DIR")
    folder = Path(folders[0])
    if not folder.is_dir() and not values.list:
        raise UserError(f"{folder}: no such folder")
    index = None if values.config else read_index(folder)
    if values.config:
        config = override(load_config(values.config), overrides, list(values))
    elif index is None:
        raise UserError(f"{folder}: holds no {INDEX}; name the evaluation: --config=FILE.py --config.eval.source=...")
    else:
        with user_mistakes():
            written = read_stored(index["config"], str(folder / INDEX))
        config = override(written, overrides, list(values))
        other = [name for name in differing(to_dict(written), to_dict(config)) if name not in FREE]
        if other:
            raise UserError(
                f"--config.{other[0]}: {folder} was written under another; to be set here are {', '.join(FREE)}"
            )
    return MasksToScore(folder, config, index, Path(values.out or folder)), values.list


def open_tasks(config: Config) -> tuple[OpenSource, list[EvaluationEpisodes]]:
    """The evaluation's source, and its tasks under every draw.

    Raises:
        UserError: what a user can mend.
    """
    with user_mistakes():
        check_config(config, training=False)
        opened = open_evaluation(config)
        draws = range(count_draws(config.eval))
        return opened, [
            evaluation_episodes(config, opened, None, limit=config.eval.limit, devices=1, draw=draw) for draw in draws
        ]


def score_folder(asked: MasksToScore) -> tuple[dict[str, Any], list[Scores], list[EvaluationEpisodes]]:
    """Scores the masks; returns the result as JSON, the scores of each draw, and its tasks.

    Raises:
        UserError: a mask is missing or wrong, naming it.
    """
    config = with_overrides(asked.config, UNUSED)
    opened, tasks = open_tasks(config)
    points, index = find_points(asked.folder, config, tasks[0]), asked.index
    scores = []
    for draw, each in enumerate(tasks):
        folder = draw_folder(asked.folder, draw, len(tasks))
        counts, classes = count_masks(folder, each, points, config.model.way if index else 2)
        scores.append(make_scores(counts, classes, points))
    about = {"command": sys.argv, **environment()}
    step, seen = None, None
    if index is not None:
        about = {**index["about"], "scored": about}
        step = index["protocol"]["step"]
        seen = index["protocol"]["seen_in_training"]
        seen = None if seen == "unknown" else seen
    about["config"] = to_dict(asked.config)
    result = report(
        config, opened, scores[0], step=step, limit=config.eval.limit, about=about, more=scores[1:], seen=seen
    )
    result["protocol"]["predictions"] = str(asked.folder)
    if index is None:
        result["name"] = asked.folder.resolve().name
    return result, scores, tasks


def main(argv: Sequence[str]) -> None:
    """The command line.

    Raises:
        UserError: what a user can mend.
    """
    asked, listed = parse(argv)
    if listed:
        _, tasks = open_tasks(with_overrides(asked.config, UNUSED))
        for draw, each in enumerate(tasks):
            for name in name_masks(each).values():
                print(draw_folder(Path(), draw, len(tasks)) / name)
        return
    check_writable(asked.out, "--out")
    result, scores, tasks = score_folder(asked)
    print(table_of(result, f"masks of {asked.folder}"))
    with user_mistakes():
        asked.out.mkdir(parents=True, exist_ok=True)
        write_scores(asked.out, "", result, scores, tasks)
    print(f"written to {asked.out}: result.json, tasks.jsonl")


if __name__ == "__main__":
    sys.exit(start(main))
