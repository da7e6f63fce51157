"""The one command: `guided_jax COMMAND ...`, or `python -m experiments COMMAND ...`.

Each command is a module beside this one with `main(argv)`; `python -m experiments.COMMAND ...` is the same. Only the
module of the command that is named is imported, since JAX and the data sets take seconds.
"""

import ast
import importlib
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from experiments.settings.exits import end_soon, run_quietly

COMMANDS = (
    "run",
    "sweep",
    "quickstart",
    "segment",
    "clicks",
    "annotate",
    "video",
    "interactive-video",
    "score",
    "report",
    "snapshot",
    "prepare",
    "benchmark",
    "lists",
)
"""In the order of the help; a module's name has `_` for the `-`."""


def summary(command: str) -> str:
    """What a command does: the first line of its module's docstring, without importing it."""
    source = Path(__file__).with_name(f"{module_name(command)}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).partition("\n")[0]


def module_name(command: str) -> str:
    """The name of a command's module in this package."""
    return command.replace("-", "_")


def usage() -> str:
    """The commands, a line each, for a terminal."""
    width = max(map(len, COMMANDS))
    lines = [f"  {command:<{width}}  {summary(command)}" for command in COMMANDS]
    return "\n".join(
        ["usage: guided_jax COMMAND [--FLAG=VALUE ...]", "", *lines, "", "guided_jax COMMAND --help lists its flags."]
    )


def dispatch(argv: Sequence[str]) -> int:
    """Runs the command that the second word names; returns the exit code: 0, or 2 after a mistake of the user."""
    words = list(argv[1:])
    if not words or words[0] in ("--help", "-h"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(f"guided_jax {version()}")
        return 0
    if words[0] not in COMMANDS:
        from experiments.settings.errors import one_line  # imports JAX

        print(f"error: {one_line(_what_is_wrong(words))}", file=sys.stderr)
        return 2
    from experiments.settings.command_line import start  # imports JAX

    module = importlib.import_module(f"experiments.{module_name(words[0])}")
    return start(module.main, [f"guided_jax {words[0]}", *words[1:]])


def version() -> str:
    """Of the installed package; of a checkout that is not installed, nobody knows it."""
    try:
        return metadata.version("guided_jax")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _what_is_wrong(words: Sequence[str]) -> str:
    if words[0].startswith("-"):
        flag = words[0].partition("=")[0]
        return f"{flag}: a command was expected first; to run an experiment: guided_jax run {flag}=..."
    from experiments.settings.fields import nearest  # imports JAX

    return f"{words[0]!r}: no such command{nearest(words[0], COMMANDS)} (guided_jax --help lists them)"


def console() -> None:
    """The installed command."""
    sys.exit(end_soon(run_quietly(lambda: dispatch(sys.argv))))


if __name__ == "__main__":
    console()
