"""Where the numbers of a run go: JSON lines, TensorBoard events, the terminal."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Mapping
from io import TextIOBase
from pathlib import Path
from typing import Any, SupportsFloat

from tqdm import tqdm

from data_pipelines.disk import naming
from experiments.runs.events import Events
from experiments.settings.json_files import write_json_lines
from experiments.settings.shapes import EACH, SCORE, find_fault

FILE = "metrics.jsonl"
LINE = {"step": int, "seconds": (int, float), EACH: SCORE}


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; what a killed run did not end, or is no line of `MetricWriter`, is left out."""
    file = Path(workdir) / FILE
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []:
        with contextlib.suppress(ValueError):
            values = json.loads(line)
            if find_fault(values, LINE) is None:
                lines.append(values)
    return lines


class MetricWriter:
    """Writes `metrics.jsonl` and TensorBoard events in a workdir.

    A line is `{"step": ..., "seconds": ..., NAME: VALUE, ...}`: seconds at work since the run was first started;
    null stands for a value that is not finite.

    Args:
        workdir: an existing folder.
        resume_step: the step from which training goes on; what a killed run wrote after it is dropped.
        writes: False in all processes but the first: nothing is written.
    """

    def __init__(self, workdir: Path, resume_step: int = 0, *, writes: bool = True):
        self._path = path = Path(workdir) / FILE
        self._events = None
        if not writes:
            return
        before = 0.0
        if path.exists():
            kept = [line for line in read_metrics(workdir) if line["step"] <= resume_step]
            write_json_lines(path, kept)
            before = kept[-1]["seconds"] if kept else 0.0
        self._start = time.monotonic() - before
        self._events = Events(Path(workdir) / "tensorboard", resume_step + 1)

    def write(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Keeps the values of a step, each a number under its name."""
        if self._events is None:
            return
        numbers = {name: float(value) for name, value in values.items()}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        line = {"step": step, "seconds": round(time.monotonic() - self._start, 3)}
        with naming(self._path), open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**line, **{name: finite.get(name) for name in numbers}}) + "\n")
        self._events.write(step, finite)

    def close(self) -> None:
        """Writes out the events."""
        if self._events is not None:
            events, self._events = self._events, None
            events.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with contextlib.suppress(*[] if kind is None else [OSError]):  # the disk is full: what was raised says so
            self.close()


class Progress:
    """A bar on a terminal; elsewhere plain lines, one a call of `show`.

    Args:
        total: steps of the run.
        start: the step from which it goes on.
        shown: False in all processes but the first: nothing is shown.
        stream: where; None: stderr.
    """

    def __init__(self, total: int, start: int = 0, *, shown: bool = True, stream: TextIOBase | None = None):
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._shown = shown
        self._first: tuple[int, float] = (start, time.monotonic())
        self._shows = 0
        self._bar = None
        if shown and self._stream.isatty():
            self._bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, file=self._stream)

    def show(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Shows how far the run is, and the values: `episodes_per_second` is shown as `episodes/s`."""
        if not self._shown:
            return
        words = [f"{name.replace('_per_second', '/s')} {float(value):.4g}" for name, value in values.items()]
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(words), refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()
            return
        left = self._seconds_left(step)
        words += [] if left is None else [f"{tqdm.format_interval(left)} left"]
        print(f"step {step}/{self._total}: {', '.join(words)}", file=self._stream, flush=True)

    def _seconds_left(self, step: int) -> float | None:
        """From the speed since the first call, which compilation delayed."""
        now = time.monotonic()
        step_before, before = self._first
        self._shows += 1
        if self._shows == 1:
            self._first = (step, now)
        return (self._total - step) * (now - before) / (step - step_before) if step > step_before else None

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class RunLog:
    """A writer and a progress in one, as `guided_jax.learning.loop.Log` asks for."""

    def __init__(self, writer: MetricWriter, progress: Progress):
        self.write = writer.write
        self.show = progress.show
