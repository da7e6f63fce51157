"""Every shipped configuration, as it is."""

from pathlib import Path

import jax
import pytest

import experiments
from experiments.config import Config
from experiments.experiment import check_config
from experiments.overrides import load_config
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.episode import blank_batch
from guided_jax.segmentor import ModelConfig, Segmentor

FILES = sorted(
    file for file in Path(experiments.__file__).parent.glob("*.py") if "\ndef get_config(" in file.read_text("utf-8")
)


def parameters(config: ModelConfig) -> int:
    model = Segmentor(config, CAFFE)
    shapes = jax.eval_shape(model.init, jax.random.key(0), blank_batch(64))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_sound(file, tmp_path):
    config = load_config(str(file))
    assert isinstance(config, Config)
    config.train.batch_size *= jax.device_count()
    if config.weights:
        with pytest.raises(ValueError, match=r"there is no such file"):
            check_config(config, training=True)
        config.weights = str(tmp_path / "weights.npz")
        Path(config.weights).touch()
    check_config(config, training=True)
    assert parameters(config.model) > 10_000


@pytest.mark.parametrize(
    ("fields", "total"),
    [
        ({}, 184_604_481),  # interactive-late-glob
        ({"feature_width": 256}, 21_400_641),  # interactive-late-glob-lite
        ({"feature_width": 256, "inference": "unshared"}, 21_729_602),  # cofeat-late-lite-unshared
    ],
)
def test_the_reference_s_models_have_its_number_of_parameters(fields, total):
    assert parameters(ModelConfig(**fields)) == total


def test_a_misspelt_variant_is_refused():
    with pytest.raises(Exception, match="the variants are lite and none"):
        load_config(str(Path(experiments.__file__).parent / "interactive_reference.py") + ":light")
