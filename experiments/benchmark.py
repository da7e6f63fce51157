"""Measures how fast this machine is: training, clicks, video, input, scores, several devices, beside PyTorch.

    guided_jax benchmark NAME [--FLAG=VALUE ...]

`experiments.benchmarks` holds a module for each name.
"""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.settings.command_line import start
from experiments.settings.errors import UserError
from experiments.settings.fields import nearest

BENCHMARKS = ("all", "train", "run", "click", "page", "video", "input", "index", "score", "scale", "roof", "in_context")
"""Modules of `experiments.benchmarks`, in the order of the help; their names have `-` for the `_` there."""

ABOUT = """\
Each prints a table and, with --workdir=DIR, writes NAME.json, which names the device. Ratios are of timings that
alternate in one process, so that they hold where the machine's speed drifts; run them where nothing else runs."""


def usage() -> str:
    """The benchmarks, a line each, for a terminal."""
    folder = Path(__file__).with_name("benchmarks")
    texts = {name: ast.get_docstring(ast.parse((folder / f"{name}.py").read_text("utf-8"))) for name in BENCHMARKS}
    lines = [f"  {name.replace('_', '-'):<10}  {text.partition(chr(10))[0]}" for name, text in texts.items()]
    end = "guided_jax benchmark NAME --help tells more of one."
    return "\n".join(["usage: guided_jax benchmark NAME [--FLAG=VALUE ...]", "", *lines, "", ABOUT, end])


def main(argv: Sequence[str]) -> int | None:
    """The command line, the first word of which is the program's name; returns the exit code.

    Raises:
        UserError: there is no such benchmark.
    """
    program, *words = argv
    if not words or words[0] in ("--help", "-h", "--helpfull"):
        print(usage())
        return 0
    if words[0].startswith("-"):
        raise UserError(f"{words[0].partition('=')[0]}: no such flag (--help lists them)")
    modules = {name.replace("_", "-"): name for name in BENCHMARKS}
    if words[0] not in modules:
        there = ", ".join(modules)
        raise UserError(f"{words[0]!r}: no such benchmark{nearest(words[0], tuple(modules))}; there are {there}")
    module = importlib.import_module(f"experiments.benchmarks.{modules[words[0]]}")
    return module.main([f"{program} {words[0]}", *words[1:]])


if __name__ == "__main__":
    sys.exit(start(main))
