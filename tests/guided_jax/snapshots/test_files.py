"""Snapshots on disk."""

import json
import sys

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from guided_jax.backbones.preprocessing import CAFFE, CAFFE_ILSVRC, TORCHVISION
from guided_jax.backbones.weight_files import WeightsError
from guided_jax.snapshots.files import (
    ABOUT_KEY,
    MODEL_KEY,
    read_parameters,
    read_snapshot,
    write_parameters,
    write_snapshot,
)
from guided_jax.snapshots.layout import from_state
from guided_jax.snapshots.models import MODELS
from tests.guided_jax.small_models import make_model
from tests.guided_jax.snapshots.narrow import make_narrow, random_state


@pytest.fixture
def narrow(monkeypatch):
    make_narrow(monkeypatch)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="reads and writes .pth: pip install 'guided_jax[test]'")


def check_trees(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("name", ["cofeat-late", "cofeat-early@image-seg", "fcn32s"])
@pytest.mark.parametrize("numbered", [False, True])
def test_pth_and_back(narrow, torch, tmp_path, name, numbered):
    state, path = random_state(name), tmp_path / "iter100000.pth"
    torch.save({key: torch.from_numpy(value) for key, value in state.items()}, path)
    config, params, preprocessing = read_snapshot(path, name)
    assert (config, preprocessing) == (MODELS[name].config, CAFFE_ILSVRC)
    again = tmp_path / "again.pth"
    write_snapshot(again, name, jax.tree.map(jax.numpy.asarray, params), numbered=numbered)
    written = torch.load(again, weights_only=True)
    assert numbered != (written.keys() == state.keys()) or name != "cofeat-late"
    check_trees(from_state({key: value.numpy() for key, value in written.items()}, name), params)
    if not numbered:
        for key, value in state.items():
            np.testing.assert_array_equal(written[key].numpy(), value, err_msg=key)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.pth", "iter100000.pth"]


def test_a_state_dict_as_safetensors_is_read_too(narrow, tmp_path):
    state, path = random_state("cofeat-late-lite"), tmp_path / "model.safetensors"
    save_file(state, path)
    _, params, _ = read_snapshot(path, "cofeat-late-lite")
    check_trees(params, from_state(state, "cofeat-late-lite"))


def test_the_file_is_named_in_errors(narrow, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(random_state("cofeat-late-lite"), path)
    with pytest.raises(WeightsError, match=r"model\.safetensors: not cofeat-late's; .*; it fits cofeat-late-lite$"):
        read_snapshot(path, "cofeat-late")
    with pytest.raises(WeightsError, match="no such file of weights"):
        read_snapshot(tmp_path / "none.pth", "cofeat-late")


def test_without_torch(narrow, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "model.pth").touch()
    with pytest.raises(WeightsError, match=r"model\.pth: reading \.pth needs torch: pip install 'guided_jax\[torch\]'"):
        read_snapshot(tmp_path / "model.pth", "cofeat-late")
    params = from_state(random_state("fcn32s"), "fcn32s")
    with pytest.raises(WeightsError, match=r"new\.pth: writing \.pth needs torch: pip install 'guided_jax\[torch\]'"):
        write_snapshot(tmp_path / "new.pth", "fcn32s", params)


def test_suffixes(narrow, torch, tmp_path):
    params = from_state(random_state("fcn32s"), "fcn32s")
    with pytest.raises(WeightsError, match=r"new\.bin: the name must end in \.pth"):
        write_snapshot(tmp_path / "new.bin", "fcn32s", params)
    with pytest.raises(WeightsError, match=r"new\.pth: the name must end in \.safetensors"):
        write_parameters(tmp_path / "new.pth", MODELS["fcn32s"].config, params, CAFFE)
    with pytest.raises(WeightsError, match=r"none/new\.pth: cannot be written: "):
        write_snapshot(tmp_path / "none" / "new.pth", "fcn32s", params)
    assert not list(tmp_path.iterdir())


class TestParameters:
    @pytest.mark.parametrize("fields", [{}, {"way": 3, "sharing": "unshared"}, {"locality": "both"}])
    def test_any_model(self, tmp_path, fields):
        model, params = make_model(**fields)
        write_parameters(tmp_path / "model.safetensors", model.config, params, TORCHVISION)
        again = read_parameters(tmp_path / "model.safetensors")
        assert (again.config, again.preprocessing, again.about) == (model.config, TORCHVISION, {})
        check_trees(again.params, params)

    def test_what_is_known_of_the_training(self, tmp_path):
        """But for what nobody else is to know."""
        model, params = make_model()
        about = {"step": 7, "name": "x", "trained_classes": ["dog"], "host": "mine", "command": "run --workdir=/home"}
        write_parameters(tmp_path / "model.safetensors", model.config, params, CAFFE, about)
        again = read_parameters(tmp_path / "model.safetensors")
        assert again.about == {"step": 7, "name": "x", "trained_classes": ["dog"]}

    @pytest.fixture
    def path(self, tmp_path):
        model, params = make_model()
        write_parameters(tmp_path / "model.safetensors", model.config, params, CAFFE)
        return tmp_path / "model.safetensors"

    def rewrite(self, path, arrays=lambda arrays: None, model=lambda model: None, **others):
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
        values, config = load_file(path), json.loads(metadata[MODEL_KEY])
        arrays(values)
        model(config)
        save_file(values, path, metadata={**metadata, MODEL_KEY: json.dumps(config), **others})

    def test_transposed_arrays_are_written_as_they_look(self, tmp_path):
        model, params = make_model()
        views = jax.tree.map(lambda leaf: np.ascontiguousarray(np.asarray(leaf).T).T, params)
        assert not views["trunk"]["conv1_1"]["kernel"].flags.c_contiguous
        write_parameters(tmp_path / "model.safetensors", model.config, views, CAFFE)
        check_trees(read_parameters(tmp_path / "model.safetensors")[1], jax.tree.map(np.asarray, params))

    def test_names_are_paths(self, path):
        assert "trunk/conv1_1/kernel" in load_file(path)
        assert "head/fc7/kernel" in load_file(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda a: a.pop("neck/fc6/bias"), r"neck/fc6/bias is missing, not \(8,\)$"),
            (lambda a: a.update({"a/b": a["neck/fc6/bias"]}), r"a/b is \(8,\), not a parameter$"),
            (
                lambda a: a.update({"neck/fc6/bias": np.zeros(3), "head/score/bias": np.zeros(3)}),
                r"head/score/bias is \(3,\), not \(1,\), and 1 more$",
            ),
        ],
    )
    def test_other_parameters(self, path, change, message):
        self.rewrite(path, arrays=change)
        with pytest.raises(WeightsError, match=f"its parameters are not those of its model: {message}"):
            read_parameters(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda m: m.update(ways=2), r"no field is called model\.ways; did you mean way\?$"),
            (lambda m: m.update(way="2"), "way='2' is not of type int$"),
            (lambda m: m.update(fusion="later"), "model.fusion='later' is not one of late"),
        ],
    )
    def test_other_models(self, path, change, message):
        self.rewrite(path, model=change)
        with pytest.raises(WeightsError, match=rf"model\.safetensors: its metadata cannot be read: .*{message}"):
            read_parameters(path)

    def test_a_file_from_before_a_field_was_there(self, path):
        before = read_parameters(path)
        self.rewrite(path, model=lambda m: (m.pop("locality"), m.pop("way")))
        again = read_parameters(path)
        assert again.config == before.config
        check_trees(again.params, before.params)

    def test_a_file_from_before_the_training_was_told(self, path):
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
        del metadata[ABOUT_KEY]
        save_file(load_file(path), path, metadata=metadata)
        assert read_parameters(path).about == {}

    def test_a_training_that_is_no_group(self, path):
        self.rewrite(path, **{ABOUT_KEY: "[1]"})
        with pytest.raises(
            WeightsError, match=r"cannot be read: guided_jax\.about must be a group of fields, not \[1\]"
        ):
            read_parameters(path)

    def test_a_file_without_a_model(self, tmp_path):
        _, params = make_model()
        save_file({k: np.asarray(v) for k, v in flatten_dict(params, sep="/").items()}, tmp_path / "a.safetensors")
        with pytest.raises(WeightsError, match=r"a\.safetensors: its metadata do not tell the model"):
            read_parameters(tmp_path / "a.safetensors")


def test_a_file_of_half_the_size(tmp_path):
    model, params = make_model()
    sizes = []
    for dtype in ("float32", "float16"):
        path = tmp_path / f"{dtype}.safetensors"
        write_parameters(path, model.config, params, CAFFE, dtype=dtype)
        assert {each.dtype for each in load_file(path).values()} == {np.dtype(dtype)}
        (tmp_path / "plain").write_bytes(b"")
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # others may read it where they may read any
        sizes.append(sum(each.nbytes for each in load_file(path).values()))
        jax.tree.map(
            lambda found, wanted, dtype=dtype: np.testing.assert_array_equal(found, np.asarray(wanted).astype(dtype)),
            read_parameters(path).params,
            params,
        )
    assert sizes[0] == 2 * sizes[1]
    great = jax.tree.map(lambda leaf: leaf * np.float32(1e30), params)
    with pytest.raises(WeightsError, match=r"has values that float16 cannot hold"):
        write_parameters(tmp_path / "great.safetensors", model.config, great, CAFFE, dtype="float16")
    assert not (tmp_path / "great.safetensors").exists()
