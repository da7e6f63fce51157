"""Result files of the programs that score a trained run: named by what was asked for, and never written over."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.settings.errors import UserError
from experiments.settings.json_files import read_json, write_json


def write_result(workdir: Path, words: Sequence[str], result: dict[str, Any]) -> Path:
    """Writes a result, and returns its file: an earlier file is replaced only if its protocol is the same.

    Args:
        workdir: where to.
        words: for the file's name, as ["clicks", "voc:val"].
        result: with its `protocol`.

    Raises:
        UserError: the folder cannot be written.
    """
    name = "-".join(re.sub(r"[^\w.]+", "-", word).strip("-") for word in words)
    # JSON has no tuples, and its keys are text.
    protocol, number, path = json.loads(json.dumps(result["protocol"])), 1, workdir / f"{name}.json"
    while path.exists() and _protocol(path) != protocol:
        number += 1
        path = workdir / f"{name}-{number}.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(path, result)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _protocol(path: Path) -> Any:
    """The protocol of a result; None where the file holds no result, and so is not written over."""
    try:
        result = read_json(path)
    except UserError:
        return None
    return result.get("protocol") if isinstance(result, dict) else None
