"""Training on cached features of a frozen trunk: the numbers of training on images."""

import dataclasses
import json
from functools import partial

import jax
import numpy as np
import pytest

from data_pipelines.canvas import pad_to_canvas
from data_pipelines.datasets.record import decode_image, to_record
from data_pipelines.features.store import FeatureStore
from data_pipelines.views import View, view_key
from experiments.experiment import open_data, open_experiment, run
from experiments.runs.features import trunk_key
from experiments.runs.metrics import read_metrics
from experiments.settings.command_line import parse, run_app
from guided_jax.backbones.preprocessing import CAFFE, TORCHVISION
from guided_jax.model_config import ModelConfig, geometry_of
from guided_jax.segmentor import Segmentor
from tests.experiments.small_data import write_classes
from tests.experiments.tiny_weights import write_tiny_weights

CACHED = {"train.freeze": "trunk", "train.cache_features": "true"}
IMAGES = 8
"""The last 3 and the first 5 of the split, which evaluation and training use."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Writes weights of a tiny VGG that expect the given preprocessing."""
    folder = tmp_path_factory.mktemp("weights")

    def write(preprocessing):
        path = folder / f"{preprocessing.channels}.safetensors"
        write_tiny_weights(path, preprocessing)
        return path

    return write


@pytest.fixture(scope="module")
def folder(prepared, tmp_path_factory):
    """Prepared data of this module's own: the data set, without features."""
    folder = tmp_path_factory.mktemp("features")
    (folder / "datasets").symlink_to(prepared / "datasets")
    return folder


@pytest.fixture(scope="module")
def line(command, folder, weights):
    def make(workdir, *, preprocessing=CAFFE, prepared=folder, **fields):
        fields = {"data.train": "generated:val[:5]:instance", "weights": weights(preprocessing), **fields}
        return command(workdir, **{**CACHED, "data.prepared": prepared, **fields})

    return make


@pytest.fixture
def written(monkeypatch):
    """The keys of the features that are computed from here on."""
    keys, write = [], FeatureStore.write

    def note(self, key, maps):
        keys.append(key)
        write(self, key, maps)

    monkeypatch.setattr(FeatureStore, "write", note)
    return keys


def losses(workdir):
    return [each["loss"] for each in read_metrics(workdir) if "loss" in each]


def test_cached_features_give_the_training_on_images(line, folder, tmp_path, written):
    plain, cached, again = (tmp_path / name for name in ("plain", "cached", "again"))
    # A large rate, so that the losses say something of the features.
    fields = {"train.learning_rate": 0.02, "train.warmup": 0, "model.sharing": "unshared"}
    assert run_app(run, line(plain, **fields, **{"train.cache_features": "false"})) == 0
    assert not written and not (folder / "features").exists()
    assert run_app(run, line(cached, **fields)) == 0
    assert len(written) == len(set(written)) == IMAGES
    expected = losses(plain)
    assert expected[0] == pytest.approx(np.log(2), rel=1e-4) and np.ptp(expected) > 0.02
    np.testing.assert_allclose(losses(cached), expected, rtol=2e-3)
    results = [json.loads((workdir / "result.json").read_text())["scores"] for workdir in (plain, cached)]
    for points, scores in results[0].items():
        assert results[1][points]["pos_iu"] == pytest.approx(scores["pos_iu"], abs=0.02)

    written.clear()
    assert run_app(run, line(again, **{"train.steps": 0}, **fields)) == 0
    assert not written


@pytest.fixture
def opened(line, tmp_path):
    """Opens an experiment, which computes what is missing of its features."""

    def make(**fields):
        config = parse(line(tmp_path / "run", prepared=tmp_path / "prepared", **fields)).config
        return open_experiment(config, "pmap", *open_data(config, training=True))

    return make


@pytest.fixture(autouse=True)
def _own_datasets(prepared, tmp_path):
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "datasets").symlink_to(prepared / "datasets")


def test_features_belong_to_weights_and_preprocessing(opened, tmp_path):
    experiment, params = opened()
    opened(preprocessing=TORCHVISION)
    model, trunk = experiment.model, params["trunk"]
    folders = {path.name for path in (tmp_path / "prepared" / "features").iterdir()}
    assert len(folders) == 2 and trunk_key(model, trunk) in folders

    def key(trunk=trunk, preprocessing=CAFFE, **fields):
        return trunk_key(Segmentor(dataclasses.replace(model.config, **fields), preprocessing), trunk)

    moved = jax.tree.map(lambda leaf: leaf * 1.0001, trunk)
    renamed = {**trunk, "conv1_0": trunk["conv1_1"]}
    del renamed["conv1_1"]
    keys = [key(), key(moved), key(renamed), key(preprocessing=TORCHVISION), key(dtype="bfloat16"), key(stride=2)]
    assert len(set(keys)) == 6
    assert key(feature_width=4, sharing="unshared", dropout=0.0) == keys[0]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"backbone": "vgg16", "grid": "taps", "stride": 8, "feature_width": 256}, "3acb2053933032cd"),
        ({"backbone": "vgg-tiny", "grid": "exact", "stride": 8}, "c543b0b4d1dcb5ae"),
    ],
)
def test_the_keys_of_features_are_those_of_the_first_version(fields, key):
    """Computed when there was one kind of backbone: whoever has cached features keeps them."""
    kernel = np.arange(27, dtype=np.float32).reshape(3, 3, 3, 1)
    trunk = {"conv1_1": {"kernel": kernel, "bias": np.zeros(1, np.float32)}}
    assert trunk_key(Segmentor(ModelConfig(**fields), CAFFE), trunk) == key


