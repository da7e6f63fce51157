from pathlib import Path

import numpy as np
import pytest
import scipy.io

from data_pipelines.datasets.record import DatasetError, decode_layer
from data_pipelines.datasets.sbd import Sbd

CLASS_MAP = np.array([[0, 15, 15, 15], [0, 15, 15, 9], [0, 0, 9, 9]], np.uint8)
OBJECT_MAP = np.array([[0, 1, 2, 2], [0, 1, 2, 3], [0, 0, 3, 3]], np.uint8)
CATEGORIES = np.array([[15], [15], [9]], np.uint8)


def write_struct(path: Path, name: str, **fields):
    """As MATLAB saves SBD's: a 1 x 1 struct whose Boundaries are a cell of sparse matrices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((len(CATEGORIES), 1), object)
    for i in range(len(CATEGORIES)):
        boundaries[i, 0] = scipy.sparse.csc_matrix(np.eye(3, 4))
    scipy.io.savemat(path, {name: {**fields, "Boundaries": boundaries}}, do_compression=True)


@pytest.fixture
def sbd(tmp_path, write_image) -> Path:
    root = tmp_path / "benchmark_RELEASE"
    names = {"train": ["2008_000001", "2008_000002", "2008_000003"], "val": ["2008_000004", "2008_000005"]}
    for split, listed in names.items():
        for name in listed:
            write_image(root / "dataset" / "img" / f"{name}.jpg", 3, 4)
            write_struct(root / "dataset" / "cls" / f"{name}.mat", "GTcls", Segmentation=CLASS_MAP)
            write_struct(
                root / "dataset" / "inst" / f"{name}.mat", "GTinst", Segmentation=OBJECT_MAP, Categories=CATEGORIES
            )
        (root / "dataset" / f"{split}.txt").write_text("\n".join(listed) + "\n")
    return root


@pytest.fixture
def voc(sbd, write_image, write_mask) -> Path:
    """VOC's train shares an image with SBD's train; its val shares one with SBD's train and one with SBD's val."""
    root = sbd.parent / "VOCdevkit" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000001\n2008_000001\n")
    (lists / "val.txt").write_text("2007_000002\n2008_000002\n2008_000004\n")
    for name in ("2007_000001", "2008_000001"):
        write_image(root / "JPEGImages" / f"{name}.jpg", 3, 4)
        write_mask(root / "SegmentationClass" / f"{name}.png", np.full((3, 4), 2), palette=True)
        write_mask(root / "SegmentationObject" / f"{name}.png", np.full((3, 4), 1), palette=True)
    return root


@pytest.mark.parametrize("path", ["benchmark_RELEASE", "benchmark_RELEASE/dataset"])
def test_reads_class_and_instance_files(sbd, read, check_segments, path):
    records = read(Sbd, sbd.parent / path, "train")
    assert sorted(records) == ["2008_000001", "2008_000002", "2008_000003"]
    for record in records.values():
        check_segments(record)
        np.testing.assert_array_equal(decode_layer(record.layers[0]), CLASS_MAP)
        np.testing.assert_array_equal(decode_layer(record.layers[1]), OBJECT_MAP)
        found = [(segment.class_id, segment.instance, segment.area) for segment in record.segments]
        assert found == [(9, 0, 3), (15, 0, 5), (15, 1, 2), (15, 2, 3), (9, 3, 3)]


def test_trainaug_prefers_the_masks_of_voc_and_holds_none_of_its_val(sbd, voc, read):
    records = read(Sbd, sbd, "trainaug")
    assert sorted(records) == ["2007_000001", "2008_000001", "2008_000003", "2008_000005"]
    for name, record in records.items():
        is_fine = (decode_layer(record.layers[0]) == 2).all()
        assert is_fine == (name in ("2007_000001", "2008_000001"))


def test_trainaug_without_voc_says_where_to_put_it(sbd, read):
    with pytest.raises(DatasetError, match=rf"PASCAL VOC 2012 first; put it at {sbd.parent}/VOCdevkit/VOC2012"):
        read(Sbd, sbd, "trainaug")


def test_missing_parts_say_what_to_download(tmp_path, sbd, read):
    with pytest.raises(DatasetError, match=r"nowhere/dataset is missing; download benchmark\.tgz from .*/SBD/download"):
        read(Sbd, tmp_path / "nowhere", "train")
    (sbd / "dataset" / "inst" / "2008_000003.mat").unlink()
    with pytest.raises(DatasetError, match=r"1 of the 9 files that .*train\.txt asks for .*inst/2008_000003\.mat"):
        read(Sbd, sbd, "train")


def test_file_of_another_kind_is_named(sbd, read):
    scipy.io.savemat(sbd / "dataset" / "cls" / "2008_000004.mat", {"other": np.eye(3)})
    with pytest.raises(DatasetError, match=r"cls/2008_000004\.mat is not a file of SBD with the struct GTcls"):
        read(Sbd, sbd, "val")
    (sbd / "dataset" / "cls" / "2008_000004.mat").write_bytes(b"torn")
    with pytest.raises(DatasetError, match=r"cls/2008_000004\.mat is not a file of SBD"):
        read(Sbd, sbd, "val")


def test_instance_without_a_category_is_refused(sbd, read):
    for name in ("2008_000004", "2008_000005"):
        write_struct(
            sbd / "dataset" / "inst" / f"{name}.mat", "GTinst", Segmentation=OBJECT_MAP, Categories=CATEGORIES[:2]
        )
    with pytest.raises(DatasetError, match="shows instance 3 but names the categories of 2"):
        read(Sbd, sbd, "val")
