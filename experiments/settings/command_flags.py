"""The flags of a command: defined and read, and the fields of a configuration that they override."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from data_pipelines.datasets.record import DatasetError
from data_pipelines.safe_paths import expand_home
from experiments.settings.config import Config
from experiments.settings.config_files import list_configs
from experiments.settings.errors import UserError
from experiments.settings.fields import FieldError, field_types, flatten, from_dict, nearest, to_dict, with_overrides
from experiments.settings.help_texts import Command, describe_command
from guided_jax.learning.parallel import MODES as PARALLEL

FIELD = re.compile(r"--?(?P<no>no)?config\.(?P<path>[^=]*)")


class Answered(Exception):
    """What the command line asked for is a text, as `--help` does: it is printed, and the command ends."""


def own_flags() -> flags.FlagValues:
    """Flags to which a command adds its own: `--help`, and absl's (`--flagfile`, `--verbosity`, ...)."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    flags.DEFINE_bool("help", False, "Shows this text, and ends.", short_name="h", flag_values=values)
    for name in flags.FLAGS:
        if name not in values and name == flags.FLAGS[name].name:
            values[name] = flags.FLAGS[name]
    return values


def define_config(values: flags.FlagValues, text: str = "The experiment:") -> None:
    """Adds `--config`, the experiment; a longer text may say what for."""
    flags.DEFINE_string(
        "config",
        None,
        f"{text} its `NAME`, or the path of a file whose get_config() returns a Config; what follows a colon is given "
        f"to get_config, as few_shot:0. There are: {list_configs()}.",
        flag_values=values,
    )


