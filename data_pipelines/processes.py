"""Processes beside this one: none outlives its parent, and one that is killed is told instead of waited for.

Two kinds: those that load episodes, which grain starts (`watched`), and those that build data sets (`in_order`).
"""

import collections
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from data_pipelines.datasets.record import DatasetError

Piece, Made = TypeVar("Piece"), TypeVar("Made")

PATIENCE = 1.0
"""Seconds between two looks at whether the others live."""
ENDED = (0, -getattr(signal, "SIGTERM", 15))
"""Exit codes of a process that has come to its end, or was ended by its parent."""
SHARE = 2
"""Pieces that each process must get: its start, without JAX, takes about as long as a piece."""


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_processes(pieces: int) -> int:
    """How many processes are worth their start for so many pieces of work; 1 is this one."""
    return max(1, min(count_cores(), pieces // SHARE))


def pieces_of(items: Sequence[Piece], size: int) -> list[Sequence[Piece]]:
    """Items in pieces of `size`, the last one of what is left."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_order(work: Callable[[Piece], Made], pieces: Sequence[Piece]) -> Iterator[Made]:
    """What `work` makes of each piece, in their order: by this process, or by as many as are worth it.

    The processes begin anew, with neither JAX nor the program's main module. Close the iterator to end them early.

    Args:
        work: can be pickled, as what it takes and gives; not of the main module.
        pieces: of a second's work or so each; a few for each process are under way at a time.

    Raises:
        DatasetError: one of the processes was killed.
        Exception: of the first piece whose work fails.
    """
    processes = count_processes(len(pieces))
    if processes == 1:
        yield from map(work, pieces)
        return
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), begin_worker)
    waiting, started = collections.deque(), 0
    try:
        for _ in pieces:
            while started < len(pieces) and len(waiting) < SHARE * processes:
                with _no_main():
                    waiting.append(pool.submit(work, pieces[started]))
                started += 1
            yield waiting.popleft().result()
        pool.shutdown()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a process that builds a data set was killed or died, mostly for lack of memory; the same command goes on "
            "from the shards that are finished"
        ) from error
    finally:
        workers = set(multiprocessing.active_children()) - before
        pool.shutdown(wait=False, cancel_futures=True)
        for each in workers:
            each.terminate()


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Keeps a process that starts within from importing the main module: a script without guard would run again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def begin_worker(*_: int) -> None:
    """To be called in a new process: a terminal sends Ctrl-C to all, and the parent ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_the_parent(parent: int) -> None:
    """A parent that is killed cannot end this process, which would wait for it for ever."""
    while os.getppid() == parent:
        time.sleep(PATIENCE)
    os._exit(1)


def watched(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches that other processes load, in the same order.

    Args:
        batches: starts the processes at its first batch, and then waits for them, also for those that are gone.

    Raises:
        DatasetError: one of the processes was killed.
    """
    before = set(multiprocessing.active_children())
    ready: queue.Queue = queue.Queue(1)
    stopped = threading.Event()

    def put(value: tuple[bool, Any]) -> None:
        while not stopped.is_set():
            try:
                return ready.put(value, timeout=PATIENCE)
            except queue.Full:
                continue

    def load() -> None:
        try:
            for batch in batches:
                put((True, batch))
                if stopped.is_set():
                    return
            put((False, None))
        except BaseException as error:  # raised again where the batch is asked for
            put((False, error))

    # Not waited for: where a process was killed it never comes back.
    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    workers: set[BaseProcess] = set()
    try:
        while True:
            workers |= set(multiprocessing.active_children()) - before
            try:
                more, value = ready.get(timeout=PATIENCE)
            except queue.Empty:
                _refuse_killed(workers)
                continue
            if not more and value is not None:
                raise value
            if not more:
                return
            yield value
    finally:
        stopped.set()
        thread.join(PATIENCE)
        if not thread.is_alive():
            batches.close()


def _refuse_killed(workers: set[BaseProcess]) -> None:
    for each in workers:
        if each.exitcode not in (None, *ENDED):
            raise DatasetError(
                "a process that loads episodes was killed or died (exit code "
                f"{each.exitcode}), mostly for lack of memory: lower data.workers; the same command goes on"
            )
