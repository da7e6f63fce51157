"""What a user can mend."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

from data_pipelines.datasets.record import DatasetError
from experiments.settings.exits import LOST, tells_of_loss


class UserError(Exception):
    """A mistake that the user can mend; shown as one line, without a traceback."""


@contextlib.contextmanager
def user_mistakes() -> Iterator[None]:
    """Around the checks of a start: ValueError, OSError and DatasetError become `UserError`."""
    try:
        yield
    except (ValueError, OSError, DatasetError) as error:
        raise UserError(machine_fault(error) or str(error)) from error


LONGEST_WORD, LONGEST_MESSAGE = 500, 3000
"""Characters of a message that are shown. A path has fewer, as a rule, and so have all fields of two configurations."""


def one_line(message: str) -> str:
    """A message for a terminal: one line, without control codes, and what is of absurd length cut in its middle."""
    words = (_cut(word, LONGEST_WORD) for word in message.split())
    shown = _cut(" ".join(words), LONGEST_MESSAGE)
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown)


def _cut(text: str, longest: int) -> str:
    """Keeps two parts, for what is asked for stands at the end of a message."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK = (
    *FULL,
    errno.EROFS,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ESTALE,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
)
"""Faults of a disk or its rights, not of the code."""


OUT_OF_MEMORY = "out of memory"
"""How the line begins where memory was the cause."""


def machine_fault(error: BaseException) -> str | None:
    """What the disk, the memory or the network did, in one line; None where an exception has another cause.

    Orbax, TensorStore and XLA wrap the system's error in others, or give its text alone.
    """
    chain, seen = [error], set()
    while chain:
        each = chain.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno in DISK:
            return _of_disk(each.errno, each.filename)
        text = str(each)
        if found := next((number for number in FULL if os.strerror(number) in text), None):
            paths = filter(_may_be_a_file, re.findall(r"/[^\s'\"\];,]+", text))
            return _of_disk(found, next(paths, None))
        if tells_of_loss(text):
            return LOST
        if isinstance(each, MemoryError) or "RESOURCE_EXHAUSTED" in text:
            return (
                f"{OUT_OF_MEMORY}: make data.buckets, train.batch_size, eval.batch_size or the model smaller "
                f"({text.partition(chr(10))[0]:.200})"
            )
        chain += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
        chain += getattr(each, "exceptions", ())
    return None


def _may_be_a_file(path: str) -> bool:
    """Whether a path lies in a folder that is there; the name of an array looks like one, too: /fc7/bias/0."""
    folder = os.path.dirname(path)
    return len(folder) > 1 and os.path.isdir(folder)


def _of_disk(number: int, path: str | bytes | None) -> str:
    where = f"{os.fsdecode(path)}: " if path else ""
    full = "; make room, and the same command goes on" if number in FULL else ""
    return f"{where}cannot be written or read: {os.strerror(number)}{full}"
