"""Each kind of annotation file, read from small ones whose pixels are known."""

import numpy as np
import pytest
from PIL import Image

from experiments.segmenting.annotation_files import AnnotationFile, read_annotation_files
from guided_jax.episode import UNKNOWN, Click
from guided_jax.session.marks import Scribble, paint
from tests.experiments.segmenting.annotations import (
    BOX,
    SIZE,
    coco,
    cvat,
    in_base64,
    labelme,
    own,
    shape,
    write_json,
)

RING = [[2, 1], [5, 1], [5, 3], [2, 3]]
FLAT = [part for point in RING for part in point]


def only(path, masks="") -> AnnotationFile:
    (file,) = read_annotation_files([path], masks)
    return file


def painted(file: AnnotationFile, name="a.png") -> list[list[int]]:
    return paint(file.images[name].marks(SIZE).marks, SIZE).tolist()


@pytest.mark.parametrize(
    "drawn",
    [
        shape("polygon", *RING),
        shape("rectangle", [2, 1], [5, 3]),
        shape("mask", [2, 1], [4, 2], mask=in_base64(np.ones((2, 3)))),
        {"label": "dog", "points": RING},  # older files tell no type
    ],
    ids=["polygon", "rectangle", "mask", "without type"],
)
def test_labelme_areas(tmp_path, drawn):
    file = only(write_json(tmp_path / "a.json", labelme(drawn)))
    assert list(file.images) == ["a.png"] and file.images["a.png"].size == SIZE
    assert painted(file) == BOX.tolist()
    assert file.images["a.png"].marks(SIZE).objects == {1: "dog"}


def test_labelme_marks(tmp_path):
    drawn = [
        shape("point", [5.5, 0.5]),
        shape("points", [0, 0], [1.9, 3.9], label="background"),
        shape("linestrip", [0, 2], [3, 2], [3, 3], label="cat"),
        shape("line", [4, 0], [4, 1]),
    ]
    values = labelme(*drawn, name="..\\photos\\a.png", imageHeight=None)
    file = only(write_json(tmp_path / "a.json", values))
    marked = file.images["../photos/a.png"].marks(SIZE)
    assert file.images["../photos/a.png"].size is None and marked.objects == {1: "dog", 2: "cat"}
    assert marked.marks == (
        Click(0, 5, 1),
        Click(0, 0, 0),
        Click(3, 1, 0),
        Scribble(((2, 0), (2, 3), (3, 3)), 2, 3),
        Scribble(((0, 4), (1, 4)), 1, 3),
    )


def test_a_circle_of_labelme_has_a_middle_and_a_point_of_its_rim(tmp_path):
    values = labelme(shape("circle", [10, 10], [13, 14]), imageHeight=20, imageWidth=20)
    marked = only(write_json(tmp_path / "a.json", values)).images["a.png"].marks((20, 20))
    labels = paint(marked.marks, (20, 20))
    assert labels[10, 5] == labels[5, 10] == 1 and labels[10, 4] == labels[5, 5] == 0


@pytest.mark.parametrize(
    "drawn",
    [
        '<polygon label="dog" points="2,1;5,1;5,3;2,3"/>',
        '<box label="dog" xtl="2.0" ytl="1.0" xbr="5.0" ybr="3.0"/>',
        '<box label="dog" xtl="2.5" ytl="0.5" xbr="4.5" ybr="3.5" rotation="90"/>',
        '<mask label="dog" rle="0, 6" left="2" top="1" width="3" height="2"/>',
        '<tag label="sunny"/><polygon label="dog" points="2,1;5,1;5,3;2,3"><attribute name="a">1</attribute></polygon>',
        '<box label="dog" xtl="2" ytl="1" xbr="5" ybr="3" z_order="1"/>'
        '<box label="background" xtl="0" ytl="0" xbr="6" ybr="4" z_order="0"/>',
    ],
    ids=["polygon", "box", "turned box", "mask", "tag", "z-order"],
)
def test_cvat_areas(tmp_path, drawn):
    (tmp_path / "a.xml").write_text(cvat(drawn))
    file = only(tmp_path / "a.xml")
    assert file.images["a.png"].size == SIZE and painted(file) == BOX.tolist()


