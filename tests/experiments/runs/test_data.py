"""Data sets of a configuration."""

import cv2
import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError
from experiments.runs.data import open_sources
from experiments.settings.config import Config


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
