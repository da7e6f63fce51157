"""Numbers of a run: what is on disk after a kill, and what is shown where."""

import io
import json
import math
import sys
from types import ModuleType

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from experiments.runs import events as events_module
from experiments.runs.metrics import MetricWriter, Progress, RunLog, read_metrics


class Terminal(io.StringIO):
    def isatty(self):
        return True


def events(workdir) -> list[Event]:
    """Every event, by TensorBoard's record format: length, its checksum, event, its checksum."""
    found = []
    for file in sorted((workdir / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(workdir) -> list[tuple[int, str, float]]:
    return [(event.step, each.tag, each.simple_value) for event in events(workdir) for each in event.summary.value]


def values(workdir) -> list[dict]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in read_metrics(workdir)]


def test_lines_and_events(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write(20, {"loss": 0.5, "eval/pos_iu": np.float32(0.25)})
        assert values(tmp_path) == [{"step": 20, "loss": 0.5, "eval/pos_iu": 0.25}]  # before the file is closed
        writer.write(40, {"loss": jnp.float32(0.125)})
    assert values(tmp_path)[1] == {"step": 40, "loss": 0.125}
    assert scalars(tmp_path) == [(20, "loss", 0.5), (20, "eval/pos_iu", 0.25), (40, "loss", 0.125)]


def test_numbers_that_are_not_finite(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write(1, {"loss": math.nan, "norm": jnp.inf, "wait": 0})

    def refuse(name):
        raise AssertionError(name)

    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert {**line, "seconds": 0} == {"step": 1, "seconds": 0, "loss": None, "norm": None, "wait": 0.0}
    assert scalars(tmp_path) == [(1, "wait", 0.0)]


def test_resuming_drops_what_was_written_after_the_checkpoint(tmp_path):
    with MetricWriter(tmp_path) as writer:
        for step in (10, 20, 30):
            writer.write(step, {"loss": step})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 40, "lo')
    with MetricWriter(tmp_path, resume_step=20) as writer:
        writer.write(30, {"loss": 31})
    assert values(tmp_path) == [{"step": 10, "loss": 10}, {"step": 20, "loss": 20}, {"step": 30, "loss": 31}]
    seconds = [line["seconds"] for line in read_metrics(tmp_path)]
    assert seconds == sorted(seconds)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]
    purges = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert purges == [1, 21]
    assert scalars(tmp_path) == [(10, "loss", 10), (20, "loss", 20), (30, "loss", 30), (30, "loss", 31)]


def test_time_goes_on_from_the_last_kept_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "seconds": 500.0}\n{"step": 20, "seconds": 900.0}\n')
    with MetricWriter(tmp_path, resume_step=10) as writer:
        writer.write(20, {})
    assert [500 <= line["seconds"] < 600 for line in read_metrics(tmp_path)] == [True, True]


def test_starting_anew_drops_everything(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "seconds": 500.0}\n')
    with MetricWriter(tmp_path):
        pass
    assert read_metrics(tmp_path) == []


def test_other_processes_write_nothing(tmp_path):
    with MetricWriter(tmp_path, writes=False) as writer:
        writer.write(1, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_reading_a_run_without_metrics(tmp_path):
    assert read_metrics(tmp_path) == []


def test_plain_lines(monkeypatch):
    clock = iter([100.0, 130.0, 140.0, 160.0])
    monkeypatch.setattr("experiments.runs.metrics.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    with Progress(100, 20, stream=stream) as progress:
        progress.show(40, {"loss": 0.69314, "episodes_per_second": 12.0})
        progress.show(60, {"loss": 0.5})
        progress.show(100, {"loss": math.nan})
    assert stream.getvalue().splitlines() == [
        "step 40/100: loss 0.6931, episodes/s 12, 01:30 left",  # 20 steps in 30 s, 60 to go
        "step 60/100: loss 0.5, 00:20 left",  # without the first, 20 steps in 10 s, 40 to go
        "step 100/100: loss nan, 00:00 left",
    ]


def test_a_bar_on_a_terminal():
    stream = Terminal()
    with Progress(100, 20, stream=stream) as progress:
        progress.show(40, {"loss": 0.5, "episodes_per_second": 12.0})
    last = stream.getvalue().replace("\n", "").split("\r")[-1]
    assert "40/100" in last
    assert "loss 0.5, episodes/s 12" in last


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_other_processes_show_nothing(kind):
    stream = kind()
    with Progress(100, shown=False, stream=stream) as progress:
        progress.show(40, {"loss": 0.5})
    assert stream.getvalue() == ""


def test_both_in_one(tmp_path):
    stream = io.StringIO()
    with MetricWriter(tmp_path) as writer, Progress(2, stream=stream) as progress:
        log = RunLog(writer, progress)
        log.write(1, {"loss": 0.5})
        log.show(1, {"loss": 0.5})
    assert values(tmp_path) == [{"step": 1, "loss": 0.5}]
    assert stream.getvalue().startswith("step 1/2: loss 0.5")


@pytest.mark.parametrize("there", [False, True])
def test_events_are_written_without_torch(monkeypatch, there):
    """Whose import takes longer than all else; where it is loaded already it stays."""
    loaded = ModuleType("torch") if there else None
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if there:
        monkeypatch.setitem(sys.modules, "torch", loaded)
    with events_module._without_torch():
        assert sys.modules["torch"] is loaded
    assert sys.modules.get("torch") is loaded and ("torch" in sys.modules) == there
