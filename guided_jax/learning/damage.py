"""A checkpoint that is not what was written: told in one line, whatever Orbax and its libraries say of it."""

import contextlib
import errno
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from guided_jax.backbones.file_formats import plain


class DamagedCheckpoint(ValueError):
    """A checkpoint that is not what was written, in one line that says what to do.

    Attributes:
        reason: what is wrong with it.
        other: step of the newest of the other checkpoints; None where there is no other.
    """

    def __init__(self, folder: Path, reason: str, other: int | None):
        self.reason, self.other = reason, other
        then = "to start anew (there is no other one)" if other is None else f"to go on from {other}"
        super().__init__(f"{folder}: checkpoint {folder.name} is damaged ({reason}): delete it {then}")


def steps_in(directory: Path) -> list[int]:
    """The steps after which folders of checkpoints are called, rising."""
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit() and path.is_dir())


@contextlib.contextmanager
def reading(directory: Path, step: int) -> Iterator[None]:
    """Around what reads a checkpoint.

    Raises:
        DamagedCheckpoint: whatever was raised within.
        PermissionError, MemoryError: as they are, for these say nothing of the checkpoint.
    """
    folder = directory / str(step)
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            raise ValueError("its folder is empty")
        with quiet_orbax(), no_late_answers():
            yield
    except (DamagedCheckpoint, PermissionError, MemoryError):
        raise
    except Exception as error:  # each library has its own kinds, and they all mean this
        if "permission denied" in (reason := _reason(error)).lower().replace("_", " "):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder)) from error
        others = [each for each in steps_in(directory) if each != step] if directory.is_dir() else []
        raise DamagedCheckpoint(folder, reason, max(others, default=None)) from error


def set_aside(directory: Path, steps: list[int]) -> Path:
    """Moves checkpoints out of the way, into a folder `damaged` beside theirs; returns it."""
    damaged = directory.with_name("damaged")
    damaged.mkdir(exist_ok=True)
    for step in steps:
        names = (f"{step}{again}" for again in ("", *(f"-{number}" for number in range(2, 10**6))))
        (directory / str(step)).rename(next(damaged / name for name in names if not (damaged / name).exists()))
    return damaged


def _reason(error: Exception) -> str:
    """What a library says, without the hundreds of lines that may follow."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return plain((text.strip().splitlines() or [type(error).__name__])[0].partition(" [tensorstore_spec")[0])


@contextlib.contextmanager
def quiet_orbax() -> Iterator[None]:
    """Within, Orbax does not log what it raises besides, with its tracebacks, nor warn of what is told as damage."""

    def is_wanted(record: logging.LogRecord) -> bool:
        failed = "orbax" in record.pathname and record.levelno >= logging.ERROR
        return not failed and "Metadata file does not exist" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(is_wanted)
    try:
        yield
    finally:
        logger.removeFilter(is_wanted)


@contextlib.contextmanager
def no_late_answers() -> Iterator[None]:
    """Keeps what is still read or written when one of it has failed from printing a traceback each."""
    before = sys.unraisablehook

    def hook(unraisable) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    def is_wanted(record: logging.LogRecord) -> bool:
        return "_wrap_awaitable" not in record.getMessage()  # of a read whose failure nobody asked for

    sys.unraisablehook = hook
    logging.getLogger("asyncio").addFilter(is_wanted)
    yield
    # Only where nothing failed, here or within, which leaves its own hook: after a failure they are yet to come.
    if sys.unraisablehook is hook:
        sys.unraisablehook = before
        logging.getLogger("asyncio").removeFilter(is_wanted)
