from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines.datasets import shards as shards_module
from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.built import open_split
from data_pipelines.datasets.reading.files import natural_key, spread
from data_pipelines.datasets.reading.images import read_upright, turn_upright, upright_size
from data_pipelines.datasets.record import (
    DatasetError,
    Record,
    Segment,
    decode_image,
    decode_layer,
    encode_layer,
    find_segments,
    to_record,
)
from data_pipelines.datasets.shards import Lazy


def make(number: int) -> Record:
    layer = np.full((2, 3), number % 3, np.uint8)
    segments = tuple(find_segments(layer, 0, {1: 4, 2: 5}, instances=True))
    return Record(f"image{number}", "clip", number, 2, 3, b"bytes %d" % number, (encode_layer(layer),) * 2, segments)


class Numbers(RecordBuilder):
    """Seven records a split: of known number in `sized`, of unknown number in `streamed`, none in `empty`."""

    VERSION = tfds.core.Version("1.0.0")

    def _class_names(self):
        return ["a", "b"]

    def _split_names(self):
        return ["sized", "streamed", "empty"]

    def _records(self, split):
        numbers = range(0 if split == "empty" else 7)
        return (make(number) for number in numbers) if split == "streamed" else Lazy(numbers, make)


def build(tmp_path: Path, split: str) -> Path:
    builder = Numbers(only=split, data_dir=str(tmp_path))
    builder.download_and_prepare()
    return Path(builder.data_dir)


@pytest.mark.parametrize(("split", "shards"), [("sized", 3), ("streamed", 1)])
def test_records_come_back_in_order_from_any_number_of_shards(tmp_path, monkeypatch, split, shards):
    monkeypatch.setattr(shards_module, "SHARD", 3)
    directory = build(tmp_path, split)
    assert len(list(directory.glob("*.array_record*"))) == shards
    source = open_split(directory, split)
    assert [to_record(source[i]) for i in range(len(source))] == [make(number) for number in range(7)]
    assert [to_record(source[i]).frame for i in (6, 0, 3)] == [6, 0, 3]
    part = open_split(directory, f"{split}[2:5]")
    assert [to_record(part[i]).frame for i in range(len(part))] == [2, 3, 4]


def test_metadata_describe_the_content(tmp_path):
    metadata = tfds.builder_from_directory(build(tmp_path, "sized")).info.metadata
    assert metadata["class_names"] == ["a", "b"]
    assert metadata["segments"] == {"class": 0, "instance": 4}
    assert len(metadata["content"]) == 64


def test_a_split_without_records_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"the split 'empty' of .* has no image"):
        build(tmp_path, "empty")


def test_segments_have_tight_half_open_boxes():
    layer = np.array([[0, 3, 3, 255], [9, 3, 255, 255], [9, 0, 0, 3]], np.uint8)
    assert find_segments(layer, 2, None, instances=False) == [
        Segment(class_id=3, instance=0, layer=2, value=3, area=4, box=(0, 1, 3, 4)),
        Segment(class_id=9, instance=0, layer=2, value=9, area=2, box=(1, 0, 3, 1)),
    ]
    assert [s.instance for s in find_segments(layer, 0, {3: 1, 9: 1}, instances=True)] == [3, 9]
    assert find_segments(np.full((2, 2), 255, np.uint8), 0, None, instances=False) == []


def test_layer_survives_its_encoding():
    layer = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
    np.testing.assert_array_equal(decode_layer(encode_layer(layer)), layer)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pixels_written_by_hand_come_back_red_green_and_blue_as_they_are_stored(tmp_path, orientation):
    """Written by Pillow, not by the decoder's own library, with an EXIF tag that is not heeded."""
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]], [[1, 2, 3], [0, 0, 0]]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode_image((tmp_path / "a.png").read_bytes()), pixels)
    large = np.kron(pixels[:2], np.ones((32, 32, 1), np.uint8))
    Image.fromarray(large).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    found = decode_image((tmp_path / "a.jpg").read_bytes())
    assert found.shape == large.shape and np.abs(found.astype(int) - large).max() <= 4


def test_bytes_that_are_no_image_are_refused():
    with pytest.raises(DatasetError, match="not a JPEG or PNG"):
        decode_image(b"no image")


def test_natural_order_and_shuffling_by_name():
    assert sorted(["f10", "f9", "f", "10", "9a"], key=natural_key) == ["9a", "10", "f", "f9", "f10"]
    letters = [*"abcdefghij"]
    assert sorted(spread(letters)) == letters != spread(letters)
    assert spread(letters) == spread(reversed(letters))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_read_as_it_is_turned_upright(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    read = read_upright(tmp_path / "a.png")
    np.testing.assert_array_equal(read, decode_image(turn_upright((tmp_path / "a.png").read_bytes(), orientation)))
    assert upright_size(tmp_path / "a.png") == read.shape[:2] == ((5, 3) if orientation >= 5 else (3, 5))


def test_16_bits_are_scaled(tmp_path):
    Image.fromarray(np.array([[0, 65535], [32768, 256]], np.uint16)).save(tmp_path / "a.png")
    assert read_upright(tmp_path / "a.png")[..., 0].tolist() == [[0, 255], [128, 1]]
