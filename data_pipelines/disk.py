"""Files that are written whole or not at all, and locks between processes.

The home of both for `data_pipelines` and `experiments`. (`guided_jax`, which stands on its own, writes in one place:
`snapshots.files`.)
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Around what writes to an open file: the system's error on a full disk does not tell which, and here it does."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes the place of `path` at the end: there is the old file or the new one, whole.

    Where writing fails, the old file stays. A killed process leaves `.NAME.*.partial` in the folder. Several processes,
    on several hosts too, may write the same file: the last one's stays.

    Raises:
        OSError: the folder cannot be written.
    """
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    partial = path.with_name(f".{path.name[:40]}.{token}.partial")  # cut: a name has at most 255 bytes
    try:
        with naming(path), open(partial, "xb") as file:
            yield file
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text as UTF-8, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


def lock(file: IO, *, wait: bool = True) -> bool:
    """Locks an open file against other processes until it is closed; the system frees the lock of one that dies.

    Args:
        file: open for writing.
        wait: until the other process has let go.

    Returns:
        Whether it is locked: Windows and some file systems have no locks.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True
