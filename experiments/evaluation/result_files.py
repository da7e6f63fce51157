"""Results of programs that score a trained run: named by what was asked, and never in place of another's."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.runs.workdir import write_json
from experiments.settings.errors import UserError


def write_result(workdir: Path, words: Sequence[str], result: dict[str, Any]) -> Path:
    """Writes a result, in place of an earlier one of the same protocol only; gives the file.

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
    try:
        return json.loads(path.read_text(encoding="utf-8"))["protocol"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
