from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.record import DatasetError, Segment, decode_image, decode_layer
from data_pipelines.datasets.voc import CLASSES, PascalVoc, majority_classes

CLASS_MAP = np.array([[0, 0, 255, 7, 7], [0, 7, 255, 7, 7], [20, 20, 20, 0, 0], [20, 20, 20, 255, 0]])
OBJECT_MAP = np.array([[0, 0, 255, 2, 2], [0, 2, 255, 2, 2], [1, 1, 3, 0, 0], [1, 1, 3, 255, 0]])


@pytest.fixture
def voc(tmp_path, write_image, write_mask) -> Path:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000001\n2007_000002\n")
    (lists / "val.txt").write_text("2007_000003\r\n\r\n2007_000003\r\n")
    for number in (1, 2, 3):
        write_image(root / "JPEGImages" / f"2007_00000{number}.jpg", 4, 5)
        write_mask(root / "SegmentationClass" / f"2007_00000{number}.png", CLASS_MAP, palette=True)
    write_mask(root / "SegmentationObject" / "2007_000001.png", OBJECT_MAP, palette=True)
    return root


def test_reads_palette_indices_of_classes_and_instances(voc, read, check_segments):
    records = read(PascalVoc, voc, "train")
    assert sorted(records) == ["2007_000001", "2007_000002"]
    for record in records.values():
        check_segments(record)
    both, classes_only = records["2007_000001"], records["2007_000002"]
    np.testing.assert_array_equal(decode_layer(both.layers[0]), CLASS_MAP)
    np.testing.assert_array_equal(decode_layer(both.layers[1]), OBJECT_MAP)
    assert both.segments == (
        Segment(class_id=7, instance=0, layer=0, value=7, area=5, box=(0, 1, 2, 5)),
        Segment(class_id=20, instance=0, layer=0, value=20, area=6, box=(2, 0, 4, 3)),
        Segment(class_id=20, instance=1, layer=1, value=1, area=4, box=(2, 0, 4, 2)),
        Segment(class_id=7, instance=2, layer=1, value=2, area=5, box=(0, 1, 2, 5)),
        Segment(class_id=20, instance=3, layer=1, value=3, area=2, box=(2, 2, 4, 3)),
    )
    assert len(classes_only.layers) == 1
    assert [segment.instance for segment in classes_only.segments] == [0, 0]


def test_image_is_the_files_own_bytes(voc, read):
    record = read(PascalVoc, voc, "train")["2007_000002"]
    assert record.image == (voc / "JPEGImages" / "2007_000002.jpg").read_bytes()
    assert (record.height, record.width, record.video, record.frame) == (4, 5, "", 0)


def test_list_with_blank_and_repeated_lines_names_an_image_once(voc, read):
    assert list(read(PascalVoc, voc, "val")) == ["2007_000003"]


def test_augmented_mask_is_preferred_where_there_is_one(voc, read, write_mask):
    augmented = np.full((4, 5), 3)
    write_mask(voc / "SegmentationClassAug" / "2007_000002.png", augmented)
    records = read(PascalVoc, voc, "train")
    np.testing.assert_array_equal(decode_layer(records["2007_000002"].layers[0]), augmented)
    np.testing.assert_array_equal(decode_layer(records["2007_000001"].layers[0]), CLASS_MAP)


def test_class_of_an_instance_is_the_mode_of_the_classes_under_it_without_void():
    objects = np.array([[1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2], [3, 3, 0, 0, 0, 0]], np.uint8)
    classes = np.array([[255, 255, 255, 9, 9, 4], [0, 0, 0, 0, 6, 5], [255, 0, 9, 9, 9, 9]], np.uint8)
    modes = majority_classes(objects, classes)
    assert (modes[1], modes[2], modes[3]) == (9, 5, 0)


def test_grey_jpeg_is_read_as_three_equal_channels(voc, read, write_image):
    path = write_image(voc / "JPEGImages" / "2007_000003.jpg", 4, 5, grey=True)
    image = decode_image(read(PascalVoc, voc, "val")["2007_000003"].image)
    np.testing.assert_array_equal(image, np.repeat(np.array(Image.open(path))[..., None], 3, axis=2))


def test_missing_data_set_says_what_to_download_and_where_to_put_it(tmp_path, read):
    where = str(tmp_path / "VOC2012")
    with pytest.raises(DatasetError, match=rf"VOCtrainval_11-May-2012\.tar from http://host\.robots.*so that {where}"):
        read(PascalVoc, tmp_path / "VOC2012", "train")


def test_missing_images_and_masks_are_counted(voc, read):
    (voc / "JPEGImages" / "2007_000001.jpg").unlink()
    (voc / "SegmentationClass" / "2007_000002.png").unlink()
    with pytest.raises(DatasetError, match=r"2 of the 4 files that .*train\.txt asks for .*2007_000001\.jpg; download"):
        read(PascalVoc, voc, "train")


def test_unknown_split_names_those_that_there_are(voc, read):
    with pytest.raises(DatasetError, match="pascal_voc has no split 'test'; there are: train, val"):
        read(PascalVoc, voc, "test")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((5, 5)), r"2007_000003\.png is 5 x 5 pixels, but its image .*2007_000003\.jpg is 5 x 4"),
        (np.full((4, 5), 21), r"2007_000003\.png holds the value 21; a class map of VOC has 0 to 20"),
        (np.dstack([CLASS_MAP, CLASS_MAP, CLASS_MAP * 0]), r"2007_000003\.png is an RGB image"),
    ],
)
def test_mask_that_cannot_be_right_is_refused(voc, read, write_mask, mask, message):
    write_mask(voc / "SegmentationClass" / "2007_000003.png", mask)
    with pytest.raises(DatasetError, match=message):
        read(PascalVoc, voc, "val")


def test_broken_image_and_broken_mask_are_named(voc, read):
    mask = voc / "SegmentationClass" / "2007_000003.png"
    mask.write_bytes(mask.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"2007_000003\.png is not an image that can be read"):
        read(PascalVoc, voc, "val")
    (voc / "JPEGImages" / "2007_000003.jpg").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"2007_000003\.jpg is not an image that can be read"):
        read(PascalVoc, voc, "val")


def test_classes_are_in_the_order_of_voc():
    assert len(CLASSES) == 20
    assert (CLASSES[0], CLASSES[7], CLASSES[14], CLASSES[19]) == ("aeroplane", "cat", "person", "tvmonitor")


@pytest.mark.real_data
def test_real_val_reads_back_pixel_for_pixel(real_data, read, check_segments):
    root = real_data / "data" / "VOCdevkit" / "VOC2012"
    records = read(PascalVoc, root, "val")
    assert sorted(records) == sorted((root / "ImageSets/Segmentation/val.txt").read_text().split())
    for name, record in records.items():
        with Image.open(root / "SegmentationClassAug" / f"{name}.png") as mask:
            np.testing.assert_array_equal(decode_layer(record.layers[0]), np.array(mask))
        assert record.image == (root / "JPEGImages" / f"{name}.jpg").read_bytes()
    for record in list(records.values())[:50]:
        check_segments(record)
