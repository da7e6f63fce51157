"""Segments the objects of videos from their annotated first frames, or scores masks of them (paper 5.3).

    guided_jax video --workdir=runs/NAME --source=davis:val --config.data.root=DATA
    guided_jax video --predictions=DIR --source=davis:val --config.data.root=DATA

The first scores the model of a run, or without `--workdir` the guide that comes with the package; the second masks that
some other program wrote as DIR/VIDEO/FRAME.png.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from data_pipelines.counted import counted
from data_pipelines.datasets.mixture import Source, parse_sources
from data_pipelines.points import name_count, parse_counts
from experiments.evaluation.mask_folders import MARK
from experiments.evaluation.scoring_command import (
    FIELDS,
    define_run,
    define_videos,
    load_run,
    own_config,
    show_and_write,
)
from experiments.evaluation.video_scores import describe_table
from experiments.evaluation.videos import Choice, evaluate_masks, evaluate_model
from experiments.settings.checks import check_writable
from experiments.settings.command_flags import define_path, own_flags, read_flags, workdir_if_any
from experiments.settings.command_line import start
from experiments.settings.config import Config, describe_model
from experiments.settings.errors import UserError
from experiments.settings.help_texts import Command
from experiments.settings.ranges import MOST_TIMES
from guided_jax.video import MEMORIES

COMMAND = Command("guided_jax video", __doc__, fields=FIELDS)


def read_command(argv: Sequence[str]) -> tuple[flags.FlagValues, list[str], Choice]:
    """The flags of a command line, the words that override the configuration, and the choice.

    Raises:
        UserError: a flag is not as it should be.
    """
    values = own_flags()
    define_run(values)
    define_path(
        values,
        "predictions",
        "",
        "`DIR` of masks from elsewhere, DIR/VIDEO/FRAME.png, which are scored instead of a model's; with --workdir the "
        "result is written there.",
    )
    define_videos(values)
    flags.DEFINE_string(
        "points",
        "dense",
        "`P,...` points per label and annotated frame, or dense, as 1,5,dense: all in one pass over the frames.",
        flag_values=values,
    )
    text = "How often, `D`, the points are drawn; the result is the mean."
    flags.DEFINE_integer("draws", 1, text, lower_bound=1, upper_bound=MOST_TIMES, flag_values=values)
    text = "Number `S` of annotated frames: the first that show an object."
    flags.DEFINE_integer("shots", 1, text, lower_bound=1, flag_values=values)
    flags.DEFINE_enum(
        "multi",
        "softmax",
        ("softmax", "union"),
        "Several objects by the softmax over all labels, or as the union of binary tasks.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "memory",
        "none",
        MEMORIES,
        "Whether guidance follows the clip: none is the paper's protocol, every frame from the annotated ones alone; "
        "forward adds the frame before with its own prediction, online; both goes backward from annotated frames, too.",
        flag_values=values,
    )
    define_path(
        values,
        "save",
        "",
        "New folder `DIR` for palette PNGs as DAVIS has them, DIR/VIDEO/FRAME.png; with several points or draws a "
        "folder for each, as DIR/5-points-draw-0/VIDEO/FRAME.png.",
    )
    text = "Segments `T` frames at a time; 0 is 4 on CPUs, 16 on others."
    flags.DEFINE_integer("chunk", 0, text, lower_bound=0, flag_values=values)
    _, overrides = read_flags(argv, values, COMMAND)
    if values.predictions:
        idle = [
            name
            for name in ("points", "draws", "multi", "memory", "save", "best", "model", "chunk", "distributed")
            if values[name].present
        ]
        if idle:
            raise UserError(f"--{idle[0]}: is of no effect on --predictions")
    try:
        points = parse_counts(values.points)
    except ValueError as error:
        raise UserError(f"--points: {error}") from error
    if 0 in points:
        raise UserError(f"--points={values.points}: 0 points guide to nothing; at least 1")
    save = Path(values.save) if values.save else None
    choice = Choice(
        values.source,
        points,
        values.draws,
        values.shots,
        values.multi,
        tuple(values.videos),
        values.every,
        save,
        values.chunk,
        values.best,
        values.memory,
    )
    return values, overrides, choice


def main(argv: Sequence[str]) -> None:
    """The command line, the first word of which is the program's name.

    Raises:
        UserError: it is not as it should be.
    """
    values, overrides, choice = read_command(argv)
    workdir = workdir_if_any(values)
    if values.predictions:
        if workdir:
            check_writable(workdir, "--workdir")
        result = evaluate_masks(Path(values.predictions), own_config(Config(), overrides, list(values)), choice)
        what, named = f"masks of {values.predictions}", [result["name"], f"{choice.shots}-shot"]
    else:
        trained, config = load_run(workdir, values, overrides, tunes=True)
        for source in parse_sources(config.data.train):
            if jax.process_index() == 0 and _same_data(source, parse_sources(choice.source)[0]):
                print(f"note: this model was trained on {choice.source}")
        result = evaluate_model(trained, config, choice)
        what = f"{describe_model(config.model)}, step {trained.step}, {choice.multi}"
        what += "" if choice.memory == "none" else f", memory {choice.memory}"
        what += f", fine-tuned in {counted(config.tune.steps, 'update')}" if config.tune.steps else ""
        points = "-".join(name_count(count) for count in choice.points)
        named = [f"{choice.shots}-shot", points, choice.multi, f"step-{trained.step}"]
        named += [] if choice.memory == "none" else [f"memory-{choice.memory}"]
        named += [f"tuned-{config.tune.steps}"] if config.tune.steps else []
    show_and_write(describe(result, what, choice), workdir, ["video", result["protocol"]["data"], *named], result)
    if choice.save and jax.process_index() == 0:
        (choice.save / MARK).unlink(missing_ok=True)  # a whole folder is as DAVIS's scorer expects it


def describe(result: dict[str, Any], what: str, choice: Choice) -> str:
    """The result as a table for a terminal; `what` was scored."""
    protocol = result["protocol"]
    lines = [
        f"{protocol['data']}: {protocol['videos']} videos, {protocol['objects']} objects, {protocol['frames_scored']} "
        f"frames scored; {what}; S = {choice.shots}",
        describe_table(result["rows"], result["scores"]),
    ]
    if speed := result.get("speed"):
        lines.append(
            f"{speed['seconds_per_video']:.2f} s a video, {speed['frames_per_second']:.1f} frames/s with reading under "
            f"{speed['annotations']} annotation(s); {speed['frames_per_second_without_reading']:.1f} frames/s without "
            "reading, under one"
        )
    if choice.save:
        lines.append(f"masks written to {choice.save}")
    return "\n".join(lines)


def _same_data(source: Source, other: Source) -> bool:
    def base(each: Source) -> tuple[str, str, str]:
        return each.dataset, each.path, each.split.partition("[")[0]

    return base(source) == base(other)


if __name__ == "__main__":
    sys.exit(start(main))
