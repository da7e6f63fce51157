"""COCO files with something wrong: one line with the file and the image or annotation, never a lost object."""

import copy
import gzip
import json

import numpy as np
import pytest

from data_pipelines.datasets.coco import rasterise
from data_pipelines.datasets.coco_checks import check_segmentation
from data_pipelines.datasets.record import DatasetError
from tests.data_pipelines.bad_inputs.originals import (
    SIDE,
    SQUARE,
    coco_content,
    layers_of,
    make_coco,
    open_text,
    records_of,
)

GONE = object()


def change(where: str, number: int, **fields):
    """A content with other fields in one entry; GONE takes a field away."""

    def make():
        content = coco_content()
        entry = content[where][number]
        for name, value in fields.items():
            entry[name] = value
            if value is GONE:
                del entry[name]
        return content

    return make


def double(where: str, **fields):
    def make():
        content = coco_content()
        content[where].append({**copy.deepcopy(content[where][0]), **fields})
        return content

    return make


def annotated(segmentation):
    return change("annotations", 0, segmentation=segmentation)


RUNS = {"size": [SIDE, SIDE], "counts": [0, SIDE, SIDE * SIDE - SIDE]}

CASES = [
    ("a list", lambda: [], r"is not an instance file of COCO: an object with the lists"),
    ("null", lambda: None, "is not an instance file of COCO"),
    ("a number", lambda: 3, "is not an instance file of COCO"),
    ("null for images", lambda: {**coco_content(), "images": None}, "is not an instance file of COCO"),
    ("an object for annotations", lambda: {**coco_content(), "annotations": {}}, "is not an instance file of COCO"),
    ("a number among images", lambda: {**coco_content(), "images": [1]}, "images holds 1, which is no object"),
    ("null among annotations", lambda: {**coco_content(), "annotations": [None]}, "annotations holds None"),
    ("cut short", lambda: json.dumps(coco_content()).encode()[:-9], "is not whole"),
    ("gzip", lambda: gzip.compress(json.dumps(coco_content()).encode()), "json is compressed; unpack it"),
    ("zip", lambda: b"PK\x03\x04" + bytes(30), "json is compressed; unpack it"),
    ("latin-1", lambda: json.dumps(coco_content()).replace('"a"', '"\xe9"').encode("latin-1"), r"is not UTF-8 \(byte"),
    ("deep", lambda: b"[" * 200_000, "is not whole"),
    ("image without id", change("images", 0, id=GONE), r"image number 0 \(from 0\) has no id"),
    ("image of id null", change("images", 1, id=None), r"image number 1 \(from 0\) has no id"),
    ("image without height", change("images", 0, height=GONE), "image 1: height and width must be whole numbers"),
    ("image of width 0", change("images", 0, width=0), "image 1: height and width must be whole numbers"),
    ("image of height true", change("images", 0, height=True), "image 1: height and width must be whole numbers"),
    ("image without file_name", change("images", 0, file_name=GONE), "image 1: it has no file_name"),
    ("image of file_name 3", change("images", 0, file_name=3), "image 1: it has no file_name"),
    ("absolute file_name", change("images", 0, file_name="/etc/a.jpg"), "image 1: file_name '/etc/a.jpg' leads out"),
    ("file_name above", change("images", 0, file_name="x/../../a.jpg"), "image 1: file_name .* leads out of"),
    ("file_name of Windows", change("images", 0, file_name="C:\\a.jpg"), "image 1: file_name .* leads out"),
    ("image id twice", double("images", file_name="3.jpg"), "image 1: its id occurs twice"),
    ("file_name twice", double("images", id=3), r"image 3: its file_name '1\.jpg' has the same name as that of image"),
    ("file_name but for suffix", double("images", id=3, file_name="1.png"), "has the same name as that of image 1"),
    ("image id as text", change("images", 0, id="1"), r"annotation 11: no image has the id 1 that its image_id names"),
    ("annotation without id", change("annotations", 0, id=GONE), r"annotation number 0 \(from 0\): it has no id"),
    ("annotation id as text", change("annotations", 1, id="12"), "annotation '12': its id is a number or a text"),
    ("annotation id twice", double("annotations"), "annotation 11: its id occurs twice"),
    ("orphan", change("annotations", 0, image_id=7), "annotation 11: no image has the id 7 that its image_id names"),
    ("image_id as text", change("annotations", 0, image_id="1"), "annotation 11: no image has the id '1'"),
    ("image_id as a list", change("annotations", 0, image_id=[1]), r"annotation 11: its image_id is \[1\], and"),
    ("without category", change("annotations", 0, category_id=GONE), "annotation 11: its category_id is None"),
    ("unknown category", change("annotations", 0, category_id=4), "annotation 11: no category has the id 4"),
    ("two categories of one name", change("categories", 1, name=" a"), "categories 3 and 5 have the same name 'a'"),
    ("no annotation", lambda: {**coco_content(), "annotations": []}, "none of its 2 images has an annotation that is"),
    ("no image", lambda: {**coco_content(), "images": [], "annotations": []}, "none of its 0 images has an annotation"),
    ("crowds alone", lambda: {**coco_content(), "annotations": coco_content()["annotations"][1:2]}, "that is no crowd"),
    ("a name too long", change("images", 0, file_name="x" * 5000), "1 of the 2 files that .* asks for are"),
    ("category twice", double("categories"), "two categories have the id 3"),
    ("category without name", change("categories", 0, name=GONE), "category 3 has no name"),
    ("category without id", change("categories", 1, id=GONE), r"category number 1 \(from 0\) has no id"),
    ("crowd as text", change("annotations", 0, iscrowd="0"), "annotation 11: iscrowd is '0', and must be the num"),
    ("crowd of 2", change("annotations", 0, iscrowd=2), "annotation 11: iscrowd is 2"),
    ("crowd null", change("annotations", 0, iscrowd=None), "annotation 11: iscrowd is None"),
    ("no segmentation", annotated(GONE), "annotation 11: its segmentation is None; it must be a list"),
    ("empty segmentation", annotated([]), "annotation 11: its segmentation is empty; a box alone is no mask"),
    ("text", annotated("x"), "annotation 11: its segmentation is 'x'"),
    ("flat", annotated(SQUARE), "annotation 11: its segmentation must be a list of polygons, each a list"),
    ("nested twice", annotated([[SQUARE]]), r"annotation 11: a polygon has 1 numbers; it needs x and y of 3 points"),
    ("a box", annotated([[1, 1, 5, 5]]), "annotation 11: a polygon has 4 numbers"),
    ("odd", annotated([SQUARE[:-1]]), "annotation 11: a polygon has 7 numbers"),
    ("NaN", annotated([[float("nan"), *SQUARE[1:]]]), "annotation 11: a polygon has the coordinate nan"),
    ("infinite", annotated([[*SQUARE[:-1], float("inf")]]), "annotation 11: a polygon has the coordinate inf"),
    ("1e18", annotated([[1e18, *SQUARE[1:]]]), "annotation 11: a polygon has the coordinate 1e.18, far outside"),
    ("-1e18", annotated([[*SQUARE[:-1], -1e18]]), "annotation 11: a polygon has the coordinate -1e.18"),
    ("large number", annotated([[10**400, *SQUARE[1:]]]), "annotation 11: a polygon has the coordinate 1000"),
    ("null in a polygon", annotated([[None, *SQUARE[1:]]]), "annotation 11: a polygon holds None, which is no number"),
    ("RLE without counts", annotated({"size": [SIDE, SIDE]}), "annotation 11: the counts of its RLE must be whole"),
    ("RLE without size", annotated({"counts": RUNS["counts"]}), "annotation 11: its RLE has the size None"),
    ("RLE of another size", annotated({**RUNS, "size": [SIDE, 9]}), r"annotation 11: its RLE has the size \[24, 9\]"),
    ("RLE too short", annotated({**RUNS, "counts": [3, 4]}), "counts of its RLE sum to 7, not to 24 x 24 = 576"),
    ("RLE too long", annotated({**RUNS, "counts": [0, 577]}), "counts of its RLE sum to 577"),
    ("RLE below 0", annotated({**RUNS, "counts": [-1, 577]}), "must be whole numbers from 0 on"),
    ("RLE of fractions", annotated({**RUNS, "counts": [0.5, 575.5]}), "must be whole numbers from 0 on"),
    ("compressed RLE too short", annotated({**RUNS, "counts": "52"}), "counts of its RLE sum to 7"),
    ("compressed RLE of blanks", annotated({**RUNS, "counts": "  "}), "are no compressed runs"),
    ("compressed RLE cut", annotated({**RUNS, "counts": "PPPP"}), "are no compressed runs"),
    ("image of another size", change("images", 0, width=20), r"\[24, 24\], its image \[24, 20\]|is 24 x 24 pixels"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_a_file_is_refused_by_image_or_annotation(tmp_path, make, message):
    make_coco(tmp_path, make())
    with pytest.raises(DatasetError, match=message) as caught:
        open_text("coco:train2017", tmp_path)
    assert "instances_train2017.json" in str(caught.value) or "1.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_how_far_a_polygon_may_lie_outside():
    """By the longer side: of an image 10 high and 40 wide x is -40 to 80, y -40 to 50."""
    polygon = [-40, -40, 80, 50, 0, 10.5]
    assert check_segmentation([polygon], 10, 40) is None
    for place, beyond in enumerate((-41, -41, 81, 51)):
        wrong = [*polygon[:place], beyond, *polygon[place + 1 :]]
        assert f"has the coordinate {beyond}, far outside" in check_segmentation([wrong], 10, 40)


def test_a_sound_file_is_read(tmp_path):
    make_coco(tmp_path, coco_content())
    records = records_of(open_text("coco:train2017", tmp_path))
    assert {name: [s.class_id for s in record.segments] for name, record in records.items()} == {"1": [1], "2": [2]}


def test_all_crowds_of_an_image_are_void(tmp_path):
    content = coco_content()
    right = {"size": [SIDE, SIDE], "counts": [SIDE * SIDE - SIDE, SIDE]}  # the last column, the other one the first
    content["annotations"].append({**content["annotations"][1], "id": 14, "segmentation": right})
    make_coco(tmp_path, content)
    layer = layers_of(open_text("coco:train2017", tmp_path))["1"]
    assert (layer[:, 0] == 255).all() and (layer[:, -1] == 255).all() and (layer[:, 1:-1] != 255).all()


def test_an_annotation_without_iscrowd_is_none(tmp_path):
    make_coco(tmp_path, coco_content())
    assert records_of(open_text("coco:train2017", tmp_path))["2"].segments


def test_what_is_wrong_is_left_out_and_listed_where_that_is_asked_for(tmp_path, caplog):
    content = coco_content()
    content["annotations"][0]["segmentation"] = [[1, 2]]
    content["annotations"].append({**content["annotations"][1], "id": 15, "image_id": 9})
    make_coco(tmp_path, content)
    split = open_text("coco:train2017", tmp_path, skip_broken=True)
    assert list(records_of(split)) == ["2"]
    assert "2 broken files are left out" in caplog.text
    assert (
        "annotation 11: a polygon has 2 numbers" in caplog.text
        and "annotation 15: no image has the id 9" in caplog.text
    )


def test_compressed_runs_are_counted_as_they_are_drawn():
    """A check that read them otherwise would refuse sound files, or let wrong ones crash."""
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = (rng.random((37, 41)) < rng.random()).astype(np.uint8) * (rng.random((37, 1)) < 0.7)
        runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = {"size": [37, 41], "counts": runs["counts"].decode()}
        assert check_segmentation(text, 37, 41) is None
        np.testing.assert_array_equal(rasterise(text, 37, 41), mask)
