"""A training that starts from a trained model: with its parameters, of the same model, and honest about its classes."""

import jax
import numpy as np
import pytest

from experiments import experiment
from experiments.runs.load import load_model
from experiments.runs.unseen import trained_classes
from experiments.settings.checks import check_config
from experiments.settings.config import Config
from experiments.settings.fields import with_overrides
from experiments.snapshot import export_snapshot
from guided_jax.shipped import DEFAULT
from tests.experiments.tiny_run import make_run


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("start") / "run", prepared)


@pytest.fixture(scope="module")
def file(run):
    export_snapshot(run.parent / "model.safetensors", run)
    return run.parent / "model.safetensors"


def config_of(run, **fields):
    return with_overrides(load_model(run).config, {name.replace("__", "."): each for name, each in fields.items()})


def test_it_starts_with_the_parameters_of_the_other(run, file, tmp_path):
    config = config_of(
        run,
        start_from=str(file),
        weights="unused.npz",
        train__steps=1,
        train__learning_rate=0.0,
        train__weight_decay=0.0,
    )
    experiment.run(config, tmp_path / "new", mode="train")
    started, before = load_model(tmp_path / "new"), load_model(run)
    assert started.step == 1
    jax.tree.map(np.testing.assert_array_equal, started.params, before.params)
    assert started.model.preprocessing == before.model.preprocessing
    # What the other one learnt from is not known, and so no class is new to this one.
    assert started.about["trained_classes"] is None
    assert started.about["trained_on"]["start_from"] == file.name  # a path tells nobody else anything
    assert trained_classes(config_of(run, start_from=str(file), train__steps=0), []) is None


def test_what_only_training_needs_may_differ_and_nothing_else(run, file):
    model, params = experiment.initial_parameters(config_of(run, start_from=str(file), model__dropout=0.25))
    assert model.config.dropout == 0.25
    jax.tree.map(np.testing.assert_array_equal, params, load_model(run).params)
    with pytest.raises(ValueError, match=r"its model has model.merge=annotating, not every; set that"):
        experiment.initial_parameters(config_of(run, start_from=str(file), model__merge="every"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"start_from": "nothing.safetensors"},
            f"start_from=nothing.safetensors: no such file; .* one of {DEFAULT}, .* would be",
        ),
        ({"start_from": "."}, "start_from=.: no such file"),
    ],
)
def test_mistakes_are_found_before_anything_is_opened(fields, message):
    config = with_overrides(Config(), {"train.batch_size": jax.device_count(), **fields})
    with pytest.raises(ValueError, match=message):
        check_config(config, training=True)
