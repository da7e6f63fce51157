"""Processes that are stopped from outside, disks that are full, readers that are gone: no traceback, and it goes on."""

import contextlib
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import experiment
from experiments.evaluation import predictions
from experiments.experiment import run
from experiments.runs.metrics import read_metrics
from experiments.settings.command_line import guarded, run_app
from experiments.settings.errors import machine_fault
from experiments.settings.exits import asked_to_stop, run_quietly
from tests.experiments.whole_runs.processes import begin, end
from tests.experiments.whole_runs.test_resume import read_state, saved_steps, start

STEPS = 40


def wait_for(found, process) -> None:
    deadline = time.monotonic() + 120
    while not found():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_sigterm_writes_a_checkpoint_and_the_run_goes_on_to_the_same_numbers(command, tmp_path):
    fields = {"train.steps": STEPS, "train.checkpoint_every": 10**6, "train.keep_last": 99}
    whole, stopped = (command(tmp_path / name, "--mode=train", **fields) for name in ("whole", "stopped"))
    metrics = tmp_path / "stopped" / "metrics.jsonl"
    process = start(stopped)
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3, process)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 143, messages
    assert messages.splitlines()[-1] == "terminated; the same command resumes"
    assert "Traceback" not in messages
    (step,) = saved_steps(tmp_path / "stopped")
    assert 3 <= step < STEPS
    again = start(stopped)
    assert run_app(run, whole) == 0  # meanwhile
    assert f"going on from the checkpoint of step {step}" in end(again)
    expected, got = (read_state(tmp_path / name, STEPS) for name in ("whole", "stopped"))
    assert expected.keys() == got.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(got[path], value, err_msg=path)


def test_ctrl_c_with_loader_processes_is_a_line(command, tmp_path):
    words = command(tmp_path / "run", "--mode=train", **{"train.steps": 10**6, "data.workers": 2})
    metrics = tmp_path / "run" / "metrics.jsonl"
    process = begin(words, start_new_session=True)
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert messages.splitlines()[-1] == "interrupted; the same command resumes"


@pytest.mark.parametrize("seconds", [0.3, 1, 2])
def test_ctrl_c_while_importing_is_a_line(command, tmp_path, seconds):
    process = begin(command(tmp_path / "run", **{"train.steps": 10**6}))
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in messages and "interrupted" in messages


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_comes_while_a_module_is_imported_waits_for_its_end(number, code, tmp_path, monkeypatch, capsys):
    """Within it native modules end in ImportError or in a crash: one Ctrl-C in fifty, while JAX was imported."""
    name = f"stopped_while_{number.name}"
    (tmp_path / f"{name}.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(0.2)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    imported = []

    def program():
        imported.append(importlib.import_module(name))
        time.sleep(10)
        return 0

    assert run_quietly(program) == code
    assert imported[0].whole
    assert "the same command resumes" in capsys.readouterr().err


def test_an_interrupt_that_a_library_swallows_is_noticed_at_the_next_update(capsys):
    def program():
        with contextlib.suppress(KeyboardInterrupt):  # as JAX's tracing does, by `except:`
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        with asked_to_stop() as asked:
            asked()
        return 0

    assert run_quietly(program) == 130
    assert "interrupted; the same command resumes" in capsys.readouterr().err
    with asked_to_stop() as asked:  # the next program is another one
        assert not asked()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nobody_reads_the_help():
    process = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m experiments run --config=quickstart --fields | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr == ""


class Killed(BaseException):
    """Stands for kill -9 at a certain moment: nothing may handle it."""


@pytest.fixture
def dying(monkeypatch):
    """Lets a function die when it is called the third time, once."""

    def arrange(module, name):
        whole, calls = getattr(module, name), []

        def dies(*arguments, **named):
            calls.append(1)
            if len(calls) == 3:
                raise Killed
            return whole(*arguments, **named)

        monkeypatch.setattr(module, name, dies)

    return arrange


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_a_run_that_dies_while_saving_masks_goes_on_and_another_one_is_refused(command, tmp_path, dying, capfd):
    words = command(tmp_path / "run", **{"train.steps": 0, "eval.save": tmp_path / "masks"})
    dying(predictions, "write_mask")
    with pytest.raises(Killed):
        run_app(run, words)
    assert len(files_of(tmp_path / "masks")) == 2 and not (tmp_path / "run" / "result.json").exists()
    assert run_app(run, words) == 0
    saved = files_of(tmp_path / "masks")
    assert len(saved) == 5 and (tmp_path / "masks" / "index.json").is_file()
    assert run_app(run, words) == 0  # also when it had ended
    assert files_of(tmp_path / "masks") == saved
    other = command(tmp_path / "run", "--mode=eval", **{"train.steps": 0, "eval.save": tmp_path / "masks", "seed": 1})
    assert run_app(run, other) == 2
    assert "give a new folder (it holds masks that were made with another seed)" in capfd.readouterr().err


def test_masks_that_cannot_be_saved_are_told_before_anything_else(command, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    words = command(tmp_path / "run", **{"eval.save": tmp_path / "file" / "masks"})
    assert run_app(run, words) == 2
    assert f"error: eval.save={tmp_path / 'file' / 'masks'}" in capfd.readouterr().err
    assert not (tmp_path / "run" / "config.json").exists()


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/file")


def wrapped(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


FAULTS = [
    (FULL, "/disk/file: cannot be written or read: No space left on device; make room"),
    (wrapped(ValueError("Error: many\nlines"), FULL), "/disk/file: cannot be written or read: No space left"),
    (ValueError('x [os_error_code="28"] [No space left on device]'), "cannot be written or read: No space left on dev"),
    (ExceptionGroup("two", [KeyError("a"), FULL]), "No space left on device"),
    (ValueError("/fc7/bias/0: [File too large]"), "error: cannot be written or read: File too large; make room"),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: cannot be written or read: Permission denied"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), "/x: cannot be written or read: Is a directory"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x"), "/x: cannot be written or read: Not a directory"),
    (MemoryError("Unable to allocate 9 EiB"), "out of memory: make data.buckets"),
    (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), "out of memory: make data.buckets"),
]


