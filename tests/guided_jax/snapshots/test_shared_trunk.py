"""Files of models that share a trunk: the same model, a smaller file, and errors that name both."""

import json

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import guided_jax
from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.snapshots.files import read_parameters, write_parameters
from guided_jax.snapshots.shared_trunk import TRUNK_KEY
from tests.guided_jax.small_models import small_model


@pytest.fixture(scope="module")
def models():
    """Two of one trunk, and one of another."""
    model, params = small_model(3)
    learnt = {**jax.tree.map(lambda leaf: leaf + 1, params), "trunk": params["trunk"]}
    return model, params, learnt, jax.tree.map(lambda leaf: leaf * 2, params)


@pytest.fixture
def path(models, tmp_path):
    """`rest.safetensors`, whose trunk is in `whole.safetensors`."""
    model, params, learnt, _ = models
    write_parameters(tmp_path / "whole.safetensors", model.config, params, CAFFE, dtype="float16")
    rest, whole = tmp_path / "rest.safetensors", tmp_path / "whole.safetensors"
    write_parameters(rest, model.config, learnt, CAFFE, dtype="float16", trunk=whole)
    return rest


def test_it_is_the_same_model(models, path, tmp_path):
    model, _, learnt, _ = models
    assert not [name for name in load_file(path) if name.startswith("trunk/")]
    write_parameters(tmp_path / "alone.safetensors", model.config, learnt, CAFFE, dtype="float16")
    expected = read_parameters(tmp_path / "alone.safetensors")
    for found in (read_parameters(path), guided_jax.load(path)):
        assert found.config == expected.config
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
    assert path.stat().st_size < (tmp_path / "alone.safetensors").stat().st_size


def test_another_trunk_is_refused(models, path, tmp_path):
    model, params, _, other = models
    whole, new = tmp_path / "whole.safetensors", tmp_path / "new.safetensors"
    with pytest.raises(WeightsError, match=r"whole\.safetensors: holds another trunk than the model; write a file of"):
        write_parameters(new, model.config, other, CAFFE, dtype="float16", trunk=whole)
    with pytest.raises(WeightsError, match=r"rest\.safetensors: holds another trunk"):
        write_parameters(new, model.config, params, CAFFE, dtype="float16", trunk=path)
    (tmp_path / "below").mkdir()
    for place in (tmp_path / "below" / "new.safetensors", whole):
        with pytest.raises(
            WeightsError, match=r"whole\.safetensors: the file of the trunk must lie beside .*, under an"
        ):
            write_parameters(place, model.config, params, CAFFE, dtype="float16", trunk=whole)
    assert not new.exists()


def test_a_missing_or_changed_trunk_is_named(models, path, tmp_path):
    model, params, _, _ = models
    whole = tmp_path / "whole.safetensors"
    write_parameters(whole, model.config, params, CAFFE, {"step": 2}, dtype="float16")
    with pytest.raises(
        WeightsError, match=r"rest\.safetensors: its trunk is in whole\.safetensors, of the sha256 \w+; t"
    ):
        read_parameters(path)
    whole.unlink()
    with pytest.raises(ValueError, match=r"rest\.safetensors: its trunk is in whole\.safetensors, which is missing"):
        guided_jax.load(path)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (json.dumps({"file": "../whole.safetensors", "sha256": ""}), "name '../whole.safetensors', which is no file b"),
        (json.dumps({"file": "..", "sha256": ""}), "name '..', which is no file beside it"),
        (json.dumps({"sha256": ""}), "cannot be read: 'file'"),
        ("[]", "cannot be read: "),
        ("{", "cannot be read: "),
    ],
)
def test_what_a_file_says_of_its_trunk_is_not_trusted(path, told, message):
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata={**metadata, TRUNK_KEY: told})
    with pytest.raises(WeightsError, match=rf"its metadata {TRUNK_KEY} {message}"):
        read_parameters(path)
