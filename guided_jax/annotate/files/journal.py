"""What a person did, line by line in a file: written at once, and done again when the server starts anew.

    {"format": "guided_jax annotate journal", "version": 1}
    {"edit": "click", "image": "1.jpg", "row": 120, "column": 340, "label": 1, "seq": 1}

A process that is killed may leave half a line at the end; it is dropped, and the browser sends the edit again. One
process writes a file at a time: it holds a lock, which the system frees when the process ends.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where nothing keeps two servers apart
    fcntl = None

HEADER = {"format": "guided_jax annotate journal", "version": 1}
NAME = "journal.jsonl"


class Journal:
    """A file that events are added to."""

    def __init__(self, path: Path):
        """Opens a file, a new one with its header, and reads what it holds.

        Args:
            path: of the file; its folder is made.

        Raises:
            ValueError: the file cannot be read or written, or is none of ours.
            BlockingIOError: another process has it open.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115 - until `close`
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.events = self._read(path)
        except BaseException:
            self._file.close()
            raise

    def add(self, event: Mapping[str, Any]) -> None:
        """Writes an event; it outlives the process when this returns."""
        self._file.write(_line(event))
        self._file.flush()

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()

    def _read(self, path: Path) -> tuple[dict[str, Any], ...]:
        self._file.seek(0)
        whole = self._file.read()
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            self._file.truncate(len(kept))
        if not kept:
            self.add(HEADER)
            return ()
        events = []
        for number, line in enumerate(kept.splitlines(), 1):
            try:
                event = json.loads(line)
            except ValueError:
                raise ValueError(f"{path}: line {number} is no JSON") from None
            if not isinstance(event, dict) or (number == 1 and event != HEADER):
                raise ValueError(f"{path}: is no journal of version {HEADER['version']} (line {number})")
            events.append(event)
        return tuple(events[1:])


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"
