"""What is kept of a unit of a sweep: its log, and why it failed.

UNIT/sweep.log     what was logged while it ran, every time
UNIT/failed.log    why it failed the last time: a line with the reason, then the end of the log
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from data_pipelines.disk import write_text
from experiments.settings.errors import one_line

LOG, FAILED = "sweep.log", "failed.log"
SHOWN = 10
"""Lines of the log's end that are shown of a unit that failed."""


class Failure(NamedTuple):
    """Why a unit failed.

    Attributes:
        reason: in a line.
        end: the reason and the end of the unit's log, indented for a terminal.
    """

    reason: str
    end: str


def read_failure(unit: Path) -> Failure | None:
    """Why a unit failed the last time that it was run; None where it did not."""
    try:
        lines = (unit / FAILED).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return Failure(lines[0] if lines else "unknown", "\n".join(f"    {line}" for line in lines))


@contextlib.contextmanager
def unit_log(unit: Path) -> Iterator[Callable[..., None]]:
    """Keeps what is logged within in the unit's log; an earlier failure is forgotten.

    Yields:
        A function that notes a failure: its reason, and a traceback where there is one.
    """
    unit.mkdir(parents=True, exist_ok=True)
    (unit / FAILED).unlink(missing_ok=True)
    handler = logging.FileHandler(unit / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)

    def failed(reason: str, traceback: str = "") -> None:
        handler.flush()
        end = (unit / LOG).read_text("utf-8", errors="replace").splitlines()[-SHOWN:]
        lines = [one_line(reason), *end, *traceback.splitlines()[-SHOWN:], f"all of it: {unit / LOG}"]
        write_text(unit / FAILED, "\n".join(lines) + "\n")

    try:
        yield failed
    finally:
        root.removeHandler(handler)
        handler.close()
