"""The processes that load episodes: none outlives its parent, and one that is killed is told instead of waited for."""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

from data_pipelines.datasets.record import DatasetError

PATIENCE = 1.0
"""Seconds between two looks at whether the others live."""
ENDED = (0, -getattr(signal, "SIGTERM", 15))
"""Exit codes of a process that has come to its end, or was ended by its parent."""


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
