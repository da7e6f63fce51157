"""kill -9 in the middle, the same command again: to the bit what an uninterrupted run gives."""

import json
import signal
import subprocess
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments.experiment import run
from experiments.runs.metrics import read_metrics
from experiments.settings.command_line import run_app
from tests.experiments.whole_runs.processes import begin, end

STEPS, EVERY = 60, 10


def start(words) -> subprocess.Popen:
    return begin(["run", *words[1:]], stdout=subprocess.DEVNULL)


def saved_steps(workdir) -> list[int]:
    return sorted(int(path.name) for path in workdir.glob("checkpoints/*") if path.name.isdigit())


def kill_once_saved(process, workdir, step) -> None:
    deadline = time.monotonic() + 120
    while max(saved_steps(workdir), default=0) < step:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def read_state(workdir, step) -> dict[str, np.ndarray]:
    """All arrays of a checkpoint, by path."""
    with ocp.PyTreeCheckpointer() as reader:
        folder = workdir / "checkpoints" / str(step) / "state"
        leaves = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), reader.metadata(folder).item_metadata.tree
        )
        tree = reader.restore(folder, restore_args=leaves)
    return {jax.tree_util.keystr(path): value for path, value in jax.tree_util.tree_flatten_with_path(tree)[0]}


@pytest.fixture(scope="module")
def workdirs(command, tmp_path_factory):
    """Of an uninterrupted run, and of one that was killed; and the step from which that one went on."""
    root = tmp_path_factory.mktemp("resume")
    fields = {"train.steps": STEPS, "train.checkpoint_every": EVERY, "train.keep_last": 99}
    whole, killed = (command(root / name, "--mode=train", **fields) for name in ("whole", "killed"))
    kill_once_saved(start(killed), root / "killed", EVERY)
    stopped = saved_steps(root / "killed")[-1]
    assert EVERY <= stopped < STEPS
    again = start(killed)
    assert run_app(run, whole) == 0  # meanwhile
    assert f"going on from the checkpoint of step {stopped}" in end(again)
    return root / "whole", root / "killed", stopped


def test_every_checkpoint_is_the_same_to_the_bit(workdirs):
    whole, killed, stopped = workdirs
    steps = saved_steps(whole)
    assert steps == saved_steps(killed) == list(range(EVERY, STEPS + 1, EVERY))
    for step in (stopped, stopped + EVERY, STEPS):
        expected, got = read_state(whole, step), read_state(killed, step)
        assert expected.keys() == got.keys() and len(expected) > 20
        for path, value in expected.items():
            assert value.dtype == got[path].dtype
            np.testing.assert_array_equal(got[path], value, err_msg=f"{path} at step {step}")
    first, last = read_state(whole, EVERY), read_state(whole, STEPS)
    assert any(not np.array_equal(first[path], value) for path, value in last.items())


def test_metrics_are_those_of_one_run(workdirs):
    whole, killed, _ = workdirs

    def numbers(workdir):
        times = ("seconds", "episodes_per_second", "wait")
        return [{name: value for name, value in line.items() if name not in times} for line in read_metrics(workdir)]

    assert numbers(killed) == numbers(whole)
    assert [line["step"] for line in numbers(whole) if "loss" in line] == list(range(1, STEPS + 1))
    assert "eval/pos_iu" in numbers(whole)[-1]
    seconds = [line["seconds"] for line in read_metrics(killed)]
    assert seconds == sorted(seconds)


def test_both_starts_are_on_record(workdirs):
    _, killed, _ = workdirs
    assert len(json.loads((killed / "run.json").read_text())) == 2