@pytest.mark.parametrize(("error", "message"), FAULTS, ids=lambda value: type(value).__name__)
def test_a_fault_of_the_machine_is_one_line(error, message, capsys):
    def program():
        raise error

    assert guarded(program) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and line.startswith("error: ") and message in line


@pytest.mark.parametrize("name", ["EROFS", "EIO", "EPERM", "ENAMETOOLONG", "ESTALE", "ELOOP", "EDQUOT", "EFBIG"])
def test_every_fault_of_a_disk_is_known(name):
    number = getattr(errno, name)
    full = "; make room, and the same command goes on" if name in ("EDQUOT", "EFBIG") else ""
    told = f"/x: cannot be written or read: {os.strerror(number)}{full}"
    assert machine_fault(OSError(number, os.strerror(number), "/x")) == told


def test_a_fault_of_ours_is_none_of_the_machine():
    assert machine_fault(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    with pytest.raises(KeyError):
        guarded(lambda: {}["a"])


def test_a_full_disk_while_checkpointing_is_one_line_and_the_run_goes_on(command, tmp_path, capfd, monkeypatch):
    words = command(tmp_path / "run", "--mode=train")

    def full(*_, **__):
        raise ValueError(f"Error writing: {os.strerror(errno.ENOSPC)}")

    with monkeypatch.context() as patch:
        patch.setattr(experiment.Checkpoints, "save", full)
        assert run_app(run, words) == 2
    assert "No space left on device; make room, and the same command goes on" in capfd.readouterr().err
    assert run_app(run, words) == 0


def test_a_damaged_newest_checkpoint_is_passed_over_when_asked_to_the_same_numbers(command, tmp_path, capfd, caplog):
    fields = {"train.steps": 6, "train.keep_last": 9, "train.keep_best": 0}
    whole, damaged = (command(tmp_path / name, **fields) for name in ("whole", "damaged"))
    for words in (whole, damaged):
        assert run_app(run, words) == 0
    newest = tmp_path / "damaged" / "checkpoints" / "6"
    (newest / "checksums" / "metadata").write_text("{")
    (tmp_path / "damaged" / "result.json").unlink()
    capfd.readouterr()
    assert run_app(run, damaged) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "checkpoint 6 is damaged (" in line
    assert line.endswith("delete it to go on from 4, or pass it over: --config.train.skip_damaged=True")
    assert run_app(run, [*damaged, "--config.train.skip_damaged=True"]) == 0
    (said,) = [record.message for record in caplog.records if record.name == "guided_jax.learning.checkpoints"]
    assert said.startswith(f"passed over as damaged, and moved to {tmp_path / 'damaged' / 'damaged'}: checkpoint 6 (")
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "damaged")]
    assert results[0]["scores"] == results[1]["scores"]
    expected, got = (read_state(tmp_path / name, 6) for name in ("whole", "damaged"))
    assert expected.keys() == got.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(got[path], value, err_msg=path)
    names = ("whole", "damaged")
    losses = [[line["loss"] for line in read_metrics(tmp_path / name) if "loss" in line] for name in names]
    assert losses[0] == losses[1] and len(losses[0]) == 6
