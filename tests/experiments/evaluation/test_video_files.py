"""Masks as files."""

import os

import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.reading.files import read_mask
from experiments.evaluation.video_files import write_mask
from guided_jax.masks.palette import davis_palette

LABELS = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)


def test_a_mask_is_indices_into_the_palette_of_davis(tmp_path):
    write_mask(tmp_path / "a.png", LABELS)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), LABELS)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P" and image.format == "PNG" and image.getpalette() == davis_palette()


def test_a_failure_in_the_middle_leaves_the_old_mask(tmp_path, monkeypatch):
    def save(self, file, *_):
        file.write(b"half")
        raise OSError("the disk is full")

    write_mask(tmp_path / "a.png", LABELS)
    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="the disk is full"):
        write_mask(tmp_path / "a.png", 1 - LABELS)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), LABELS)
    assert os.listdir(tmp_path) == ["a.png"]
