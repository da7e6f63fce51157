"""JSON files of runs and results: written whole or not at all, read with an error that names the file."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_pipelines.disk import replacing, write_text
from experiments.settings.errors import UserError


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all; after a power failure, too."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: it cannot be read, or holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Writes a file with one JSON value a line, whole or not at all."""
    write_text(path, "".join(json.dumps(value) + "\n" for value in values))


def read_json_lines(path: Path) -> list[Any]:
    """Reads a file with one JSON value a line; empty lines are passed over.

    Raises:
        UserError: it cannot be read, or a line holds no JSON.
    """
    values = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            values += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise UserError(f"{path}: cannot be read: line {number}: {error}") from error
    return values
