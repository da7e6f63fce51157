"""Two processes with two devices each: the numbers of one process with four."""

import importlib
import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.experiment import run
from experiments.runs.load import load_model
from experiments.runs.metrics import read_metrics
from experiments.settings.command_line import run_app
from experiments.settings.exits import LOST
from guided_jax.backbones.preprocessing import CAFFE
from tests.experiments.small_data import write_classes, write_videos
from tests.experiments.tiny_run import make_run
from tests.experiments.tiny_weights import write_tiny_weights

HOSTS = 2
FIELDS = {"train.schedule": "constant", "train.batch_size": 8, "train.learning_rate": 0.01}
HOST = """
import importlib, json, os, signal, sys
import jax
from experiments import experiment
from experiments.settings import hosts
from experiments.settings.command_line import guarded, run_app, start

def code(module, *words):
    if module == "run":
        return run_app(experiment.run, [module, *words])
    return guarded(lambda: importlib.import_module(f"experiments.{module}").main([module, *words]))

class Lost(experiment.Checkpoints):
    def save(self, state, *rest):
        if jax.process_index() == 1 and int(state.step) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        super().save(state, *rest)

hosts.HEARTBEAT = 10
*first, last = json.loads(sys.argv[1])
print(json.dumps([code(*words) for words in first]), flush=True)
experiment.Checkpoints = Lost
sys.exit(start(lambda words: run_app(experiment.run, words), last))
"""
WAITS = """
import sys, time
from experiments.settings.hosts import any_host, join_hosts
join_hosts()
any_host(True)
print("joined", flush=True)
time.sleep(100)
"""
CLICKS = ["--clicks=3", "--targets=50", "--config.data.max_side=32"]
VIDEOS = ["--points=2,dense", "--chunk=2"]
DOTS = ["--frames=1", "--points=1,2", "--corrections=2"]
SOURCE = "frames@videos:all:instance"


