"""From the command line to a `Config`, and every mistake of a user as one line.

python -m experiments.run --config=experiments/NAME.py --workdir=DIR [--config.train.steps=100 ...]
"""

import contextlib
import importlib.util
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

import experiments
from data_pipelines.datasets.record import DatasetError
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import FieldError, describe_fields, field_types, from_dict, nearest, to_dict
from experiments.settings.hosts import join_hosts

MODES = ("train", "eval", "train_and_eval")
PARALLEL = ("pmap", "jit")

USAGE = """\
usage: guided_jax --config=FILE.py --workdir=DIR [--config.FIELD=VALUE ...]
       (or python -m experiments.run ..., the same)

  --config=FILE.py        the experiment: a file whose get_config() returns a Config
  --config.FIELD=VALUE    overrides one of its fields, as --config.train.learning_rate=1e-5
  --workdir=DIR           for checkpoints, metrics and results; the same command resumes what is there
  --mode=MODE             train, eval, or train_and_eval (the default)
  --parallel=WAY          over devices: pmap (the default) or jit
  --distributed           one of several processes, the same command in each: told of the others by Slurm, Open MPI,
                          Kubernetes, a TPU pod, or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID
  --fields                lists the fields that can be overridden, with their values, and ends
"""


class Invocation(NamedTuple):
    """What the command line asks for."""

    config: Config
    workdir: Path
    mode: str
    parallel: str
    distributed: bool


class Answered(Exception):
    """The command line asked for a text, not for a run."""


def run_app(main: Callable[[Config, Path, str, str], object], argv: Sequence[str] | None = None) -> int:
    """Parses the command line and calls `main(config, workdir, mode, parallel)`.

    Args:
        main: the program.
        argv: the command line with the program's name; None: this process's.

    Returns:
        The exit code: 0, or 2 after a mistake of the user, which is then on stderr in one line.
    """
    absl_logging.use_absl_handler()  # so that --verbosity=0 shows what is done, and the default only warnings

    def program() -> None:
        *arguments, distributed = parse(sys.argv if argv is None else argv)
        if distributed:
            join_hosts()
        main(*arguments)

    return guarded(program)


def guarded(program: Callable[[], object]) -> int:
    """Runs a program so that a `UserError` or `DatasetError` is one line on stderr; gives the exit code."""
    try:
        program()
    except Answered as answer:
        print(answer)
        return 0
    except (UserError, DatasetError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def user_mistakes() -> Iterator[None]:
    """Around the checks of a start: ValueError, OSError and DatasetError become `UserError`."""
    try:
        yield
    except (ValueError, OSError, DatasetError) as error:
        raise UserError(str(error)) from error


def parse(argv: Sequence[str]) -> Invocation:
    """Reads a command line, the first word of which is the program's name.

    absl's own flags (`--flagfile`, `--verbosity`, ...) are understood too.

    Raises:
        UserError: the command line or the config file is not what it should be.
    """
    values = own_flags()
    flags.DEFINE_enum("mode", "train_and_eval", MODES, "what to do", flag_values=values)
    flags.DEFINE_bool("distributed", False, "one of several processes", flag_values=values)
    flags.DEFINE_bool("fields", False, "lists the config's fields", flag_values=values)
    rest = read_flags(argv, values)
    if values.help:
        raise Answered(USAGE + _experiments("\nexperiments here: "))
    if values.config is None and not values.fields:
        raise UserError("--config=FILE.py is missing" + _experiments("; there are: "))
    config = Config() if values.config is None else load_config(values.config)
    config = override(config, rest, list(values))
    if values.fields:
        raise Answered(describe_fields(config))
    return Invocation(config, workdir_of(values), values.mode, values.parallel, values.distributed)


def workdir_of(values: flags.FlagValues) -> Path:
    """The folder that `--workdir` names.

    Raises:
        UserError: it is missing, or no folder.
    """
    if not values.workdir:
        raise UserError("--workdir=DIR is missing: the folder for checkpoints, metrics and results")
    if "://" in values.workdir:
        raise UserError(f"--workdir={values.workdir}: must be a folder of a mounted file system")
    return Path(values.workdir)


def load_config(argument: str) -> Config:
    """Calls `get_config()` of a file, or `get_config("text")` for `FILE.py:text`; checks the types of the fields.

    What is no path here is looked for by name among the experiments that ship: `few_shot:0` is
    `experiments/configs/few_shot.py:0`, which is found from any folder, too.

    Raises:
        UserError: there is no such file, it has no `get_config`, or that does not give a sound `Config`.
    """
    module, words = load_module(argument)
    config = call_module(module, "get_config", words, argument)
    path = argument.partition(":")[0]
    if not isinstance(config, Config):
        raise UserError(
            f"--config={path}: get_config() gives a {type(config).__name__}, not a Config (experiments.settings.config)"
        )
    with _field_errors():
        return from_dict(to_dict(config), f"--config={path}")


def load_module(argument: str) -> tuple[ModuleType, list[str]]:
    """The module of `FILE.py` or `FILE.py:text`, and the words for its functions: none, or the text.

    Raises:
        UserError: there is no such file.
    """
    path, _, text = argument.partition(":")
    file = find_config(path)
    spec = importlib.util.spec_from_file_location("experiment_config", file)
    if spec is None:
        raise UserError(f"--config={path}: not a Python file (.py)")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as under python -m, so that a config can import its neighbours
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module, [text] if text else []


def find_config(path: str) -> Path:
    """The file of an experiment: as given, of an experiment that ships by its name, or by its path in the packages.

    Raises:
        UserError: there is none; with those that are named alike.
    """
    shipped = shipped_configs()
    inside = Path(experiments.__file__).parents[1] / path
    for file in (Path(path), shipped.get(path, inside)):
        if file.is_file():
            return file
    alike = nearest(Path(path).stem, shipped)
    raise UserError(f"--config={path}: no such file{alike}" + _experiments("; there are: "))


def call_module(module: ModuleType, name: str, words: list[str], argument: str) -> Any:
    """Calls a function of a config file with the words that follow its name in `argument`.

    Raises:
        UserError: there is no such function, or it takes other words.
    """
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"--config={argument.partition(':')[0]}: has no function {name}()")
    try:
        inspect.signature(function).bind(*words)
    except TypeError as error:
        raise UserError(f"--config={argument}: {name}() does not take what follows the colon: {error}") from error
    return function(*words)


