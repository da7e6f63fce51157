"""Data sets of a configuration."""

import cv2
import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError
from experiments.runs.data import evaluation_episodes, open_sources, training_stream
from experiments.settings.config import Config
from guided_jax.episode import UNKNOWN


@pytest.fixture
def config(tmp_path):
    """Of a folder with one image of 32 rows and 40 columns, and an object in it."""
    mask = np.zeros((32, 40), np.uint8)
    mask[4:20, 4:20] = 1
    for folder, values in {"images": np.full((32, 40, 3), 90, np.uint8), "masks": mask}.items():
        (tmp_path / "mine" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "mine" / folder / "one.png"), values)
    config = Config()
    config.data.root, config.data.prepared = str(tmp_path), str(tmp_path / "prepared")
    config.data.train, config.data.min_area = "folder@mine:all", 1
    return config


def test_images_too_small_for_the_grid_are_refused(config):
    """The reference's grid has no cell on a side of 32 pixels (checklist, item 3)."""
    with pytest.raises(DatasetError, match=r"data.train: .* a side of 32 px; the grid 'exact' of stride 32 needs 33"):
        open_sources(config, "data")
    config.model.grid = "taps"
    (opened,) = open_sources(config, "data")
    assert len(opened.split.records) == 1


@pytest.fixture
def stream(config):
    """Makes the stream of changed fields."""
    config.model.grid = "taps"
    config.data.buckets, config.data.points, config.train.batch_size = "40x40", "5", 2

    def make(seed=1, **fields):
        config.seed = seed
        for name, value in fields.items():
            setattr(config.data, name, value)
        return training_stream(config, open_sources(config, "data"), None)

    return make


def test_training_episodes_follow_from_the_seed(stream):
    one, two = stream(1), stream(2)
    np.testing.assert_array_equal(one[0].annotation, stream(1)[0].annotation)
    assert all((one[i].annotation != two[i].annotation).any() for i in range(4))


def test_points_of_the_evaluation_follow_from_the_seed(config):
    config.model.grid, config.eval.source, config.eval.points = "taps", "folder@mine:all", "5"
    config.data.buckets, config.eval.batch_size, config.eval.headline = "40x40", 1, ""
    (opened,) = open_sources(config, "eval")
    seen = []
    for config.seed in (1, 1, 2):
        seen.append(evaluation_episodes(config, opened, None, limit=0, devices=1)[0].annotation)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[0] != seen[2]).any() and (seen[0] != UNKNOWN).sum() == 10


def test_flips_points_and_crops_are_those_of_the_configuration(stream):
    plain, flipped = stream(), stream(flip=True)
    shown = plain[0].target
    mirrored = [not np.array_equal(flipped[i].target, shown) for i in range(20)]
    assert 3 < sum(mirrored) < 17 and not any((plain[i].target != shown).any() for i in range(20))
    assert (plain[0].annotation != UNKNOWN).sum() == 10
    assert (stream(flip=False, points="3")[0].annotation != UNKNOWN).sum() == 6
    sizes = {(stream(mode="views", crops=crops)[i].target == 1).sum() for crops in (1, 9) for i in range(12)}
    assert len(sizes) > 2  # more than of the whole and a single crop
