"""Annotations of COCO: polygons and run lengths become labels, and what is not sound is told in one line."""

import copy

import numpy as np
import pytest

from guided_jax.annotate.files.imports import read_coco
from guided_jax.masks.coco import objects_of, to_coco

LABELS = np.zeros((6, 8), np.uint8)
LABELS[1:4, 2:5], LABELS[5, 7] = 1, 2
IMAGE = {"file_name": "folder/a.jpg", "height": 6, "width": 8}
WHOLE = to_coco([(IMAGE, objects_of(LABELS))], {1: "dog", 2: ""}, {})


def labels_of(values: dict) -> np.ndarray:
    ((mark,),) = (image.marks for image in read_coco(values, "x").images.values())
    return mark.labels()


def test_what_is_exported_is_read_back():
    read = read_coco(WHOLE, "x")
    assert read.objects == {1: "dog", 2: "2"} and list(read.images) == ["a.jpg"]
    np.testing.assert_array_equal(labels_of(WHOLE), LABELS)
    assert [each["bbox"] for each in WHOLE["annotations"]] == [[2, 1, 3, 3], [7, 5, 1, 1]]
    assert [(each["id"], each["image_id"], each["area"]) for each in WHOLE["annotations"]] == [(1, 1, 9), (2, 1, 1)]


@pytest.mark.parametrize(
    "segmentation", [[[2, 1, 5, 1, 5, 4, 2, 4]], {"size": [6, 8], "counts": [13, 3, 3, 3, 3, 3, 20]}]
)
def test_polygons_and_plain_run_lengths(segmentation):
    values = copy.deepcopy(WHOLE)
    values["annotations"] = [{**values["annotations"][0], "segmentation": segmentation}]
    np.testing.assert_array_equal(labels_of(values), np.where(LABELS == 1, 1, 0))


def test_two_objects_of_a_category_are_one_and_unused_categories_none():
    values = copy.deepcopy(WHOLE)
    values["categories"] = [{"id": 7, "name": "dog"}, {"id": 9, "name": "cat"}]
    for each in values["annotations"]:
        each["category_id"] = 7
    assert read_coco(values, "x").objects == {1: "dog"}
    np.testing.assert_array_equal(labels_of(values), LABELS > 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{"id": 1}]}, "x: is no file of COCO: KeyError 'file_name'"),
        ({"annotations": [{}]}, "x: is no file of COCO: KeyError 'category_id'"),
        ({"annotations": 3}, "x: is no file of COCO: TypeError"),
        ({"annotations": [{"category_id": 1, "image_id": 5, "segmentation": []}]}, "x: is no file of COCO: KeyError 5"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "x: two categories have the same name"),
        ({"images": [{**IMAGE, "id": 1, "height": 10**9, "width": 10**9}]}, "x: the image 'a.jpg' is 1000000000x"),
        ({"images": [{**IMAGE, "id": 1, "height": -1}]}, "x: the size of image 'a.jpg' is"),
        ({"annotations": [{"category_id": 1, "image_id": 1, "segmentation": {"size": [6, 8], "counts": [1]}}]}, "x: "),
        ({"annotations": [{"category_id": 1, "image_id": 1, "segmentation": {"size": [8, 6], "counts": [48]}}]}, "x: "),
        ({"annotations": [{"category_id": 1, "image_id": 1, "segmentation": "no"}]}, "x: "),
        ({"annotations": [{"category_id": 1, "image_id": 1, "segmentation": [[1, 2]]}]}, "x: "),
    ],
)
def test_what_is_not_sound_is_told_in_one_line(change, message):
    with pytest.raises(ValueError) as refused:
        read_coco({**WHOLE, **change}, "x")
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)
