"""Video objects (paper 5.3): the first frames are annotated, every frame is segmented from their guidance alone.

    python -m experiments.video --workdir=runs/NAME --source=davis:val --config.data.root=DATA
    python -m experiments.video --predictions=DIR --source=davis:val --config.data.root=DATA

The first scores the model of a run, the second masks that some other program wrote as DIR/VIDEO/FRAME.png.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines.datasets.sources import Source, parse_sources
from data_pipelines.points import name_count, parse_counts
from experiments.evaluation.result_files import own_config, write_result
from experiments.evaluation.video_scores import describe_table
from experiments.evaluation.videos import Choice, evaluate_masks, evaluate_model
from experiments.runs.load import load_model
from experiments.settings.command_line import Answered, guarded, read_flags, show_messages
from experiments.settings.config import Config, describe_model
from experiments.settings.errors import UserError

USAGE = """\
usage: python -m experiments.video --workdir=DIR [--source=davis:val] [--points=dense] [--shots=1] ...
       python -m experiments.video --predictions=DIR [--source=davis:val] [--workdir=DIR] ...

  --workdir=DIR         of a run, whose model is scored; the result is written there
  --predictions=DIR     scores the masks DIR/VIDEO/FRAME.png instead of a model's
  --source=SOURCE       davis:SPLIT (train, val, val2016, ...), or your own: frames@PATH:all
  --points=P,...        points per label and annotated frame, or dense: 1,5,dense; all in one pass over the frames
  --draws=D             of the points; the result is the mean
  --shots=S             annotated frames: the first that show an object
  --multi=WAY           several objects by the softmax over all labels (default), or as union of binary tasks
  --videos=NAME,...     only these
  --every=N             only every so many frames: for a quick look
  --save=DIR            writes palette PNGs as DAVIS has them: DIR/VIDEO/FRAME.png; with several points or draws a
                        folder for each, as DIR/5-points-draw-0/VIDEO/FRAME.png
  --best                the best checkpoint by the evaluations during training, not the newest
  --chunk=T             frames at a time; by default 4 on CPUs, 16 on others
  --config.FIELD=VALUE  of data.* and seed; the model's are the run's own
"""


def read_command(argv: Sequence[str]) -> tuple[flags.FlagValues, list[str], Choice]:
    """The flags of a command line, the words that override the configuration, and the choice.

    Raises:
        UserError: a flag is not as it should be.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    flags.DEFINE_string("workdir", "", "folder of the run", flag_values=values)
    flags.DEFINE_string("predictions", "", "folder of masks", flag_values=values)
    flags.DEFINE_string("source", "davis:val", "source of the videos", flag_values=values)
    flags.DEFINE_string("points", "dense", "points per label and annotated frame", flag_values=values)
    flags.DEFINE_integer("draws", 1, "of the points", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("shots", 1, "annotated frames", lower_bound=1, flag_values=values)
    flags.DEFINE_enum("multi", "softmax", ("softmax", "union"), "several objects", flag_values=values)
    flags.DEFINE_list("videos", [], "only these", flag_values=values)
    flags.DEFINE_integer("every", 1, "only every so many frames", lower_bound=1, flag_values=values)
    flags.DEFINE_string("save", "", "folder for masks", flag_values=values)
    flags.DEFINE_bool("best", False, "the best checkpoint, not the newest", flag_values=values)
    flags.DEFINE_integer("chunk", 0, "frames at a time", lower_bound=0, flag_values=values)
    flags.DEFINE_bool("help", False, "shows the usage", short_name="h", flag_values=values)
    words = read_flags(argv, values)
    if values.help:
        raise Answered(USAGE)
    if values.predictions:
        idle = [name for name in ("points", "draws", "multi", "save", "best", "chunk") if values[name].present]
        if idle:
            raise UserError(f"--{idle[0]}: is of no effect on --predictions")
    elif not values.workdir:
        raise UserError("--workdir=DIR of a run, or --predictions=DIR with masks, is missing")
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
    )
    return values, words, choice


def main(argv: Sequence[str]) -> None:
    """The command line, the first word of which is the program's name.

    Raises:
        UserError: it is not as it should be.
    """
    values, words, choice = read_command(argv)
    known = list(values)
    workdir = Path(values.workdir) if values.workdir else None
    if values.predictions:
        result = evaluate_masks(Path(values.predictions), own_config(Config(), words, known), choice)
        what, named = f"masks of {values.predictions}", [result["name"], f"{choice.shots}-shot"]
    else:
        trained = load_model(workdir, best=choice.best)
        config = own_config(trained.config, words, known)
        for source in parse_sources(config.data.train):
            if _same_data(source, parse_sources(choice.source)[0]):
                print(f"note: this model was trained on {choice.source}")
        result = evaluate_model(trained, config, choice)
        what = f"{describe_model(config.model)}, step {trained.step}, {choice.multi}"
        points = "-".join(name_count(count) for count in choice.points)
        named = [f"{choice.shots}-shot", points, choice.multi, f"step-{trained.step}"]
    protocol = result["protocol"]
    print(
        f"{protocol['data']}: {protocol['videos']} videos, {protocol['objects']} objects, {protocol['frames_scored']} "
        f"frames scored; {what}; S = {choice.shots}"
    )
    print(describe_table(result["rows"], result["scores"]))
    if speed := result.get("speed"):
        print(
            f"{speed['seconds_per_video']:.2f} s a video, {speed['frames_per_second']:.1f} frames/s with reading under "
            f"{speed['annotations']} annotation(s); {speed['frames_per_second_without_reading']:.1f} frames/s without "
            "reading, under one"
        )
    if choice.save:
        print(f"masks written to {choice.save}")
    if workdir:
        print(f"written to {write_result(workdir, ['video', protocol['data'], *named], result)}")


def _same_data(source: Source, other: Source) -> bool:
    def base(each: Source) -> tuple[str, str, str]:
        return each.dataset, each.path, each.split.partition("[")[0]

    return base(source) == base(other)


if __name__ == "__main__":
    show_messages()
    sys.exit(guarded(lambda: main(sys.argv)))
