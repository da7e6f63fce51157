"""Interactive video (paper 5.4): a simulated annotator adds dots to frames, every frame follows at once.

    python -m experiments.interactive_video --workdir=RUN --source=davis:val --config.data.root=DATA

Two annotators. *Random dots*: P points per label on each of S frames, S x P within a budget; frames and points are
drawn once, smaller numbers of either are parts of the larger ones. *Corrections*: one dot at a time, in the middle of
the largest error of the worst frame, from nothing. A video is encoded once for all of it; after that an annotation
costs its own guidance and the head.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from tqdm import tqdm

from data_pipelines.canvas import scaled_size
from data_pipelines.datasets.sources import open_source, parse_sources
from data_pipelines.videos import list_videos
from experiments.evaluation.annotators import Asked, Times, measure_update, run_video
from experiments.evaluation.interactive_videos import describe, report
from experiments.evaluation.result_files import own_config, write_result
from experiments.runs.load import Trained, load_model
from experiments.settings.command_line import (
    Answered,
    UserError,
    guarded,
    own_flags,
    read_flags,
    show_messages,
    user_mistakes,
    workdir_of,
)
from experiments.settings.config import Config
from guided_jax.model_config import check_mode
from guided_jax.session import Session

USAGE = """\
usage: python -m experiments.interactive_video --workdir=RUN [--source=davis:val] [--config.FIELD=VALUE ...]

  --workdir=RUN           of a trained run; the result is written there
  --source=SOURCE         davis:SPLIT (train, val, val2016, ...), or your own: frames@PATH:all
  --frames=1,2,4,8        numbers of annotated frames S
  --points=1,5,20         points per label and annotated frame P
  --budget=N              only S x P up to N; 0: all
  --draws=1               of frames and points; scores are means over them
  --corrections=20        dots of the annotator who corrects; 0: none
  --videos=NAME,...       only these
  --every=N               only every so many frames: for a quick look
  --best                  the best checkpoint by the evaluations during training, not the newest
  --config.FIELD=VALUE    of data, eval and seed, as --config.data.root=DATA
"""


def evaluate(trained: Trained, config: Config, asked: Asked) -> dict[str, Any]:
    """Runs the annotators over all videos of a source; the result as JSON.

    Raises:
        DatasetError: what is wrong with the source.
        ValueError: the model segments the annotated image alone.
    """
    check_mode(config.model, "video", "interactive video: mode")
    sources = parse_sources(asked.source)
    if len(sources) != 1:
        raise UserError(f"--source={asked.source}: one source was expected")
    split = open_source(
        sources[0],
        Path(config.data.root),
        Path(config.data.prepared) / "datasets",
        skip_broken=config.data.skip_broken,
    )
    videos = list_videos(split, every=asked.every, names=asked.videos)
    opened, warm, times, results = Session(trained.model, trained.params), set(), Times([], [], []), []
    for video in tqdm(videos, desc="videos", disable=None, leave=False):
        session, size = opened.fresh(), scaled_size(video.height, video.width, config.data.max_side)
        if size not in warm:
            _warm(opened.fresh(), size)
            warm.add(size)
        results += run_video(session, split, video, config, asked, times)
        measure_update(session, times)
    return report(trained, config, split, asked, results, times)


def _warm(session: Session, size: tuple[int, int]) -> None:
    """Compiles what a size of frames needs for a single annotated one."""
    session.add(0, np.zeros((*size, 3), np.uint8))
    session.click(0, 0, 0, 1)
    session.mask(0)


def parse(argv: Sequence[str]) -> tuple[Trained, Config, Asked]:
    """Reads a command line, the first word of which is the program's name, and the run that it names.

    Raises:
        UserError: it is not as it should be, or the run has no checkpoint.
    """
    values = own_flags()
    flags.DEFINE_string("source", "davis:val", "of the videos", flag_values=values)
    flags.DEFINE_list("frames", ["1", "2", "4", "8"], "annotated frames", flag_values=values)
    flags.DEFINE_list("points", ["1", "5", "20"], "per label and annotated frame", flag_values=values)
    flags.DEFINE_integer("budget", 0, "of S x P", flag_values=values)
    flags.DEFINE_integer("draws", 1, "of frames and points", flag_values=values)
    flags.DEFINE_integer("corrections", 20, "dots of the correcting annotator", flag_values=values)
    flags.DEFINE_list("videos", [], "only these", flag_values=values)
    flags.DEFINE_integer("every", 1, "only every so many frames", flag_values=values)
    flags.DEFINE_bool("best", False, "the best checkpoint, not the newest", flag_values=values)
    words = read_flags(argv, values)
    if values.help:
        raise Answered(USAGE)
    frames, points = (_numbers(name, values[name].value) for name in ("frames", "points"))
    for name, least in {"budget": 0, "draws": 1, "corrections": 0, "every": 1}.items():
        if values[name].value < least:
            raise UserError(f"--{name}={values[name].value}: at least {least}")
    asked = Asked(
        workdir_of(values),
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
    trained = load_model(asked.workdir, best=values.best)
    if trained.config.model.way != 2:
        raise UserError(f"{asked.workdir}: the model has {trained.config.model.way} labels, and an object has two")
    return trained, own_config(trained.config, words, list(values)), asked


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
    print(describe(result))
    print(f"written to {write_result(asked.workdir, ['interactive-video', asked.source], result)}")


if __name__ == "__main__":
    show_messages()
    sys.exit(guarded(lambda: main(sys.argv)))