class _PathParser(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        return expand(argument)


def define_path(values: flags.FlagValues, name: str, default: str | None, text: str) -> None:
    """Adds a flag that is a path; `~` is the user's home."""
    flags.DEFINE(_PathParser(), name, default, text, flag_values=values)


def define_paths(values: flags.FlagValues, name: str, text: str) -> None:
    """Adds a flag that may be given several times, each time with a path; `~` is the user's home. None: not given."""
    flags.DEFINE_multi(_PathParser(), flags.ArgumentSerializer(), name, None, text, flag_values=values)
    values[name].help = text  # without what absl adds of its own


def define_parallel(values: flags.FlagValues) -> None:
    """Adds `--parallel`, the way to use the devices."""
    flags.DEFINE_enum(
        "parallel",
        PARALLEL[0],
        PARALLEL,
        "How the devices share a batch, with the same numbers: jax.pmap, jax.jit over a mesh, or fsdp, by which they "
        "share the parameters and the optimiser's state, too.",
        flag_values=values,
    )


def define_best(values: flags.FlagValues, before: str = "") -> None:
    """Adds `--best`, the choice of a run's checkpoint."""
    text = f"{before}Takes the best checkpoint by the evaluations during training, not the newest."
    flags.DEFINE_bool("best", False, text, flag_values=values)


def read_flags(argv: Sequence[str], values: flags.FlagValues, command: Command) -> tuple[list[str], list[str]]:
    """Reads the flags of a command line into `values`.

    Args:
        argv: the command line, whose first word is the program's name.
        values: with the command's flags, see `own_flags`.
        command: says whether it takes words and fields; and for the help.

    Returns:
        The words that are no flags, and those that override fields, for `override`.

    Raises:
        Answered: with the help, where it is asked for.
        UserError: a flag has no value, or a wrong one; there is no such flag; a word that the command does not take, or
            that is not UTF-8.
    """
    for word in argv:
        if not word.isprintable() and any(0xD800 <= ord(each) <= 0xDFFF for each in word):
            raise UserError(f"{word}: is not UTF-8, as every word of a command must be; rename the file or folder")
    with _flag_errors():
        program, *words = flags.FLAGS.read_flags_from_files(list(argv), force_gnu=False)
        _, *rest = values([program, *words], known_only=True)
    flags.FLAGS.mark_as_parsed()  # grain reads absl's flags
    if values.help:
        raise Answered(describe_command(command, values))
    words, overrides = _split(rest)
    _refuse([word for word in words if word.startswith("-")], list(values))
    _refuse([] if command.words else words, list(values))
    _refuse([] if command.fields else overrides, list(values))
    try:
        return [expand(word) for word in words], overrides
    except ValueError as error:
        raise UserError(str(error)) from error


def _split(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that override no field, and those that do, some of which are the value of the flag before them."""
    types = field_types(Config)
    words, overrides, value_follows = [], [], False
    for word in rest:
        found = FIELD.match(word)
        if value_follows or not found:
            (overrides if value_follows else words).append(word)
            value_follows = False
        else:
            overrides.append(word)
            value_follows = "=" not in word and not found["no"] and types.get(found["path"]) is not bool
    return words, overrides


def _refuse(words: Sequence[str], known_flags: Sequence[str]) -> None:
    """Raises UserError for the first of words that a command does not take, with the flags that are named alike."""
    if not words:
        return
    name = words[0].lstrip("-").partition("=")[0]
    if words[0].startswith("-"):
        raise UserError(f"--{name}: no such flag{nearest(name, known_flags)} (--help lists them)")
    raise UserError(f"{words[0]!r}: a flag was expected{nearest(f'--{name}', [f'--{each}' for each in known_flags])}")


def workdir_of(values: flags.FlagValues) -> Path:
    """The folder that `--workdir` names.

    Raises:
        UserError: it is missing, or no folder.
    """
    if workdir := workdir_if_any(values):
        return workdir
    raise UserError("--workdir=DIR is missing: the folder for checkpoints, metrics and results")


def workdir_if_any(values: flags.FlagValues) -> Path | None:
    """The folder that `--workdir` names; None where it does not.

    Raises:
        UserError: it is no folder.
    """
    if not values.workdir:
        return None
    if "://" in values.workdir:
        raise UserError(f"--workdir={values.workdir}: must be a folder of a mounted file system")
    return Path(values.workdir)


def expand(path: str) -> str:
    """A path with the home of the user, or of the named one, in the place of its `~`.

    Raises:
        ValueError: there is no such user.
    """
    try:
        return str(expand_home(path)) if path.startswith("~") else path
    except DatasetError as error:
        raise ValueError(str(error)) from error


PATHS = ("weights", "start_from", "data.root", "data.prepared", "eval.save")
"""Fields that are one path. Lists expand their own."""


def _expand_paths(config: Config) -> Config:
    values = flatten(to_dict(config))
    changed = {}
    for field in PATHS:
        try:
            changed[field] = expand(values[field])
        except ValueError as error:
            raise UserError(f"{field}={error}") from error
    return with_overrides(config, changed)


@contextlib.contextmanager
def _flag_errors() -> Iterator[None]:
    try:
        yield
    except flags.Error as error:
        raise UserError(str(error).removeprefix("flag ")) from error


@_flag_errors()
def override(config: Config, words: list[str], known_flags: list[str]) -> Config:
    """The config with the fields that the words `--config.FIELD=VALUE` give.

    Args:
        config: to start from.
        words: of a command line, as `read_flags` leaves them.
        known_flags: names of the command's flags, for messages.

    Raises:
        UserError: a word is something else, or its field or value is wrong.
    """
    types = field_types(type(config))
    for word in words:
        if found := FIELD.match(word):
            _check_path(found["path"], types)
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    argv = ["", *words]
    holder = config_flags.DEFINE_config_dataclass("config", config, flag_values=values, sys_argv=argv)
    try:
        surplus = values(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        _refuse([f"--{error.flagname}"], known_flags)
    except flags.IllegalFlagValueError as error:
        found = re.match(r"flag --config\.([\w.]+)=", str(error))
        if not found:
            raise
        given = str(error).removeprefix("flag ").removesuffix(f": {error.__context__}")
        article = "an" if types[found[1]] is int else "a"
        raise UserError(f"{given}: expects {article} {types[found[1]].__name__}") from error
    _refuse(surplus, known_flags)
    try:
        return _expand_paths(from_dict(to_dict(holder.value), "--config"))
    except FieldError as error:
        raise UserError(str(error)) from error


def _check_path(path: str, types: dict[str, type]) -> None:
    if path in types:
        return
    inside = [name for name in types if name.startswith(f"{path}.")]
    if inside:
        raise UserError(f"--config.{path}: cannot be set as a whole; set its fields: {', '.join(inside)}")
    raise UserError(f"--config.{path}: no such field{nearest(path, types)} (--fields lists them)")
