"""Interactive segmentation by clicks (paper 5.1): the field's simulated user, and the number of clicks it needs.

    python -m experiments.clicks --workdir=RUN --source=voc:val:class --config.data.root=DATA

The model of a run segments every object of a source again and again, each time with the user's next click
(`guided_jax.scoring.clicks`): NoC@80, 85 and 90, the mean IoU after every click, and the time that a click takes.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from absl import flags

from experiments.evaluation.click_results import describe, report
from experiments.evaluation.clicks import Asked, click_objects, save_mask
from experiments.evaluation.result_files import own_config, write_result
from experiments.runs.data import open_sources
from experiments.runs.load import Trained, load_model
from experiments.runs.unseen import check_evaluation
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
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.scoring.clicks import LIMIT

USAGE = """\
usage: python -m experiments.clicks --workdir=RUN [--source=SOURCE] [--config.FIELD=VALUE ...]

  --workdir=RUN           of a trained run; the result is written there
  --source=SOURCE         whose class or instance masks are the objects, as voc:val:class (the run's eval.source)
  --targets=80,85,90      of the IoU, in per cent, for the number of clicks (NoC)
  --clicks=20             clicks an object at most
  --limit=N               only so many objects, drawn once by the seed
  --best                  the best checkpoint by the evaluations during training, not the newest
  --save=DIR              writes the mask after the last click of every object as DIR/IMAGE/OBJECT.png, 0 and 1, which
                          a report shows
  --config.FIELD=VALUE    of data, eval and seed, as --config.data.root=DATA or --config.data.buckets=480x854

A fold (--config.eval.classes=fold:K) is refused for a model that learnt its classes; with --config.eval.force_seen=True
it is clicked on all the same, and the result says so.
"""


def learnt(workdir: Path, step: int) -> dict[str, Any]:
    """What a checkpoint tells of its training: `trained_classes`, None where unknown, and `trained_on`."""
    with closing(Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=0, read_only=True)) as kept:
        about = kept.about(step)
    return {name: about.get(name) for name in ("trained_classes", "trained_on")}


def parse(argv: Sequence[str]) -> tuple[Trained, Config, Asked]:
    """Reads a command line, the first word of which is the program's name, and the run that it names.

    Raises:
        UserError: it is not as it should be, or the run has no checkpoint.
    """
    values = own_flags()
    flags.DEFINE_string("source", "", "whose objects", flag_values=values)
    flags.DEFINE_list("targets", ["80", "85", "90"], "of the IoU, in per cent", flag_values=values)
    flags.DEFINE_integer("clicks", LIMIT, "an object at most", flag_values=values)
    flags.DEFINE_integer("limit", 0, "number of objects", flag_values=values)
    flags.DEFINE_bool("best", False, "the best checkpoint, not the newest", flag_values=values)
    flags.DEFINE_string("save", "", "folder for masks", flag_values=values)
    words = read_flags(argv, values)
    if values.help:
        raise Answered(USAGE)
    targets = [text.strip() for text in values.targets]
    if not targets or any(not text.isdigit() or not 1 <= int(text) <= 100 for text in targets):
        raise UserError(f"--targets={','.join(values.targets)}: expects whole per cent of IoU, as 80,85,90")
    if values.clicks < 1 or values.limit < 0:
        raise UserError(f"--clicks={values.clicks}: at least 1; --limit={values.limit}: at least 0, which is all")
    save = Path(values.save) if values.save else None
    if save is not None and save.exists() and (not save.is_dir() or any(save.iterdir())):
        raise UserError(f"--save={save}: is not empty; give a new folder")
    workdir = workdir_of(values)
    trained = load_model(workdir, best=values.best)
    if values.source:
        words = [*words, f"--config.eval.source={values.source}"]
    config = own_config(trained.config, words, list(values))
    if trained.config.model.way != 2:
        raise UserError(f"{workdir}: the model has {trained.config.model.way} labels, and an object has two")
    return trained, config, Asked(workdir, tuple(int(text) for text in targets), values.clicks, values.limit, save)


def main(argv: Sequence[str]) -> None:
    """The command line.

    Raises:
        UserError: what a user can mend.
    """
    trained, config, asked = parse(argv)
    with user_mistakes():
        opened = open_sources(config, "eval")
        if len(opened) != 1:
            raise UserError(f"--source={config.eval.source}: one source was expected")
        about = learnt(asked.workdir, trained.step)
        seen = check_evaluation(config, opened[0], about["trained_classes"])
        objects = []
        for each in click_objects(trained, config, opened[0], asked):
            if asked.save:
                save_mask(asked.save, each)
            objects.append(each._replace(mask=each.mask[:0]))
        result = report(trained, config, opened[0], objects, asked, seen=seen, about=about)
    print(describe(result))
    print(f"written to {write_result(asked.workdir, ['clicks', config.eval.source], result)}")


if __name__ == "__main__":
    show_messages()
    sys.exit(guarded(lambda: main(sys.argv)))