def test_cvat_marks(tmp_path):
    drawn = '<points label="dog" points="5.5,0.5;0,0"/><polyline label="background" points="0,2;3,2"/>'
    (tmp_path / "a.xml").write_text(cvat(drawn, "sub/a.png"))
    marked = only(tmp_path / "a.xml").images["sub/a.png"].marks(SIZE)
    assert marked.marks == (Click(0, 5, 1), Click(0, 0, 1), Scribble(((2, 0), (2, 3)), 0, 3))


def test_run_lengths_of_cvat_go_along_the_rows(tmp_path):
    (tmp_path / "a.xml").write_text(cvat('<mask label="dog" rle="1,2,1" left="0" top="0" width="2" height="2"/>'))
    assert painted(only(tmp_path / "a.xml"))[:2] == [[0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "drawn",
    [
        {"segmentation": [FLAT]},
        {"segmentation": {"size": list(SIZE), "counts": [9, 2, 2, 2, 2, 2, 5]}},
        {"segmentation": [], "bbox": [2, 1, 3, 2]},
        {"bbox": [2, 1, 3, 2]},
    ],
    ids=["polygon", "run lengths", "empty with a box", "box"],
)
def test_coco(tmp_path, drawn):
    file = only(write_json(tmp_path / "a.json", coco(drawn)))
    assert list(file.images) == ["a.png"]  # the other image has no annotation
    assert file.images["a.png"].size == SIZE and painted(file) == BOX.tolist()
    assert file.images["a.png"].marks(SIZE).objects == {1: "dog"}


def test_a_crowd_of_coco_stays_unannotated(tmp_path):
    crowd = {"segmentation": {"size": list(SIZE), "counts": [0, 24]}, "iscrowd": 1}
    file = only(write_json(tmp_path / "a.json", coco({"segmentation": [FLAT]}, crowd)))
    assert painted(file) == np.where(BOX == 1, 1, UNKNOWN).tolist()


def test_the_projects_own_file_keeps_its_marks_and_the_objects_that_they_are_on(tmp_path):
    file = only(write_json(tmp_path / "a.json", own({"point": [1, 2], "label": 1}, {"point": [0, 0], "label": 0})))
    marked = file.images["a.png"].marks(SIZE)
    assert marked.objects == {1: "dog"} and marked.marks == (Click(1, 2, 1), Click(0, 0, 0))


class TestMasks:
    @pytest.mark.parametrize(
        "values",
        [BOX * 255, BOX, np.where(BOX, 255, 128)],
        ids=["0 and 255", "0 and 1", "on grey"],
    )
    def test_one_object(self, tmp_path, values):
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "a.png")
        file = only(tmp_path / "a.png")
        assert not file.names_images and painted(file) == BOX.tolist()
        assert file.images["a.png"].marks(SIZE).objects == {1: ""}

    def test_the_shape_may_be_in_the_alpha_channel(self, tmp_path):
        pixels = np.zeros((*SIZE, 4), np.uint8)
        pixels[..., 3] = BOX * 255
        Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
        assert painted(only(tmp_path / "a.png")) == BOX.tolist()

    def test_a_palette_has_labels_and_255_is_unannotated(self, tmp_path):
        values = np.where(BOX, 3, 1).astype(np.uint8)
        values[3] = UNKNOWN
        image = Image.fromarray(values)
        image.putpalette(list(range(256)) * 3)
        image.save(tmp_path / "a.png")
        file = only(tmp_path / "a.png")
        assert painted(file) == values.tolist() and file.images["a.png"].marks(SIZE).objects == {1: "", 3: ""}

    def test_names_lie_beside_them(self, tmp_path):
        values = np.where(BOX, 3, 1).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / "a.png")
        (tmp_path / "classes.txt").write_text("1 grass\n2 sky\n3 dog\n")
        assert only(tmp_path / "a.png").images["a.png"].marks(SIZE).objects == {1: "grass", 3: "dog"}

    def test_all_of_them_tell_together_what_values_mean(self, tmp_path):
        """255 alone would be an object; beside labels it is unannotated."""
        for name, values in {"a": np.where(BOX, 1, UNKNOWN), "b": np.where(BOX, 2, 0)}.items():
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / f"{name}.png")
        first, second = read_annotation_files([tmp_path / "a.png", tmp_path / "b.png"], "labels")
        assert painted(first) == np.where(BOX, 1, UNKNOWN).tolist() and painted(second, "b.png") == (2 * BOX).tolist()
