"""A checkpoint that is not what was written: told in one line, whatever Orbax and its libraries say of it."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from guided_jax.backbones.file_formats import plain


class DamagedCheckpoint(ValueError):
    """A checkpoint that is not what was written, in one line that says what to do."""


def steps_in(directory: Path) -> list[int]:
    """The steps after which folders of checkpoints are called, rising."""
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit() and path.is_dir())


@contextlib.contextmanager
def reading(directory: Path, step: int) -> Iterator[None]:
    """Around what reads a checkpoint.

    Raises:
        DamagedCheckpoint: whatever was raised within.
    """
    folder = directory / str(step)
    try:
        if folder.is_dir() and not any(folder.iterdir()):  # Orbax would warn besides, in words of its own
            raise ValueError("its folder is empty")
        with _no_late_answers():
            yield
    except Exception as error:  # each library has its own kinds, and they all mean this
        reason = _reason(error)
        earlier = [each for each in steps_in(directory) if each < step]
        then = f"to go on from {max(earlier)}" if earlier else "to start anew (there is no earlier one)"
        raise DamagedCheckpoint(f"{folder}: checkpoint {step} is damaged ({reason}): delete it {then}") from error


def _reason(error: Exception) -> str:
    """What a library says, without the hundreds of lines that may follow."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return plain((text.strip().splitlines() or [type(error).__name__])[0].partition(" [tensorstore_spec")[0])


@contextlib.contextmanager
def _no_late_answers() -> Iterator[None]:
    """Keeps the reads that still run when one has failed from printing a traceback each: nobody waits for them."""
    before = sys.unraisablehook

    def hook(unraisable) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    def is_wanted(record: logging.LogRecord) -> bool:
        return "_wrap_awaitable" not in record.getMessage()  # of a read whose failure nobody asked for

    sys.unraisablehook = hook
    logging.getLogger("asyncio").addFilter(is_wanted)
    yield
    # Only where nothing failed: after a failure they are yet to come.
    sys.unraisablehook = before
    logging.getLogger("asyncio").removeFilter(is_wanted)
