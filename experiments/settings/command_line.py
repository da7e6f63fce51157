"""Running a command so that every mistake of a user is one line; and the command line of a run.

guided_jax run --config=NAME --workdir=DIR [--config.train.steps=100 ...]
"""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from absl import logging as absl_logging

from data_pipelines.datasets.record import DatasetError
from experiments.settings.command_flags import (
    Answered,
    define_config,
    define_parallel,
    define_path,
    override,
    own_flags,
    read_flags,
    workdir_of,
)
from experiments.settings.config import Config
from experiments.settings.config_files import list_configs, load_config
from experiments.settings.errors import UserError, machine_fault, one_line
from experiments.settings.exits import run_quietly
from experiments.settings.fields import describe_fields
from experiments.settings.help_texts import Command
from experiments.settings.hosts import define_distributed, join_hosts, leave_hosts
from experiments.settings.kept_programs import keep_programs

MODES = ("train", "eval", "train_and_eval")
RUN = Command(
    "guided_jax run",
    "Trains and evaluates an experiment.",
    fields="Another value for a field of the configuration, as --config.train.learning_rate=1e-5.",
)


class Invocation(NamedTuple):
    """What the command line asks for."""

    config: Config
    workdir: Path
    mode: str
    parallel: str
    distributed: bool


def start(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Runs a command; gives its exit code.

    Args:
        main: of the command line, whose first word is the program's name; it may give an exit code.
        argv: the command line; None: this process's.
    """
    show_messages()
    keep_programs()
    absl_logging.use_absl_handler()  # so that --verbosity=0 shows what is done, and the default only warnings
    return leave_hosts(guarded(lambda: main(sys.argv if argv is None else argv)))


def run_app(
    main: Callable[[Config, Path, str, str], object], argv: Sequence[str] | None = None, command: Command = RUN
) -> int:
    """Parses the command line of a run and calls `main(config, workdir, mode, parallel)`.

    Args:
        main: the program.
        argv: the command line with the program's name; None: this process's.
        command: for the help.

    Returns:
        The exit code: 0, or 2 after a mistake of the user, which is then on stderr in one line.
    """
    absl_logging.use_absl_handler()

    def program() -> None:
        *arguments, distributed = parse(sys.argv if argv is None else argv, command)
        if distributed:
            join_hosts()
        main(*arguments)

    return guarded(program)


def guarded(program: Callable[[], int | None]) -> int:
    """Runs a program so that what a user, the disk or the memory did is one line on stderr; gives the exit code.

    Also what stops it from outside, see `run_quietly`.
    """
    return run_quietly(lambda: _one_line(program))


def _one_line(program: Callable[[], int | None]) -> int:
    try:
        return program() or 0
    except Answered as answer:
        print(answer)
        return 0
    except (UserError, DatasetError) as error:
        message = str(error)
    except BrokenPipeError:
        raise
    except Exception as error:
        message = machine_fault(error)
        if message is None:
            raise
    print(f"error: {one_line(message)}", file=sys.stderr)
    return 2


def parse(argv: Sequence[str], command: Command = RUN) -> Invocation:
    """Reads the command line of a run, the first word of which is the program's name.

    absl's own flags (`--flagfile`, `--verbosity`, ...) are understood too.

    Raises:
        Answered: with the help or the fields, where they are asked for.
        UserError: the command line or the config file is not what it should be.
    """
    values = own_flags()
    define_config(values)
    define_path(
        values,
        "workdir",
        None,
        "`DIR` for checkpoints, metrics and results, as runs/first; the same command again goes on with what is there.",
    )
    if command is RUN:  # a benchmark has no modes
        text = "Trains, scores a checkpoint, or does both in turn."
        flags.DEFINE_enum("mode", MODES[-1], MODES, text, flag_values=values)
    define_parallel(values)
    define_distributed(values)
    flags.DEFINE_bool(
        "fields", False, "Lists the fields that can be overridden, with their values, and ends.", flag_values=values
    )
    _, overrides = read_flags(argv, values, command)
    if values.config is None and not values.fields:
        raise UserError(f"--config=FILE.py is missing; there are: {list_configs()}")
    config = Config() if values.config is None else load_config(values.config)
    config = override(config, overrides, list(values))
    if values.fields:
        raise Answered(describe_fields(config))
    mode = values.mode if command is RUN else MODES[-1]
    return Invocation(config, workdir_of(values), mode, values.parallel, values.distributed)


def show_messages() -> None:
    """Shows what our own packages report; of the libraries only warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    for package in ("guided_jax", "data_pipelines", "experiments"):
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