def start_hosts(program, commands=()) -> list[subprocess.Popen]:
    """A program in all processes; its commands are run one after the other, and the last one to be lost."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(HOSTS),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(commands)],
            env={**os.environ, **settings, "JAX_PROCESS_ID": str(host)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for host in range(HOSTS)
    ]


def score_commands(root, hosts) -> list[list[str]]:
    """Of `prepare` and of the commands that score, whose results go to a folder for this number of hosts."""
    run, masks = f"--workdir={root / 'scored' / hosts}", root / "masks"
    cached = {"weights": root / "tiny.safetensors", "train.freeze": "trunk", "train.cache_features": "true"}
    cached |= {"data.train": "folder@classes/dog:all, folder@classes/sheep:all", "data.root": root}
    cached |= {"eval.source": "folder@classes/horse:all", "data.prepared": root / f"prepared_for_{hosts}"}
    cached |= {"data.buckets": "40x40", "model.backbone": "vgg-tiny"}
    prepared = ["prepare", "--config=quickstart", *(f"--config.{field}={value}" for field, value in cached.items())]
    return [
        prepared,
        ["clicks", run, f"--source={SOURCE}", *CLICKS, f"--save={masks / f'clicks-{hosts}'}"],
        ["video", run, f"--source={SOURCE}", *VIDEOS, f"--save={masks / f'video-{hosts}'}"],
        ["interactive_video", run, f"--source={SOURCE}", *DOTS],
    ]


@pytest.fixture(scope="module")
def ran(command, tmp_path_factory):
    """Working folder, exit codes and messages of both hosts."""
    root = tmp_path_factory.mktemp("hosts")
    write_tiny_weights(root / "tiny.safetensors", CAFFE)
    cached = {"weights": root / "tiny.safetensors", "train.freeze": "trunk", "train.cache_features": "true"}
    cached["data.prepared"] = root / "prepared"
    write_videos(root / "videos")
    write_classes(root / "classes")
    model = {"data.root": str(root), "model.sharing": "shared", "model.inference": "distance", "data.buckets": "40x40"}
    make_run(root / "scored" / "two", root / "prepared_for_two", **model)
    scored = score_commands(root, "two")
    hosts = start_hosts(
        HOST,
        [
            command(root / "two", "--distributed", "--parallel=jit", **FIELDS, **{"train.steps": 3}),
            command(root / "two", "--parallel=pmap", **FIELDS),
            command(root / "two", **{**FIELDS, "train.momentum": 0.5}),
            command(root / "cached", "--mode=train", **{**FIELDS, **cached, "train.steps": 0}),
            *scored,
            command(root / "lost", "--mode=train", "--parallel=fsdp", **FIELDS),
        ],
    )
    try:
        assert run_app(run, command(root / "one", **FIELDS)) == 0  # meanwhile
        make_run(root / "scored" / "one", root / "prepared_for_one", **model)
        for module, *words in score_commands(root, "one"):
            importlib.import_module(f"experiments.{module}").main([module, *words])
        ended = [host.communicate(timeout=150) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    codes = [json.loads(out.splitlines()[-1]) if out else err for out, err in ended] + [hosts[0].returncode]
    return root, codes, [err for _, err in ended]


def test_exit_codes(ran):
    _, codes, _ = ran
    *codes, left = codes
    assert codes == [[0, 0, 2, 0, 0, 0, 0, 0]] * HOSTS
    assert left != 0


def test_the_training_is_that_of_one_process(ran):
    """The first half under jit, the second, which goes on from its checkpoint, under pmap."""
    root, *_ = ran
    one, two = (
        [line for line in read_metrics(root / name) if "loss" in line and line["step"] > 0] for name in ("one", "two")
    )
    assert [line["step"] for line in two] == [line["step"] for line in one] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([line["loss"] for line in two], [line["loss"] for line in one], rtol=1e-5)
    assert np.ptp([line["loss"] for line in one]) > 1e-3


def test_the_parameters_are_those_of_one_process(ran):
    root, *_ = ran
    one, two = load_model(root / "one"), load_model(root / "two")
    assert one.step == two.step == 6
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * np.abs(a).max())


def test_the_result_is_that_of_one_process(ran):
    root, *_ = ran
    one, two = (json.loads((root / name / "result.json").read_text()) for name in ("one", "two"))
    assert two["protocol"] == one["protocol"]
    assert two["scores"]["5"]["pos_iu"] == pytest.approx(one["scores"]["5"]["pos_iu"], abs=2e-3)
    assert two["scores"]["5"]["classes"].keys() == one["scores"]["5"]["classes"].keys()
    assert [start["devices"]["processes"] for start in json.loads((root / "two" / "run.json").read_text())] == [2, 2]


def test_no_process_goes_on_without_the_others(ran):
    _, _, (first, second) = ran
    assert "is of another config: train.momentum" in first
    assert "error: process 0 cannot go on; its message says why" in second


def test_only_the_first_process_speaks(ran):
    _, _, (first, second) = ran
    assert "step 6/6" in first and "step 6/6" not in second


def test_the_hosts_leave_no_image_without_features(ran):
    root, *_ = ran
    assert len(list((root / "prepared" / "features").glob("*/*/*.safetensors"))) == 23


def result_of(root, hosts, start) -> dict:
    """All of a result but when, where and how fast."""
    (path,) = (root / "scored" / hosts).glob(f"{start}-*.json")
    found = json.loads(path.read_text())
    times = ("seconds", "guide_seconds")
    videos = [{key: value for key, value in row.items() if key not in times} for row in found.get("videos", [])]
    return {key: found.get(key) for key in ("protocol", "scores", "objects", "rows")} | {"videos": videos}


@pytest.mark.parametrize("start", ["clicks", "video", "interactive-video"])
def test_scores_and_rows_are_those_of_one_process(ran, start):
    root, *_ = ran
    one, two = result_of(root, "one", start), result_of(root, "two", start)
    assert two == one
    assert len(one["objects"] or one["rows"]) > 2


@pytest.mark.parametrize(("kind", "number"), [("clicks", 11), ("video", 18)])
def test_masks_are_those_of_one_process(ran, kind, number):
    root, *_ = ran
    one, two = ({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}
                for folder in (root / "masks" / f"{kind}-{hosts}" for hosts in ("one", "two")))  # fmt: skip
    assert two == one and len(one) == number


def test_prepared_data_are_those_of_one_process(ran):
    """Their hash, which is in `dataset_info.json`, and the features to the byte."""
    root, *_ = ran
    one, two = (
        {
            path.relative_to(folder): path.read_bytes()
            for name in ("dataset_info.json", "*.safetensors")
            for path in folder.rglob(name)
        }
        for folder in (root / "prepared_for_one", root / "prepared_for_two")
    )
    assert two == one
    assert sum(path.suffix == ".safetensors" for path in one) == 11 and len(one) == 11 + 4


def test_a_lost_process_ends_the_other_with_a_line(ran):
    """By the heartbeat, since the other one waits for it."""
    _, _, (first, _) = ran
    assert first.splitlines()[-1] == f"error: {LOST}" and "Traceback" not in first


def test_what_was_lost_is_resumed_by_one_process(ran, command):
    """From a checkpoint that two have made of the divided state; to where one process comes on its own."""
    root, *_ = ran
    assert [path.name for path in (root / "lost" / "checkpoints").glob("[0-9]*")] == ["2"]
    assert run_app(run, command(root / "lost", "--mode=train", **FIELDS)) == 0
    assert [each["devices"]["processes"] for each in json.loads((root / "lost" / "run.json").read_text())] == [2, 1]
    one, two = load_model(root / "one"), load_model(root / "lost")
    assert one.step == two.step == 6
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * np.abs(a).max())


def test_that_the_first_process_is_lost_is_seen_at_once():
    hosts = start_hosts(WAITS)
    try:
        for host in hosts:
            assert any(line == "joined\n" for line in host.stdout)
        hosts[0].kill()
        hosts[0].communicate()
        _, messages = hosts[1].communicate(timeout=30)  # less than the heartbeat
    finally:
        for host in hosts:
            host.kill()
    assert hosts[1].returncode != 0
    assert messages.splitlines() == [f"error: {LOST}"]


def test_processes_that_are_not_told_of_each_other(command, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    assert run_app(run, command(tmp_path, "--distributed")) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: --distributed: invalid literal") and "set JAX_COORDINATOR_ADDRESS" in line
