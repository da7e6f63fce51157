"""The folder that masks are saved to: new, or one that the same command has begun or filled before."""

import fnmatch
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.settings.checks import check_writable
from experiments.settings.errors import UserError
from experiments.settings.fields import differing
from experiments.settings.json_files import read_json, write_json

MARK = ".masks.json"
"""In the folder, from before the first mask on: which evaluation's they are."""

PARTIAL = f".{MARK}.*.partial"
"""What a process that was killed while it wrote the mark leaves, see `disk.replacing`."""


def claim_folder(folder: Path, evaluation: Mapping[str, Any], flag: str) -> None:
    """Makes a folder that of an evaluation, before anything long; a killed one finds it again, and writes all anew.

    Args:
        folder: to write masks to.
        evaluation: all that they depend on, as JSON.
        flag: that names the folder, for messages.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    refuse_foreign(folder, evaluation, flag)
    check_writable(folder, flag)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(PARTIAL):
        left.unlink(missing_ok=True)
    write_json(folder / MARK, evaluation)


def refuse_foreign(folder: Path, evaluation: Mapping[str, Any], flag: str) -> None:
    """Raises UserError where a folder holds something else than masks of this evaluation; writes nothing."""
    if not folder.exists() or (folder.is_dir() and all(_of_mark(each.name) for each in folder.iterdir())):
        return
    mark = folder / MARK
    if not mark.is_file():
        raise UserError(f"{flag}={folder}: is there already; give a new folder")
    before, now = read_json(mark), json.loads(json.dumps(evaluation))
    if before != now:
        other = ", ".join(differing(before, now)) if isinstance(before, dict) else "command"
        raise UserError(
            f"{flag}={folder}: is there already; give a new folder (it holds masks that were made with another {other})"
        )


def _of_mark(name: str) -> bool:
    return name == MARK or fnmatch.fnmatchcase(name, PARTIAL)
