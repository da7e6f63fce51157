"""Processes that share the units of a sweep: what is passed on to them, and that they run."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import submitit
from absl import flags

from experiments.settings.errors import UserError
from experiments.sweeping import launchers
from experiments.sweeping.launchers import Launch, define_launch, launch, read_launch
from tests.experiments.test_sweep import BASE, SHRUNK, SWEEP
from tests.experiments.whole_runs.processes import STARTED

ROOT = Path(__file__).parents[3]


def read(*words):
    values = flags.FlagValues()
    define_launch(values)
    values(["x", *words])
    return read_launch(values, ["--config=a", *words, "--retry"])


def test_no_process_is_started_for_a_list_nor_for_one_job(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)  # which is not needed then
    assert read() is read("--launcher=local", "--jobs=1") is None
    for gpus in ("", "3"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        assert read("--launcher=local") is None


def test_what_the_processes_run(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    words = "--launcher", "local", "--jobs=3"
    assert read(*words) == Launch("local", ("--config=a", "--retry"), 3, "", 60)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert read("--launcher=local").jobs == 2
    monkeypatch.setattr(launchers.shutil, "which", lambda name: f"/bin/{name}")
    asked = read("--launcher=slurm", "--partition", "gpu", "--minutes=30")
    assert asked == Launch("slurm", ("--config=a", "--retry"), 2, "gpu", 30) and not asked.waits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs=2"], "--jobs: is of no effect with --launcher=none"),
        (["--launcher=local", "--partition=gpu"], "--partition: is of no effect with --launcher=local"),
        (["--launcher=slurm"], r"--launcher=slurm: there is no Slurm here \(no command sbatch\)"),
    ],
)
def test_what_makes_no_launch_is_refused(words, message, monkeypatch):
    monkeypatch.setattr(launchers.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=message):
        read(*words)


def test_a_missing_submitit_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"local with 2 jobs: needs submitit, which is not installed: pip install 'gu"):
        read("--launcher=local", "--jobs=2")


def test_jobs_of_this_machine_are_waited_for(tmp_path, monkeypatch):
    """submitit's own local executor, with real processes: one command that ends well and one that does not."""
    monkeypatch.chdir(ROOT)
    told = launch(Launch("local", ("--config=prototypes", "--help"), 1, "", 60), tmp_path)
    assert re.match(r"ended 1 job \(\d+\); what they print: ", told) and "did not end well" not in told
    (printed,) = (tmp_path / "jobs").glob("*_log.out")
    assert "guided_jax sweep" in printed.read_text()
    told = launch(Launch("local", ("--config=nowhere", f"--workdir={tmp_path}"), 1, "", 60), tmp_path)
    assert "did not end well" in told and "nowhere" in told


def test_what_slurm_is_given(tmp_path, monkeypatch):
    given = []

    class Executor(submitit.DebugExecutor):
        def batch(self):
            return contextlib.nullcontext()

        def update_parameters(self, **values):
            given.append(values)

        def submit(self, run, *args):
            given.append(run.command)
            return submitit.core.core.Job(tmp_path, f"7_{len(given)}")

    monkeypatch.setattr(submitit, "AutoExecutor", lambda folder, cluster: Executor(folder))
    told = launch(Launch("slurm", ("--config=a",), 2, "gpu", 30), tmp_path)
    assert {"name": "guided_jax", "timeout_min": 30} in given and {"slurm_partition": "gpu"} in given
    assert [each for each in given if isinstance(each, list)] == [
        [sys.executable, "-m", "experiments", "sweep", "--config=a", "--launcher=local", "--jobs=1"]
    ] * 2
    assert told.startswith("submitted 2 jobs (7_3, 7_4)")


PROGRAM = """
import json, os, sys, time
from pathlib import Path
from experiments import sweep as module
from experiments.settings.command_line import start
from tests.experiments.test_sweep import CLICK, write_result
from experiments.settings.fields import to_dict

def run(config, folder, parallel):
    (folder / "config.json").write_text(json.dumps(to_dict(config)))
    with open(Path(os.environ["NOTES"]), "a") as notes:
        print(config.name, config.seed, os.getpid(), file=notes, flush=True)
    while len({line.split()[2] for line in open(os.environ["NOTES"])}) < int(os.environ["PROCESSES"]):
        time.sleep(0.05)
    if config.name == "fast":
        raise MemoryError("too large")
    write_result(config, folder)

module.run, module.measure_click = run, lambda *_: CLICK
sys.exit(start(module.main))
"""


def start_sweep(words, notes, processes):
    """A sweep whose units end when so many processes have begun one."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        env={**os.environ, "NOTES": str(notes), "PROCESSES": str(processes), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def test_a_killed_sweep_goes_on_from_two_shells_and_nothing_is_done_twice(prepared, tmp_path):
    file, notes = tmp_path / "small.py", tmp_path / "notes"
    fields = {**SHRUNK, "data.prepared": str(prepared), "eval.points": "1,5,dense", "train.steps": 1}
    file.write_text(BASE.format(fields=fields, sweep=SWEEP))
    words = [f"--config={file}", f"--workdir={tmp_path / 'runs'}", "--seeds=2", "--launcher=local"]
    killed = start_sweep(words, notes, 99)
    while not notes.exists():
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.1)
    killed.kill()
    killed.communicate()
    both = [start_sweep(words, notes, 3) for _ in range(2)]
    printed = ["".join(each.communicate()) for each in both]
    assert {each.returncode for each in both} <= {0, 2} and 2 in {each.returncode for each in both}, printed
    begun = [line.split() for line in notes.read_text().splitlines()]
    assert begun[0][:2] == ["plain", "1337"] and begun[0][2] == str(killed.pid)
    again = begun[1:]
    assert sorted(each[:2] for each in again) == [
        [name, seed] for name in ("fast", "plain", "slow") for seed in ("1337", "1338")
    ]
    assert {each[2] for each in again} == {str(each.pid) for each in both}
    results = sorted(each.parent.parent.name for each in (tmp_path / "runs").rglob("result.json"))
    assert results == ["plain", "plain", "slow", "slow"]
    reason, *end = (tmp_path / "runs" / "fast" / "seed-1337" / "failed.log").read_text().splitlines()
    assert reason == "MemoryError: too large" and end[-2] == "MemoryError: too large"
    assert any("MemoryError: too large" in each for each in printed)
