import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from data_pipelines.datasets.coco import CocoInstances, pack
from data_pipelines.datasets.record import DatasetError, decode_layer

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
SQUARE = [[2.0, 2.0, 12.0, 2.0, 12.0, 12.0, 2.0, 12.0]]
OVERLAPPING = [[8.0, 8.0, 18.0, 8.0, 18.0, 18.0, 8.0, 18.0]]
APART = [[20.0, 2.0, 26.0, 2.0, 26.0, 8.0], [20.0, 10.0, 26.0, 10.0, 26.0, 16.0]]


def block(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((20, 30), np.uint8)
    mask[rows, columns] = 1
    return mask


def compressed(mask: np.ndarray) -> dict:
    runs = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict:
    """Lengths of runs down the columns, the first of zeros."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat[0] else []) + lengths}


def annotation(number: int, image: int, category: int, segmentation, *, crowd: int = 0) -> dict:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": crowd,
        "bbox": [0, 0, 1, 1],
        "area": 1.0,
    }


@pytest.fixture
def coco(tmp_path, write_image) -> Path:
    root = tmp_path / "coco"
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 20, "width": 30} for i in (1, 2, 3)]
    annotations = [
        annotation(14, 1, 18, compressed(block(slice(0, 5), slice(13, 19)))),
        annotation(11, 1, 1, SQUARE),
        annotation(12, 1, 90, OVERLAPPING),
        annotation(13, 1, 18, APART),
        annotation(15, 1, 1, uncompressed(block(slice(15, 20), slice(0, 8)))),
        annotation(16, 1, 1, uncompressed(block(slice(0, 4), slice(0, 30))), crowd=1),
        annotation(17, 1, 1, uncompressed(block(slice(16, 20), slice(20, 30))), crowd=1),
        annotation(21, 2, 1, compressed(block(slice(3, 9), slice(3, 9))), crowd=1),
    ]
    for entry in images:
        write_image(root / "train2017" / entry["file_name"], 20, 30, grey=True)
    (root / "annotations").mkdir()
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return root


def compare_with_pycocotools(path: Path, records) -> int:
    """Compares every instance with `COCO.annToMask`; returns how many there were."""
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(path)
    classes, count = {category: i for i, category in enumerate(sorted(api.cats), start=1)}, 0
    for entry in api.imgs.values():
        drawn = api.loadAnns(sorted(api.getAnnIds(entry["id"], iscrowd=False)))
        name = Path(entry["file_name"]).stem
        if not drawn:
            assert name not in records
            continue
        record = records[name]
        layers = [decode_layer(layer) for layer in record.layers]
        segments = {segment.instance: segment for segment in record.segments}
        for number, each in enumerate(drawn, start=1):
            truth = api.annToMask(each).astype(bool)
            if not truth.any():
                assert number not in segments
                continue
            segment = segments.pop(number)
            np.testing.assert_array_equal(layers[segment.layer] == segment.value, truth)
            assert segment.class_id == classes[each["category_id"]]
            count += 1
        assert not segments
        crowds = [api.annToMask(each) for each in api.loadAnns(api.getAnnIds(entry["id"], iscrowd=True))]
        known = np.logical_or.reduce([(layer > 0) & (layer < 255) for layer in layers])
        void = (np.sum(crowds, axis=0) > 0 if crowds else np.zeros_like(known)) & ~known
        for layer in layers:
            np.testing.assert_array_equal(layer == 255, void)
    return count


def test_polygons_and_runs_agree_with_pycocotools(coco, read, check_segments):
    records = read(CocoInstances, coco, "train2017")
    for record in records.values():
        check_segments(record)
    assert compare_with_pycocotools(coco / "annotations" / "instances_train2017.json", records) == 5


def test_overlap_opens_a_layer_and_the_rest_returns_to_the_first(coco, read):
    record = read(CocoInstances, coco, "train2017")["000000000001"]
    assert {segment.instance: segment.layer for segment in record.segments} == {1: 0, 2: 1, 3: 0, 4: 0, 5: 0}
    assert {segment.instance: segment.class_id for segment in record.segments} == {1: 1, 2: 3, 3: 2, 4: 2, 5: 1}


def test_crowd_is_void_in_every_layer_except_on_instances():
    instances = [np.zeros((2, 5), bool) for _ in range(2)]
    instances[0][0, :3] = True
    instances[1][0, 2:4] = True
    crowd = np.zeros((2, 5), bool)
    crowd[:, 1:] = True
    layers, segments = pack(instances, [4, 5], crowd)
    np.testing.assert_array_equal(layers[0], [[1, 1, 1, 0, 255], [0, 255, 255, 255, 255]])
    np.testing.assert_array_equal(layers[1], [[0, 0, 1, 1, 255], [0, 255, 255, 255, 255]])
    assert [(segment.layer, segment.value, segment.class_id, segment.area) for segment in segments] == [
        (0, 1, 4, 3),
        (1, 1, 5, 2),
    ]


def test_255th_instance_of_a_layer_goes_into_the_next():
    masks = [np.zeros((1, 260), bool) for _ in range(256)]
    for i, mask in enumerate(masks):
        mask[0, i] = i != 3  # the fourth has no pixels and takes no value
    layers, segments = pack(masks, [1] * 256, np.zeros((1, 260), bool))
    assert [int(layer.max()) for layer in layers] == [254, 1]
    assert [segment.instance for segment in segments] == [*range(1, 4), *range(5, 257)]


def test_images_with_nothing_but_crowds_are_left_out(coco, read):
    assert list(read(CocoInstances, coco, "train2017")) == ["000000000001"]


def test_class_names_are_in_the_order_of_their_ids(coco):
    builder = CocoInstances(path=coco, data_dir=str(coco.parent / "built"))
    builder.download_and_prepare()
    assert builder.info.metadata["class_names"] == ["person", "dog", "toothbrush"]


def test_missing_parts_say_what_to_download(tmp_path, coco, read):
    with pytest.raises(
        DatasetError, match=r"nowhere/annotations is missing; download train2017\.zip.*cocodataset\.org"
    ):
        read(CocoInstances, tmp_path / "nowhere", "train2017")
    (coco / "train2017" / "000000000001.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 of the 1 files that .*instances_train2017\.json asks for are missing"):
        read(CocoInstances, coco, "train2017")


def test_file_cut_short_by_a_broken_download_is_named(coco, read):
    path = coco / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DatasetError, match=r"instances_train2017\.json is not whole"):
        read(CocoInstances, coco, "train2017")


def test_image_of_another_size_is_refused(coco, read, write_image):
    write_image(coco / "train2017" / "000000000001.jpg", 21, 30)
    with pytest.raises(DatasetError, match=r"000000000001\.jpg is 30 x 21 pixels, but its annotations are for 30 x 20"):
        read(CocoInstances, coco, "train2017")


@pytest.mark.real_data
def test_real_instances_agree_with_pycocotools(real_data, read, check_segments, tmp_path):
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").symlink_to(real_data / "data" / "coco" / "train2017")
    file = root / "annotations" / "instances_train2017.json"
    content = json.loads((real_data / "data" / "coco" / "annotations" / file.name).read_text())
    images = content["images"][:150]
    kept = {image["id"] for image in images}
    annotations = [each for each in content["annotations"] if each["image_id"] in kept]
    file.write_text(json.dumps({**content, "images": images, "annotations": annotations}))
    records = read(CocoInstances, root, "train2017")
    for record in records.values():
        check_segments(record)
        assert record.image == (root / "train2017" / f"{record.image_id}.jpg").read_bytes()
    assert compare_with_pycocotools(file, records) > 1000
