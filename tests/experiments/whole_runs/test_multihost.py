"""Two processes with two devices each: the numbers of one process with four."""

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
from guided_jax.backbones.preprocessing import CAFFE
from tests.experiments.tiny_weights import write_tiny_weights

HOSTS = 2
FIELDS = {"train.schedule": "constant", "train.batch_size": 8, "train.learning_rate": 0.01}
HOST = """
import json, sys
from experiments import experiment
from experiments.settings.command_line import run_app
print(json.dumps([run_app(experiment.run, words) for words in json.loads(sys.argv[1])]))
"""


def start_hosts(commands) -> list[subprocess.Popen]:
    """The commands one after the other, each in all processes."""
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
            [sys.executable, "-c", HOST, json.dumps(commands)],
            env={**os.environ, **settings, "JAX_PROCESS_ID": str(host)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for host in range(HOSTS)
    ]


@pytest.fixture(scope="module")
def ran(command, tmp_path_factory):
    """Working folder, exit codes and messages of both hosts."""
    root = tmp_path_factory.mktemp("hosts")
    write_tiny_weights(root / "tiny.safetensors", CAFFE)
    cached = {"weights": root / "tiny.safetensors", "train.freeze": "trunk", "train.cache_features": "true"}
    cached["data.prepared"] = root / "prepared"
    hosts = start_hosts(
        [
            command(root / "two", "--distributed", "--parallel=jit", **FIELDS, **{"train.steps": 3}),
            command(root / "two", "--parallel=pmap", **FIELDS),
            command(root / "two", **{**FIELDS, "train.momentum": 0.5}),
            command(root / "cached", "--mode=train", **{**FIELDS, **cached, "train.steps": 0}),
        ]
    )
    try:
        assert run_app(run, command(root / "one", **FIELDS)) == 0  # meanwhile
        ended = [host.communicate(timeout=150) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    codes = [json.loads(out.splitlines()[-1]) if out else err for out, err in ended]
    return root, codes, [err for _, err in ended]


def test_exit_codes(ran):
    _, codes, _ = ran
    assert codes == [[0, 0, 2, 0]] * HOSTS


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


def test_processes_that_are_not_told_of_each_other(command, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    assert run_app(run, command(tmp_path, "--distributed")) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: --distributed: invalid literal") and "set JAX_COORDINATOR_ADDRESS" in line
