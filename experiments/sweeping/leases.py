"""Leases: who runs which unit of a sweep, so that no two processes do, on one host or on several.

    UNIT/.leases/1.json    {"owner": "host process 12", "host": ..., "process": 12, "expires": 1760000000.0}
    UNIT/.leases/2.json    the next one, taken when the first had expired or was given back

The last file counts. Lease n + 1 may be made when lease n has expired, and a file is made by one process alone, whoever
else tries. None is ever deleted, or the numbers would begin anew. The hosts' clocks must agree
within a fraction of `TERM`.
"""

import _thread
import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from data_pipelines.disk import write_text
from experiments.settings.errors import UserError
from experiments.settings.json_files import read_json

TERM = 300.0
"""Seconds that a lease lasts; it is renewed three times within them."""

FOLDER = ".leases"


class Held(Exception):
    """Another process holds the lease; the message says which."""


@contextlib.contextmanager
def holding(unit: Path, *, term: float = TERM, lost: Callable[[], object] = _thread.interrupt_main) -> Iterator[None]:
    """Holds the lease of a unit within, and gives it back.

    Args:
        unit: folder of the unit; it is made.
        term: seconds that the lease lasts where it is not renewed.
        lost: is called from another thread if the lease was not renewed in time (the machine slept, say) and has been
            taken by another process; by itself it interrupts this one, as Ctrl-C does.

    Raises:
        Held: another process has it.
        OSError: the folder cannot be written.
    """
    folder = unit / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    newest = _newest(folder)
    if newest and (owner := _owner(folder / f"{newest}.json", term)):
        raise Held(owner)
    file = folder / f"{newest + 1}.json"
    try:
        with open(file, "x", encoding="utf-8") as made:
            made.write(_content(time.time() + term))
    except FileExistsError:
        raise Held(_owner(file, term) or "another process") from None
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(file, term, done, lost), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        write_text(file, _content(0.0))


def owner_of(unit: Path, *, term: float = TERM) -> str | None:
    """Who holds the lease of a unit now; None: nobody."""
    newest = _newest(unit / FOLDER)
    return _owner(unit / FOLDER / f"{newest}.json", term) if newest else None


def _newest(folder: Path) -> int:
    return max((int(file.stem) for file in folder.glob("*.json") if file.stem.isdecimal()), default=0)


def _content(expires: float) -> str:
    host, process = platform.node(), os.getpid()
    return json.dumps({"owner": f"{host} process {process}", "host": host, "process": process, "expires": expires})


def _owner(file: Path, term: float) -> str | None:
    try:
        lease = read_json(file)
        owner, expires = str(lease["owner"]), float(lease["expires"])
        host, process = str(lease["host"]), int(lease["process"])
    except (UserError, TypeError, KeyError, ValueError):  # just made, and not written yet, or the disk was full then
        return "another process" if time.time() < file.stat().st_mtime + term else None
    ended = host == platform.node() and process != os.getpid() and not _lives(process)
    return None if ended or time.time() >= expires else owner


def _lives(process: int) -> bool:
    """Whether there is such a process on this host; a killed one need not be waited for."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _renew(file: Path, term: float, done: threading.Event, lost: Callable[[], object]) -> None:
    number = int(file.stem)
    while not done.wait(term / 3):
        if _newest(file.parent) > number:
            lost()
            return
        with contextlib.suppress(OSError):  # a disk that is full for a while; the lease lasts for two more turns
            write_text(file, _content(time.time() + term))
