"""kill -9 of real processes where masks are saved, in a sweep, and of loaders: the same command gives the same."""

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from experiments import sweep
from guided_jax.backbones.preprocessing import CAFFE
from tests.experiments.bad_inputs.test_stopped import files_of, wait_for
from tests.experiments.conftest import SHRUNK
from tests.experiments.small_data import write_videos
from tests.experiments.test_sweep import CLICK
from tests.experiments.tiny_run import make_run
from tests.experiments.tiny_weights import write_tiny_weights
from tests.experiments.whole_runs.processes import begin, end, here

SWEEP = """
from experiments.configs.quickstart import get_config as base_config
from experiments.settings.fields import with_overrides

def get_config():
    return with_overrides(base_config(), {fields})

def get_sweep():
    yield "plain", {{}}
    yield "fast", {{"train.learning_rate": 1e-2}}
"""


def kill_once(found, words) -> None:
    process = begin(words)
    wait_for(found, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL  # it had not ended before


def numbers(value):
    """A result without its times and paths."""
    if isinstance(value, dict):
        unlike = ("ms", "seconds", "speed", "times", "about", "frames_per_second", "environment", "click", "masks")
        return {name: numbers(each) for name, each in value.items() if not name.endswith(unlike)}
    return [numbers(each) for each in value] if isinstance(value, list) else value


def result_in(folder: Path, pattern: str):
    (path,) = folder.glob(pattern)
    return numbers(json.loads(path.read_text()))


@pytest.fixture
def unmeasured(monkeypatch):
    """In this process a sweep measures no click: times are not compared."""
    monkeypatch.setattr(sweep, "measure_click", lambda *_: CLICK)


def test_a_sweep(prepared, tmp_path, unmeasured):
    fields = {**SHRUNK, "data.prepared": str(prepared), "train.steps": 30, "train.checkpoint_every": 5}
    (tmp_path / "own.py").write_text(SWEEP.format(fields=fields))
    words = {
        name: [
            "sweep",
            f"--config={tmp_path / 'own.py'}",
            "--seeds=1",
            "--launcher=local",
            f"--workdir={tmp_path / name}",
        ]
        for name in ("whole", "killed")
    }
    second = tmp_path / "killed" / "fast" / "seed-1337"
    kill_once(lambda: (second / "checkpoints" / "5").is_dir(), words["killed"])
    done = tmp_path / "killed" / "plain" / "seed-1337" / "result.json"
    before = done.stat().st_mtime_ns
    assert not (second / "result.json").exists()
    again = begin(words["killed"])
    here(words["whole"])  # meanwhile
    assert "going on from the checkpoint of step" in end(again)
    assert done.stat().st_mtime_ns == before  # what was done is not done again
    tables = [result_in(tmp_path / name, "table.json") for name in ("whole", "killed")]
    assert tables[0] == tables[1] and not tables[0]["missing"]
    assert [row["name"] for row in tables[0]["variants"]] == ["plain", "fast"]


def kill_and_repeat(words, tmp_path, prepared, pattern) -> tuple[dict, dict[str, bytes]]:
    """A command that saves masks, and the same killed at its first mask and repeated: the result of both, the masks."""
    runs = {name: make_run(tmp_path / name / "run", prepared) for name in ("whole", "killed")}
    lines = {name: [*words, f"--workdir={run}", f"--save={run.parent / 'masks'}"] for name, run in runs.items()}
    masks = tmp_path / "killed" / "masks"
    kill_once(lambda: any(masks.rglob("*.png")), lines["killed"])
    assert not list(runs["killed"].glob(pattern))
    for line in lines.values():
        here(line)
    results = [result_in(run, pattern) for run in runs.values()]
    assert results[0] == results[1]
    assert files_of(masks) == files_of(tmp_path / "whole" / "masks")
    return results[0], files_of(masks)


def test_clicks_that_are_saved(prepared, tmp_path):
    words = ["clicks", "--source=generated:val[:20]:instance", "--clicks=3"]
    result, masks = kill_and_repeat(words, tmp_path, prepared, "clicks*.json")
    assert len(masks) == len(result["objects"]) == 69


def test_videos_that_are_saved(prepared, tmp_path):
    root = write_videos(tmp_path / "mine")
    words = ["video", f"--source=frames@{root}:all", "--points=1,5,dense", "--draws=3", "--multi=union"]
    result, masks = kill_and_repeat(words, tmp_path, prepared, "video*.json")
    assert len(masks) == 7 * (4 + 5) and len(result["rows"]) == 7 * 3  # dense is drawn once


def children(process) -> list[int]:
    texts = []
    for file in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # the thread has ended meanwhile
            texts.append(file.read_text())
    loaders = map(int, " ".join(texts).split())
    return [each for each in loaders if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes as Linux lists them")
@pytest.mark.parametrize("who", ["a loader", "the parent"])
def test_processes_that_load(command, tmp_path, who):
    """One that is killed is told, and not waited for; none is left behind."""
    process = begin(command(tmp_path / "run", "--mode=train", **{"train.steps": 10**6, "data.workers": 2}))
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3, process)
    loaders = children(process)
    assert len(loaders) == 2
    if who == "the parent":
        process.kill()
    else:
        os.kill(loaders[0], signal.SIGKILL)
    _, messages = process.communicate(timeout=120)
    if who == "a loader":
        assert process.returncode == 2 and "Traceback" not in messages
        assert "error: a process that loads episodes was killed or died (exit code -9)" in messages
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{each}").exists() for each in loaders):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(command, tmp_path_factory) -> Path:
    """A workdir `run` whose disk had room, and its `masks`."""
    root = tmp_path_factory.mktemp("undisturbed")
    here(command(root / "run", **{"eval.save": root / "masks"}))
    return root


@pytest.mark.parametrize("most", [600, 9_000])
def test_a_disk_that_takes_no_more(command, tmp_path, undisturbed, most):
    """No file may have more bytes, which the system itself refuses: in one line, and with room the command goes on."""
    pytest.importorskip("resource")
    words = command(tmp_path / "run", **{"eval.save": tmp_path / "masks"})
    process = begin(words, largest_file=most)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in messages, messages
    assert "File too large; make room, and the same command goes on" in messages.splitlines()[-1], messages
    here(words)
    scores = [json.loads((root / "run" / "result.json").read_text())["scores"] for root in (tmp_path, undisturbed)]
    assert scores[0] == scores[1] and files_of(tmp_path / "masks") == files_of(undisturbed / "masks")


FULL_DISKS = {
    "features ahead": (["prepare"], 4_000, "/features/", "features/*/*/*.safetensors"),
    "a sweep": (
        ["sweep", "--workdir=run", "--seeds=1", "--launcher=local"],
        10_000,
        "plain/seed-1337/checkpoints/",
        "run/table.json",
    ),
}
"""What is asked for, the most bytes of a file, what the message must name, and the files that must be the same."""


@pytest.mark.parametrize(("words", "most", "named", "pattern"), FULL_DISKS.values(), ids=FULL_DISKS)
def test_a_full_disk_is_named_and_with_room_all_is_as_if_it_had_not_been(
    prepared, tmp_path, unmeasured, words, most, named, pattern
):
    """The largest feature file has 9,288 bytes, the largest of a checkpoint more than 10,000."""
    pytest.importorskip("resource")
    write_tiny_weights(tmp_path / "w.safetensors", CAFFE)
    fields = {"train.freeze": "trunk", "train.cache_features": True, "weights": str(tmp_path / "w.safetensors")}
    (tmp_path / "own.py").write_text(SWEEP.format(fields={**SHRUNK, **fields, "data.prepared": "prepared"}))
    lines = {}
    for name in ("whole", "full"):
        shutil.copytree(prepared, tmp_path / name / "prepared")
        where = [word.replace("=run", f"={tmp_path / name / 'run'}") for word in words]
        lines[name] = [
            *where,
            f"--config={tmp_path / 'own.py'}",
            f"--config.data.prepared={tmp_path / name / 'prepared'}",
        ]
    full = begin(lines["full"], largest_file=most)
    _, messages = full.communicate(timeout=240)
    assert full.returncode == 2 and "Traceback" not in messages, messages
    last = messages.splitlines()[-1]
    assert str(tmp_path / "full") in last and named in last, last
    assert last.endswith(": cannot be written or read: File too large; make room, and the same command goes on"), last
    for line in lines.values():
        here(line)
    found = {name: contents(tmp_path / name, pattern) for name in lines}
    assert found["whole"] and found["full"] == found["whole"]


def contents(folder: Path, pattern: str) -> dict[str, object]:
    """Of files below: the numbers of a table, the bytes of others."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob(pattern)}
    return {
        name: numbers(json.loads(path.read_text()))["variants"] if path.suffix == ".json" else path.read_bytes()
        for name, path in files.items()
    }