def test_every_ingredient_of_another_backbones_maps_is_in_its_key():
    fields = {"backbone": "resnet-tiny", "grid": "taps", "stride": 8, "feature_width": 4}

    def key(weight=1.0, preprocessing=CAFFE, **changed):
        trunk = {"conv1": {"kernel": np.full((7, 7, 3, 4), weight, np.float32)}}
        return trunk_key(Segmentor(ModelConfig(**{**fields, **changed}), preprocessing), trunk)

    keys = [key(), key(2.0), key(preprocessing=TORCHVISION), key(dtype="bfloat16"), key(layers="3"), key(stride=16)]
    keys += [key(grid="dilated"), key(grid="dilated", layers="3,4"), key(grid="dilated", stride=16)]
    assert len(set(keys)) == len(keys)
    assert key(layers="2,3,4") == key(fc6_kernel=3) == key()  # the usual layers; what follows the trunk


def test_what_is_missing_is_computed_and_nothing_else(opened, tmp_path, written):
    opened()
    files = sorted((tmp_path / "prepared" / "features").glob("*/*/*.safetensors"))
    assert len(files) == IMAGES
    files[3].unlink()
    written.clear()
    opened()
    assert written == [files[3].stem]


def test_features_of_an_image_and_of_its_mirror_image(opened, tmp_path):
    experiment, params = opened(**{"data.flip": "true"})
    (trunk,) = (tmp_path / "prepared" / "features").iterdir()
    assert len(list(trunk.glob("*/*"))) == 2 * 5 + 3  # an evaluation mirrors nothing
    record = to_record(experiment.train_sources[0].split.records[0])
    image = decode_image(record.image)
    size = np.array([image.shape[:2]], np.int32)
    encode = jax.jit(partial(experiment.model.apply, method="trunk_maps"))
    for mirrored, shown in ((False, image), (True, image[:, ::-1])):
        stored = FeatureStore(trunk).read(view_key(record, View(0, mirrored)))
        expected = encode({"params": params}, pad_to_canvas(np.ascontiguousarray(shown), (96, 96), 0)[None], size)
        assert len(stored) == len(expected)
        for one, two in zip(stored, expected, strict=True):
            np.testing.assert_allclose(one, two[0], rtol=1e-3, atol=1e-4 * np.abs(two).max())


def test_features_of_images_that_fill_no_canvas(opened, tmp_path):
    """Upright ones and others: each on its own canvas, and of its maps what lies on the image."""
    write_classes(tmp_path / "classes")
    buckets = {"data.root": tmp_path, "data.buckets": "32x48,48x32,96x96"}
    experiment, params = opened(**{"data.train": "folder@classes:all:class", **buckets})
    (trunk,) = (tmp_path / "prepared" / "features").iterdir()
    encode = jax.jit(partial(experiment.model.apply, method="trunk_maps"))
    geometry, shapes = geometry_of(experiment.model.config), set()
    records = map(to_record, experiment.train_sources[0].split.records)
    for record in {(each.height, each.width): each for each in records}.values():
        size, image = (record.height, record.width), decode_image(record.image)
        assert size in ((24, 40), (40, 24))
        canvas = pad_to_canvas(image, (32, 48) if size == (24, 40) else (48, 32), 0)
        expected = encode({"params": params}, canvas[None], np.array([size], np.int32))
        stored = FeatureStore(trunk).read(view_key(record, View()))
        for one, two, side, other in zip(stored, expected, *map(geometry.tap_sizes, size), strict=True):
            assert one.shape[:2] == (side, other)
            np.testing.assert_allclose(one, two[0, :side, :other], rtol=1e-3, atol=1e-4 * np.abs(two).max())
        shapes.add(stored[0].shape[:2])
    assert len(shapes) == 2
    for i in range(8):
        episode = experiment.stream[i]
        assert episode.query[0].shape[:2] == tuple(geometry.tap_sizes(side)[0] for side in episode.target.shape)


def test_features_of_every_crop(opened, tmp_path):
    fields = {"data.mode": "views", "data.crops": 2, "data.shots": 2, "eval.mode": "interactive"}
    experiment, _ = opened(**fields)
    (trunk,) = (tmp_path / "prepared" / "features").iterdir()
    assert len(list(trunk.glob("*/*"))) == 3 * 5 + 3  # an evaluation shows the whole alone
    for i in range(8):
        assert experiment.stream[i].support[0].shape[0] == 2


def test_a_damaged_file_is_one_line(opened, line, tmp_path, capfd):
    opened()
    for file in (tmp_path / "prepared" / "features").glob("*/*/*.safetensors"):
        file.write_bytes(b"half")
    capfd.readouterr()
    assert run_app(run, line(tmp_path / "run", prepared=tmp_path / "prepared")) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "cannot be read" in last and "delete it, and it is computed again" in last
