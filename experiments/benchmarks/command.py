"""What the benchmarks' command lines share: sizes, the folder of the result, and what must be installed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from experiments.runs.workdir import environment
from experiments.settings.command_flags import define_path, workdir_of
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.json_files import write_json

SIZE = "480x854"
"""Of a frame of DAVIS at 480p, height by width in pixels."""


def parse_size(text: str, flag: str = "--size") -> tuple[int, int]:
    """Height and width in pixels, of HEIGHTxWIDTH.

    Raises:
        UserError: it is no size.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise UserError(f"{flag}={text}: expects height x width in pixels, as {SIZE}")
    return int(found[1]), int(found[2])


def parse_numbers(texts: list[str], flag: str, least: int, most: int, example: str) -> list[int]:
    """Whole numbers of a comma-separated flag.

    Raises:
        UserError: one is none, or out of range.
    """
    if not texts or not all(re.fullmatch(r"\d{1,9}", text) and least <= int(text) <= most for text in texts):
        raise UserError(f"{flag}={','.join(texts)}: expects numbers from {least} to {most}, as {example}")
    return [int(text) for text in texts]


def define_result(values: flags.FlagValues, name: str) -> None:
    """Defines the flag for where the result goes."""
    define_path(values, "workdir", None, f"`DIR` for {name}.json; without it the result is printed alone.")


def open_result(values: flags.FlagValues) -> Path | None:
    """Makes the folder that was asked for, before anything is measured; None: none was.

    Raises:
        UserError: it cannot be made.
    """
    if not values.workdir:
        return None
    workdir = workdir_of(values)
    with user_mistakes():
        workdir.mkdir(parents=True, exist_ok=True)
    return workdir


def write_result(workdir: Path | None, name: str, result: Mapping[str, Any]) -> None:
    """Writes what was measured, and where, to NAME.json."""
    if workdir:
        write_json(workdir / f"{name}.json", {**result, "environment": environment()})


def need_torch() -> None:
    """Raises UserError where PyTorch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UserError("PyTorch is measured against, and missing: pip install 'guided_jax[torch]'") from None