def own_flags() -> flags.FlagValues:
    """The flags of every program here, and absl's own."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    flags.DEFINE_string("config", None, "file of the experiment", flag_values=values)
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
    flags.DEFINE_enum("parallel", "pmap", PARALLEL, "how to use the devices", flag_values=values)
    flags.DEFINE_bool("help", False, "shows the usage", short_name="h", flag_values=values)
    for name in flags.FLAGS:
        if name not in values and name == flags.FLAGS[name].name:
            values[name] = flags.FLAGS[name]
    return values


def read_flags(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Reads the flags of a command line into `values`; gives the other words, for `override`.

    Raises:
        UserError: a flag has no value, or a wrong one.
    """
    with _flag_errors():
        program, *words = flags.FLAGS.read_flags_from_files(list(argv), force_gnu=False)
        _, *rest = values([program, *words], known_only=True)
    flags.FLAGS.mark_as_parsed()  # grain reads absl's flags
    return rest


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
        known_flags: names of the program's flags, for messages.

    Raises:
        UserError: a word is something else, or its field or value is wrong.
    """
    types = field_types(type(config))
    for word in words:
        found = re.match(r"--?(?:no)?config\.([^=]*)", word)
        if found:
            _check_path(found[1], types)
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    argv = ["", *words]
    holder = config_flags.DEFINE_config_dataclass("config", config, flag_values=values, sys_argv=argv)
    try:
        surplus = values(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"--{error.flagname}: no such flag{nearest(error.flagname, known_flags)}") from error
    except flags.IllegalFlagValueError as error:
        found = re.match(r"flag --config\.([\w.]+)=", str(error))
        if not found:
            raise
        given = str(error).removeprefix("flag ").removesuffix(f": {error.__context__}")
        article = "an" if types[found[1]] is int else "a"
        raise UserError(f"{given}: expects {article} {types[found[1]].__name__}") from error
    if surplus:
        raise UserError(f"{surplus[0]!r}: a flag was expected, as --config.FIELD=VALUE")
    with _field_errors():
        return from_dict(to_dict(holder.value), "--config")


def _check_path(path: str, types: dict[str, type]) -> None:
    if path in types:
        return
    inside = [name for name in types if name.startswith(f"{path}.")]
    if inside:
        raise UserError(f"--config.{path}: cannot be set as a whole; set its fields: {', '.join(inside)}")
    raise UserError(f"--config.{path}: no such field{nearest(path, types)} (--fields lists them)")


@contextlib.contextmanager
def _field_errors() -> Iterator[None]:
    try:
        yield
    except FieldError as error:
        raise UserError(str(error)) from error


def show_messages() -> None:
    """Shows what our own packages report; of the libraries only warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    for package in ("guided_jax", "data_pipelines", "experiments"):
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


def shipped_configs() -> dict[str, Path]:
    """The experiments that ship, by name: the modules of `experiments.configs` that give a config."""
    files = sorted((Path(experiments.__file__).parent / "configs").glob("*.py"))
    return {file.stem: file for file in files if "\ndef get_config(" in file.read_text("utf-8")}


def _experiments(introduction: str) -> str:
    return introduction + ", ".join(shipped_configs())
