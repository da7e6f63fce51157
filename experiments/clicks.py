"""Clicks on objects as the field's simulated user does, and counts the clicks that they need (paper 5.1).

    guided_jax clicks --workdir=RUN --source=voc:val:class --config.data.root=DATA

The model of a run, or without `--workdir` the guide that comes with the package, segments every object of a source
again and again, each time with the next click of a simulated user (`guided_jax.scoring.clicks`): NoC@80, 85 and 90, the
mean IoU after every click, and the time that a click takes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

from experiments.evaluation.click_results import describe, report
from experiments.evaluation.clicks import ClickOptions, click_objects
from experiments.evaluation.mask_folders import claim_folder
from experiments.evaluation.scoring_command import FIELDS, define_run, load_run, show_and_write
from experiments.runs.data import open_evaluation
from experiments.runs.load import Trained
from experiments.runs.unseen import check_evaluation
from experiments.settings.command_flags import define_path, own_flags, read_flags, workdir_if_any
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.fields import to_dict
from experiments.settings.help_texts import Command
from experiments.settings.hosts import together
from experiments.settings.ranges import MOST_TIMES
from guided_jax.scoring.clicks import LIMIT

COMMAND = Command(
    "guided_jax clicks",
    __doc__,
    fields=f"{FIELDS} A fold (--config.eval.classes=fold:K) is refused for a model that learnt its classes; with "
    "--config.eval.force_seen=True it is clicked on all the same, and the result says so.",
)


def parse(argv: Sequence[str]) -> tuple[Trained, Config, ClickOptions]:
    """Reads a command line, the first word of which is the program's name, and the run that it names.

    Raises:
        UserError: it is not as it should be, or the run has no checkpoint.
    """
    values = own_flags()
    define_run(values)
    flags.DEFINE_string(
        "source",
        "",
        "The `SOURCE` whose class or instance masks are the objects, as voc:val:class; without it the run's "
        "eval.source.",
        flag_values=values,
    )
    text = "IoU targets in per cent, for the number of clicks that reach them (NoC)."
    flags.DEFINE_list("targets", ["80", "85", "90"], f"`P,...`: {text}", flag_values=values)
    flags.DEFINE_integer("clicks", LIMIT, "At most `N` clicks an object.", flag_values=values)
    text = "Only `N` objects, drawn once by the seed; 0 is all."
    flags.DEFINE_integer("limit", 0, text, flag_values=values)
    text = "Masks follow the edges of the image by a guided filter; else they are interpolated, as the logits are."
    flags.DEFINE_bool("guided_filter", False, text, flag_values=values)
    define_path(
        values,
        "save",
        "",
        "New folder `DIR` for the mask after the last click of every object, as DIR/IMAGE/OBJECT.png with 0 and 1, "
        "which a report shows.",
    )
    _, overrides = read_flags(argv, values, COMMAND)
    targets = [text.strip() for text in values.targets]
    if not targets or any(not text.isdigit() or not 1 <= int(text) <= 100 for text in targets):
        raise UserError(f"--targets={','.join(values.targets)}: expects whole per cent of IoU, as 80,85,90")
    if values.clicks < 1 or values.limit < 0:
        raise UserError(f"--clicks={values.clicks}: at least 1; --limit={values.limit}: at least 0, which is all")
    if values.clicks > MOST_TIMES:
        raise UserError(f"--clicks={values.clicks}: at most {MOST_TIMES}")
    save = Path(values.save) if values.save else None
    workdir = workdir_if_any(values)
    if values.source:
        overrides = [*overrides, f"--config.eval.source={values.source}"]
    trained, config = load_run(workdir, values, overrides, two_labels=True)
    options = ClickOptions(workdir, tuple(map(int, targets)), values.clicks, values.limit, save, values.guided_filter)
    return trained, config, options


def main(argv: Sequence[str]) -> None:
    """The command line.

    Raises:
        UserError: what a user can mend.
    """
    trained, config, asked = parse(argv)
    with together(), user_mistakes():
        if asked.save and jax.process_index() == 0:
            of = {"clicks": asked.clicks, "limit": asked.limit, "step": trained.step, "config": to_dict(config)}
            if asked.guided_filter:
                of["guided_filter"] = True
            claim_folder(asked.save, of, "--save")
        opened = open_evaluation(config)
        about = {name: trained.about.get(name) for name in ("trained_classes", "trained_on")}
        seen = check_evaluation(config, opened, about["trained_classes"])
    objects = click_objects(trained, config, opened, asked)
    result = report(trained, config, opened, objects, asked, seen=seen, about=about)
    show_and_write(describe(result), asked.workdir, ["clicks", config.eval.source], result)


if __name__ == "__main__":
    sys.exit(start(main))
