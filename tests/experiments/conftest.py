"""The generated data set, built once, and the shipped quickstart shrunk to seconds."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest

from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.sources import open_source
from experiments import experiment
from experiments.experiment import initial_parameters
from experiments.settings.command_line import run_app
from tests.experiments.whole_runs.processes import STARTED

SHRUNK = {
    "data.train": "generated:val[:20]:instance",
    "model.backbone": "vgg-tiny",
    "model.feature_width": 8,
    "model.dropout": 0.5,
    "train.steps": 6,
    "train.batch_size": 4,
    "train.log_every": 1,
    "train.checkpoint_every": 2,
    "eval.source": "generated:val[-3:]:instance",
    "eval.points": "5",
    "eval.headline": "5",
    "eval.batch_size": 4,
    "eval.limit": 5,
    "eval.during": 5,
}


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test that fails leaves no training behind that would run on beside the others."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    STARTED.clear()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """The folder of prepared data, with the smallest generated split in it."""
    folder = tmp_path_factory.mktemp("prepared")
    open_source(parse_sources("generated:val:instance")[0], Path("data"), folder / "datasets")
    return folder


@contextlib.contextmanager
def random_start() -> Iterator[None]:
    """Inside, runs begin with a network that answers at random (an untrained one is all negative and scores 0)."""

    def start(config):
        model, params = initial_parameters(config)
        kernel = params["head"]["score"]["kernel"]
        params["head"]["score"]["kernel"] = jax.random.normal(jax.random.key(5), kernel.shape)
        return model, params

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "initial_parameters", start)
        yield


@pytest.fixture(scope="session")
def run_at_random() -> Callable[[list[str]], None]:
    """Runs a command line without training, on a network that answers at random."""

    def run_line(words: list[str]) -> None:
        with random_start():
            assert run_app(experiment.run, [*words, "--config.train.steps=0"]) == 0

    return run_line


@pytest.fixture(scope="session")
def command(prepared) -> Callable[..., list[str]]:
    """A command line of the runner; the keywords override fields, with `__` for the dot."""

    def make(workdir, *words, **fields) -> list[str]:
        fields = {name.replace("__", "."): value for name, value in fields.items()}
        fields = {**SHRUNK, "data.prepared": prepared, **fields}
        overrides = [f"--config.{name}={value}" for name, value in fields.items()]
        return ["run", "--config=experiments/configs/quickstart.py", f"--workdir={workdir}", *overrides, *words]

    return make
