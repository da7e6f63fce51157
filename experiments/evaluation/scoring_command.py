"""What the commands that score a model do alike: its flags, the model with data of their own, the result."""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jax
from absl import flags

from experiments.evaluation.result_files import write_result
from experiments.runs.load import Trained, load_file, load_model
from experiments.runs.workdir import FREE, FREE_IN_EVAL
from experiments.settings.checks import check_fields, check_writable
from experiments.settings.command_flags import define_best, define_path, override
from experiments.settings.config import Config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.fields import differing, to_dict
from experiments.settings.hosts import define_distributed, join_hosts, together
from guided_jax.shipped import DEFAULT, SHIPPED

FIELDS = (
    "Another value for a field of data, eval, tune or seed, as --config.data.root=DATA; the model's are the run's own."
)


def define_run(values: flags.FlagValues) -> None:
    """Adds the flags that say which model is scored, `--workdir`, `--best` and `--model`, and `--distributed`."""
    text = "`DIR` of a trained run, as runs/first, whose model is scored; the result is written there."
    define_path(values, "workdir", None, text)
    define_best(values)
    define_path(
        values,
        "model",
        "",
        f"`NAME` of a guide that comes with the package ({', '.join(SHIPPED)}), or a .safetensors, in place of a run; "
        f"--workdir is then only where the result is written. Without both flags it is {DEFAULT}.",
    )
    define_distributed(values)


def define_videos(values: flags.FlagValues) -> None:
    """Adds the flags that say on which frames of which videos: `--source`, `--videos` and `--every`."""
    flags.DEFINE_string(
        "source",
        "davis:val",
        "The `SOURCE` of the videos: davis:SPLIT (train, val, val2016, ...), or your own as frames@PATH:all.",
        flag_values=values,
    )
    flags.DEFINE_list("videos", [], "Only the videos `NAME,...`, as bear,dogs.", flag_values=values)
    text = "Takes every `N`-th frame alone, for a quick look."
    flags.DEFINE_integer("every", 1, text, lower_bound=1, flag_values=values)


def load_run(
    workdir: Path | None,
    values: flags.FlagValues,
    overrides: list[str],
    *,
    two_labels: bool = False,
    tunes: bool = False,
) -> tuple[Trained, Config]:
    """The model that the flags name, and the configuration that it is scored by; joins the other processes before.

    Args:
        workdir: of the run, or of the result; None: the result is only shown.
        values: the command's flags, of which `--model`, `--best` and `--distributed` count.
        overrides: words of the command line, see `read_flags`.
        two_labels: refuses a model of more labels, for objects.
        tunes: whether the command fine-tunes where the configuration asks for it.

    Raises:
        UserError: there is no such run, it has no checkpoint, an override is wrong, or the model has other labels or is
            to be fine-tuned.
    """
    if values.distributed:
        join_hosts()
    with together():
        return _load_run(workdir, values, overrides, two_labels, tunes)


def _load_run(
    workdir: Path | None, values: flags.FlagValues, overrides: list[str], two_labels: bool, tunes: bool
) -> tuple[Trained, Config]:
    if values.model or not workdir:
        if values.best:
            raise UserError("--best: chooses among the checkpoints of a run; it needs --workdir, and no --model")
        trained, named = load_file(values.model or DEFAULT), values.model or DEFAULT
    else:
        trained, named = load_model(workdir, best=values.best), str(workdir)
    config = own_config(trained.config, overrides, list(values))
    if two_labels and trained.config.model.way != 2:
        raise UserError(f"{named}: the model has {trained.config.model.way} labels, and an object has two")
    if config.tune.steps and not tunes:
        raise UserError(
            f"{named}: its network is fine-tuned on each task (tune.steps={config.tune.steps}), which this command "
            "does not do; --config.tune.steps=0 scores it as it was trained"
        )
    if workdir:
        check_writable(workdir, "--workdir")
    return trained, config


def own_config(trained: Config, overrides: list[str], known_flags: list[str]) -> Config:
    """The configuration of a run with other values of some fields: of data, evaluation and seed alone.

    Raises:
        UserError: an override is wrong, or its field belongs to the trained model.
    """
    config = override(trained, overrides, known_flags)
    free = (*FREE, *FREE_IN_EVAL)
    for name in differing(to_dict(trained), to_dict(config)):
        if not any(fnmatch(name, pattern) for pattern in free):
            raise UserError(
                f"--config.{name}: belongs to the trained run; to be set here are {', '.join(FREE_IN_EVAL)}"
            )
    with user_mistakes():
        check_fields(config)
    return config


def show_and_write(text: str, workdir: Path | None, words: Sequence[str], result: dict[str, Any]) -> None:
    """Prints what a result says, and writes it to a file that is named by the words; without a workdir to none.

    Of several processes the first one does.

    Raises:
        UserError: the folder cannot be written.
    """
    if jax.process_index() > 0:
        return
    print(text)
    if workdir:
        print(f"written to {write_result(workdir, words, result)}")
