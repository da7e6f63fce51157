"""TensorBoard events of a run."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_pipelines.disk import naming


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
    """tensorboardX imports PyTorch where that is installed, which takes seconds, and needs none of it here."""
    hidden = sys.modules.setdefault("torch", None) is None
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


with _without_torch():
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.record_writer import RecordWriter
    from tensorboardX.summary import scalar

FLUSH_SECONDS = 30.0
"""Between two times that events are written out."""


class Events:
    """A file of TensorBoard events, written at once: `SummaryWriter` has a thread and a queue of ten, which on a full
    disk dies with a traceback, and then the run would wait for it for ever.

    Args:
        folder: made where it is not there.
        first_step: what a killed run wrote from this step on is not shown.
    """

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(exist_ok=True)
        # As tensorboardX names them, by the second; it would overwrite one of a start in the same second.
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{os.getpid()}.{time.monotonic_ns()}"
        self._path, self._flushed = folder / name, 0.0
        self._records = RecordWriter(str(self._path))
        version = "brain.Event:2"
        self._write(Event(wall_time=time.time(), file_version=version))
        self._write(Event(wall_time=time.time(), step=first_step, file_version=version))
        # What a killed run wrote from this step on is not shown.
        start = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), step=first_step, session_log=start))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the values of a step, each under its name."""
        for name, value in values.items():
            self._write(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            with naming(self._path):
                self._records.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Writes out what is left."""
        with naming(self._path):
            self._records.close()

    def _write(self, event: Event) -> None:
        with naming(self._path):
            self._records.write(event.SerializeToString())
