"""Lets simulated annotators add dots to frames of videos, and scores all frames (paper 5.4).

    guided_jax interactive-video --workdir=RUN --source=davis:val --config.data.root=DATA

Two annotators. *Random dots*: P points per label on each of S frames, S x P within a budget; frames and points are
drawn once, smaller numbers of either are parts of the larger ones. *Corrections*: one dot at a time, in the middle of
the largest error of the worst frame, from nothing. A video is encoded once for all of it; after that an annotation
costs its own guidance and the head.
"""

import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from absl import flags
from tqdm import tqdm

from data_pipelines.canvas import scaled_size
from data_pipelines.videos import Video
from experiments.evaluation.annotators import AnnotatorOptions, ObjectResult, Times, measure_update, run_video
from experiments.evaluation.interactive_videos import describe, report
from experiments.evaluation.scoring_command import FIELDS, define_run, define_videos, load_run, show_and_write
from experiments.evaluation.videos import Choice, open_videos
from experiments.runs.load import Trained
from experiments.settings.command_flags import own_flags, read_flags, workdir_if_any
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.help_texts import Command
from experiments.settings.hosts import by_hosts, together
from experiments.settings.ranges import MOST_TIMES
from guided_jax.model_checks import check_mode
from guided_jax.session import Session

COMMAND = Command("guided_jax interactive-video", __doc__, fields=FIELDS)


def evaluate(trained: Trained, config: Config, asked: AnnotatorOptions) -> dict[str, Any]:
    """Runs the annotators over all videos of a source; the result as JSON.

    Raises:
        DatasetError: what is wrong with the source.
        ValueError: the model segments the annotated image alone.
    """
    with together():
        check_mode(config.model, "video", "interactive video: mode")
        split, videos = open_videos(config, Choice(asked.source, names=asked.videos, every=asked.every))
    opened, warm = Session(trained, max_side=0), set()
    bar = tqdm(desc="videos", total=len(videos), disable=None, leave=False)

    def annotate(video: Video) -> tuple[list[ObjectResult], Times]:
        session, size = opened.fresh(), scaled_size(video.height, video.width, config.data.max_side)
        if size not in warm:
            _warm(opened.fresh(), size)
            warm.add(size)
        times = Times([], [], [])
        results = run_video(session, split, video, config, asked, times)
        measure_update(session, times)
        bar.update()
        return results, times

    with bar:
        results, times = zip(*by_hosts(annotate, videos), strict=True)
    times = Times(*(list(chain.from_iterable(each)) for each in zip(*times, strict=True)))
    return report(trained, config, split, asked, list(chain.from_iterable(results)), times)


def _warm(session: Session, size: tuple[int, int]) -> None:
    """Compiles what a size of frames needs for a single annotated one."""
    session.add(0, np.zeros((*size, 3), np.uint8))
    session.click(0, 0, 0, 1)
    session.mask(0)


def parse(argv: Sequence[str]) -> tuple[Trained, Config, AnnotatorOptions]:
    """Reads a command line, the first word of which is the program's name, and the run that it names.

    Raises:
        UserError: it is not as it should be, or the run has no checkpoint.
    """
    values = own_flags()
    define_run(values)
    define_videos(values)
    text = "`S,...` numbers of annotated frames."
    flags.DEFINE_list("frames", ["1", "2", "4", "8"], text, flag_values=values)
    text = "`P,...` points per label and annotated frame."
    flags.DEFINE_list("points", ["1", "5", "20"], text, flag_values=values)
    text = "Only S x P up to `N` points per label, as 20; 0 is all."
    flags.DEFINE_integer("budget", 0, text, flag_values=values)
    text = "How often, `D`, frames and points are drawn; scores are means over the draws."
    flags.DEFINE_integer("draws", 1, text, flag_values=values)
    text = "At most `N` dots of the annotator who corrects; 0 is none."
    flags.DEFINE_integer("corrections", 20, text, flag_values=values)
    _, overrides = read_flags(argv, values, COMMAND)
    frames, points = (_numbers(name, values[name].value) for name in ("frames", "points"))
    for name, least in {"budget": 0, "draws": 1, "corrections": 0}.items():
        if values[name].value < least:
            raise UserError(f"--{name}={values[name].value}: at least {least}")
    for name in ("draws", "corrections"):
        if values[name].value > MOST_TIMES:
            raise UserError(f"--{name}={values[name].value}: at most {MOST_TIMES}")
    asked = AnnotatorOptions(
        workdir_if_any(values),
        values.source,
        frames,
        points,
        values.budget,
        values.draws,
        values.corrections,
        tuple(values.videos),
        values.every,
    )
    if not asked.cells():
        raise UserError(f"--budget={asked.budget}: no S x P is that small; the least is {frames[0] * points[0]}")
    trained, config = load_run(asked.workdir, values, overrides, two_labels=True)
    return trained, config, asked


def _numbers(name: str, texts: Sequence[str]) -> tuple[int, ...]:
    texts = [text.strip() for text in texts]
    if not texts or any(not text.isdigit() or int(text) < 1 for text in texts):
        raise UserError(f"--{name}={','.join(texts)}: expects whole numbers from 1 on, as 1,2,4")
    return tuple(sorted({int(text) for text in texts}))


def main(argv: Sequence[str]) -> None:
    """The command line.

    Raises:
        UserError: what a user can mend.
    """
    trained, config, asked = parse(argv)
    with user_mistakes():
        result = evaluate(trained, config, asked)
    show_and_write(describe(result), asked.workdir, ["interactive-video", asked.source], result)


if __name__ == "__main__":
    sys.exit(start(main))
