from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.davis import Davis
from data_pipelines.datasets.record import DatasetError, Segment, decode_layer

TWO_OBJECTS = np.array([[0, 1, 1, 0], [2, 2, 255, 0]])
SECOND_ONLY = np.array([[0, 0, 0, 0], [2, 2, 2, 0]])
FIGURE = np.array([[0, 255, 255, 0], [0, 255, 0, 0]])


@pytest.fixture
def davis(tmp_path, write_image, write_mask) -> Path:
    """A clip of 2017 with two objects, and a clip of 2016 whose second frame is empty."""
    root = tmp_path / "DAVIS"
    masks = {"dogs": [TWO_OBJECTS, SECOND_ONLY], "bear": [FIGURE, FIGURE * 0, FIGURE]}
    for clip, frames in masks.items():
        for number, mask in enumerate(frames):
            write_image(root / "JPEGImages" / "480p" / clip / f"{number:05d}.jpg", 2, 4)
            write_mask(root / "Annotations" / "480p" / clip / f"{number:05d}.png", mask, palette=clip == "dogs")
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
    (root / "ImageSets" / "2017" / "train.txt").write_text("dogs\nbear\n")
    (root / "ImageSets" / "2016" / "train.txt").write_text(
        "".join(f"/JPEGImages/480p/bear/{i:05d}.jpg /Annotations/480p/bear/{i:05d}.png \n" for i in range(3))
    )
    (root / "ImageSets" / "2016" / "val.txt").write_text("/JPEGImages/480p/bear/00000.jpg /nowhere/00000.png\n")
    return root


def test_objects_keep_their_ids_over_the_frames_of_a_clip(davis, read, check_segments):
    records = read(Davis, davis, "train")
    first, second = records["dogs/00000"], records["dogs/00001"]
    for record in records.values():
        check_segments(record)
    np.testing.assert_array_equal(decode_layer(first.layers[0]), TWO_OBJECTS)
    assert first.segments == (Segment(0, 1, 0, 1, 2, (0, 1, 1, 3)), Segment(0, 2, 0, 2, 2, (1, 0, 2, 2)))
    assert [segment.instance for segment in second.segments] == [2]
    assert [(first.video, first.frame), (second.video, second.frame)] == [("dogs", 0), ("dogs", 1)]


def test_255_is_the_object_where_a_clip_has_no_other_value(davis, read):
    records = read(Davis, davis, "train")
    np.testing.assert_array_equal(decode_layer(records["bear/00002"].layers[0]), FIGURE // 255)
    assert records["bear/00002"].segments[0].instance == 1
    assert records["bear/00001"].segments == ()


def test_255_is_void_beside_a_single_object(davis, read, write_mask):
    write_mask(davis / "Annotations" / "480p" / "bear" / "00002.png", FIGURE // 255)
    records = read(Davis, davis, "train2016")
    np.testing.assert_array_equal(decode_layer(records["bear/00000"].layers[0]), FIGURE)
    assert [len(record.segments) for record in records.values()] == [0, 0, 1]


def test_lists_of_2016_name_pairs_of_files(davis, read):
    records = read(Davis, davis, "train2016")
    assert list(records) == ["bear/00000", "bear/00001", "bear/00002"]
    assert [record.frame for record in records.values()] == [0, 1, 2]
    assert {record.video for record in records.values()} == {"bear"}


def test_frames_stay_in_order_and_bytes_stay_as_they_are(davis, read):
    records = read(Davis, davis, "train2017")
    assert list(records) == ["dogs/00000", "dogs/00001", "bear/00000", "bear/00001", "bear/00002"]
    for name, record in records.items():
        assert record.image == (davis / "JPEGImages" / "480p" / f"{name}.jpg").read_bytes()


def test_frames_are_ordered_by_their_numbers(davis, read):
    names = dict(zip(("00000", "00001", "00002"), ("9", "10", "100"), strict=True))
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        clip = davis / folder / "480p" / "bear"
        for old, new in names.items():
            (clip / f"{old}.{suffix}").rename(clip / f"{new}.{suffix}")
    records = read(Davis, davis, "train2017")
    assert [records[f"bear/{name}"].frame for name in names.values()] == [0, 1, 2]


def test_a_split_without_year_is_that_of_2017_where_there_is_one(davis, read):
    assert "dogs/00000" in read(Davis, davis, "train")
    with pytest.raises(DatasetError, match=r"1 of the 2 files that .*2016/val\.txt asks for .*nowhere/00000\.png"):
        read(Davis, davis, "val")


def test_missing_clip_and_missing_data_set_say_what_to_download(tmp_path, davis, read):
    (davis / "ImageSets" / "2017" / "train.txt").write_text("cows\n")
    with pytest.raises(DatasetError, match=r"480p/cows is missing; download DAVIS-2017-trainval-480p\.zip"):
        read(Davis, davis, "train")
    with pytest.raises(DatasetError, match=r"https://davischallenge\.org/davis2017/code\.html"):
        read(Davis, tmp_path / "nowhere", "train")


def test_unknown_split_names_those_that_there_are(davis, read):
    with pytest.raises(DatasetError, match="'test'; there are: train, val, train2016, val2016, train2017"):
        read(Davis, davis, "test")


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["train2016", "train2017"])
def test_real_clip_reads_back_pixel_for_pixel(real_data, read, check_segments, split):
    root = real_data / "data" / "DAVIS"
    records = list(read(Davis, root, split).values())
    assert [record.frame for record in records] == list(range(70))
    for record in records:
        with Image.open(root / "Annotations" / "480p" / f"{record.image_id}.png") as mask:
            np.testing.assert_array_equal(decode_layer(record.layers[0]), np.array(mask) // 255)
        check_segments(record)
