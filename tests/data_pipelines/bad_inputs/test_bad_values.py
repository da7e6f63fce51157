"""Numbers, names and features at the border of the data: SBD's maps, files of class names, names of files, slices."""

import json
import re

import numpy as np
import pytest

from data_pipelines.compose import CachedFeatures, Shown, compose_episode
from data_pipelines.datasets.reading.class_names import read_class_names
from data_pipelines.datasets.record import DatasetError
from data_pipelines.features.store import FeatureStore
from data_pipelines.safe_paths import join, safe_path
from data_pipelines.tasks import get_task, list_tasks
from data_pipelines.views import View, view_key
from tests.data_pipelines.bad_inputs.originals import (
    SIDE,
    disc,
    layers_of,
    make_folder,
    make_sbd,
    open_text,
    records_of,
)


def filled(value, dtype=float) -> np.ndarray:
    return np.full((SIDE, SIDE), value, dtype)


SBD = [
    (
        "class 99",
        {"classes": filled(99)},
        r"cls/a\.mat: Segmentation is not a map of labels 0 to 20, but holds 99 to 99",
    ),
    ("class 21", {"classes": filled(21, np.uint8)}, r"cls/a\.mat: Segmentation is not a map of labels 0 to 20"),
    ("class -1", {"classes": filled(-1)}, r"labels 0 to 20, but holds -1 to -1"),
    ("class 1.5", {"classes": filled(1.5)}, r"cls/a\.mat: Segmentation does not hold whole numbers"),
    ("class NaN", {"classes": filled(np.nan)}, r"cls/a\.mat: Segmentation does not hold whole numbers"),
    ("three axes", {"classes": np.ones((SIDE, SIDE, 2))}, "is not a map of labels 0 to 20"),
    ("no pixel", {"classes": np.ones((0, SIDE))}, "is not a map of labels 0 to 20"),
    (
        "another size",
        {"classes": np.ones((9, SIDE))},
        r"cls/a\.mat is 24 x 9 pixels, but its image .*a\.jpg is 24 x 24",
    ),
    ("instance 255", {"objects": filled(255)}, r"inst/a\.mat: Segmentation is not a map of labels 0 to 254"),
    ("instance 0.5", {"objects": filled(0.5)}, r"inst/a\.mat: Segmentation does not hold whole numbers"),
    ("category 99", {"categories": ((99,),)}, r"inst/a\.mat: Categories holds \[99\.?0?\]; classes are 1 to 20"),
    ("category 0", {"categories": ((0,),)}, r"inst/a\.mat: Categories holds \[0\]; classes are 1 to 20"),
    ("category 1.5", {"categories": ((1.5,),)}, r"inst/a\.mat: Categories does not hold whole numbers"),
    ("no category", {"categories": np.zeros((0, 1))}, "shows instance 1 but names the categories of 0"),
    ("text", {"classes": "x"}, r"cls/a\.mat: Segmentation does not hold whole numbers"),
]


@pytest.mark.parametrize(("fields", "message"), [row[1:] for row in SBD], ids=[row[0] for row in SBD])
def test_values_that_sbd_cannot_have_are_refused(tmp_path, fields, message):
    make_sbd(tmp_path, **fields)
    with pytest.raises(DatasetError, match=message):
        open_text("sbd:train", tmp_path)


def test_whole_numbers_of_any_type_are_labels(tmp_path):
    make_sbd(tmp_path, classes=disc(0, 20).astype(float), objects=disc(0, 1).astype(np.int32), categories=((20.0,),))
    (record,) = records_of(open_text("sbd:train", tmp_path)).values()
    assert [(segment.class_id, segment.instance) for segment in record.segments] == [(20, 0), (20, 1)]


NAMES = [
    ("a name a class", "classes.txt", "cat\ndog\n", ["cat", "dog"]),
    ("background first", "classes.txt", "background\ncat\ndog\n", ["cat", "dog"]),
    ("more than there are", "labels.txt", "__ignore__\n_background_\ncat\ndog\ncow", ["cat", "dog", "cow"]),
    ("the value 0 has a name, too", "classes.txt", "road\ncat\ndog\n", ["cat", "dog"]),
    ("numbered", "classes.txt", "\ufeff# mine\n2 dog\n1 big cat\n", ["big cat", "dog"]),
    ("numbered with colons", "labels.txt", "0: road\n1: cat\n2: dog\n255: void\n", ["cat", "dog"]),
    ("JSON list", "classes.json", ["cat", "dog"], ["cat", "dog"]),
    ("JSON of values", "classes.json", {"0": "road", "1": "cat", "2": "dog"}, ["cat", "dog"]),
    ("JSON of names", "labels.json", {"cat": 1, "dog": 2, "sky": 4}, ["cat", "dog", "3", "sky"]),
    ("JSON objects", "labels.json", {"names": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}]}, ["cat", "dog"]),
]  # fmt: skip


@pytest.mark.parametrize(("file", "content", "names"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_names_beside_masks_make_classes_of_their_values(tmp_path, file, content, names):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:6], mask[6:12], mask[20:] = 1, 2, 255
    root = make_folder(tmp_path, {"a.png": mask})
    (root / file).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    for unit in ("", ":class", ":instance"):
        split = open_text(f"folder@mine:all{unit}", tmp_path)
        assert list(split.class_names) == names
        assert [s.class_id for s in records_of(split)["a"].segments] == [1, 2]
    np.testing.assert_array_equal(layers_of(split)["a"], mask)


def test_without_names_values_are_classes_where_the_unit_is_class(tmp_path):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:6], mask[6:12] = 2, 5
    make_folder(tmp_path, {"a.png": mask, "b.png": np.where(mask == 2, 0, mask)})
    instances = open_text("folder@mine:all", tmp_path)
    assert instances.class_names == () and not list_tasks(instances, "instance").class_id.any()
    classes = open_text("folder@mine:all:class", tmp_path)
    assert classes.class_names == ("1", "2", "3", "4", "5")
    assert sorted(list_tasks(classes, "class").class_id.tolist()) == [2, 5, 5]
    red = np.zeros((SIDE, SIDE, 3), np.uint8)
    red[:6], red[6:12] = (255, 0, 0), (0, 0, 255)
    make_folder(tmp_path / "other", {"a.png": red})
    assert open_text("folder@mine:all:class", tmp_path / "other").class_names == ("#0000ff", "#ff0000")


WRONG_NAMES = [
    ("too few", "classes.txt", "cat\ndog", [1, 5], r"has 2 names, and the largest value in the masks is 5; lines"),
    ("too many", "classes.txt", "a\nb\nc\nd", [1, 2], r"has 4 names, and the largest value in the masks is 2; lines"),
    ("one unnamed", "classes.txt", "1 cat\n3 dog", [1, 2, 3], "has no name for the value 2, which masks hold"),
    ("twice", "classes.txt", "1 cat\n1 dog", [1], "names the value 1 twice"),
    ("one name twice", "classes.txt", "cat\ncat", [1, 2], "has the name 'cat' twice; each class needs its own"),
    ("empty", "classes.txt", "\n# nothing\n", [1], "is empty; lines VALUE NAME"),
    ("value 300", "classes.txt", "300 cat", [1], "300, 'cat' is no value of 0 to 255 and its name"),
    ("no JSON", "classes.json", "{", [1], "is not JSON"),
    ("JSON of null", "classes.json", "null", [1], "names no class"),
    ("JSON of numbers", "classes.json", "[1, 2]", [1], "None, None is no value"),
    ("JSON of lists", "classes.json", '{"1": ["cat"]}', [1], r"'1', \['cat'\] is no value"),
    ("JSON of true", "classes.json", '{"cat": true}', [1], "'cat', True is no value"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "content", "values", "message"), [row[1:] for row in WRONG_NAMES], ids=[row[0] for row in WRONG_NAMES]
)
def test_names_that_do_not_fit_are_refused(tmp_path, file, content, values, message):
    (tmp_path / file).write_text(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_class_names(tmp_path / file, values)
    assert file in str(caught.value)


PATHS = [
    ("a", "a.png"),
    ("a/b c", "a/b c.png"),
    ("../../x", "%2E%2E/%2E%2E/x.png"),
    ("/etc/passwd", "%2F/etc/passwd.png"),
    ("a//b", "a/%2F/b.png"),
    (".", "%2E.png"),
    ("./a", "%2E/a.png"),
    ("..", "%2E%2E.png"),
    ("", "%2F.png"),
    ("a\0b\n", "a%00b%0A.png"),
    ("C:\\x", "C%3A%5Cx.png"),
    ("é", "%C3%A9.png"),
]


@pytest.mark.parametrize(("name", "file"), PATHS)
def test_every_name_makes_a_file_inside_the_folder(tmp_path, name, file):
    assert safe_path(tmp_path, name, ".png") == tmp_path / file


@pytest.mark.parametrize(
    "name", ["é" * 100, "猫" * 28, "x" * 300, "é" * 43 + "x", "é" * 44, "a" * 239, "猫" * 300 + "/b"]
)
def test_long_names_fit_a_file_system_and_stay_apart(tmp_path, name):
    paths = [safe_path(tmp_path, each, ".png") for each in (name, f"{name}1", f"1{name}")]
    assert len(set(paths)) == 3
    for path in paths:
        assert all(len(part.encode()) <= 255 for part in path.relative_to(tmp_path).parts)
        assert not re.search("%(?![0-9A-F]{2})", path.name)  # no letter is cut apart
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").symlink_to(tmp_path / "out")
    with pytest.raises(
        DatasetError, match=r"'a/b\.png' leads out of the folder .*in, by a link in it; remove the link"
    ):
        safe_path(tmp_path / "in", "a/b", ".png")
    assert join(tmp_path / "in", "a/b") == tmp_path / "in" / "a" / "b"  # to be read, links are followed


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "a\\..\\b", "C:a", "a\0", ""])
def test_names_that_lead_out_are_not_read(tmp_path, name):
    with pytest.raises(DatasetError, match=r"leads out of the folder .*; it must be a relative path without '\.\.'"):
        join(tmp_path, name)


@pytest.mark.parametrize("cut", ["[5:2]", "[9:]", "[:0]", "[:-9]"])
def test_a_slice_of_nothing_is_refused(tmp_path, cut):
    make_folder(tmp_path, {f"{number}.png": disc() for number in range(3)})
    with pytest.raises(
        DatasetError, match=r"holds no image of the 3 of 'all'; take a larger slice|is no slice of 'all'"
    ):
        open_text(f"folder@mine:all{cut}", tmp_path)


CANVAS = (32, 32)


@pytest.fixture
def cached(tmp_path):
    """An image of 24 x 24 whose map has a side of 6, and a function that shows it with other maps."""
    make_folder(tmp_path, {"a.png": disc()})
    split = open_text("folder@mine:all", tmp_path)
    task = get_task(list_tasks(split, "instance"), 0)
    store = FeatureStore(tmp_path / "features")
    key = view_key(records_of(split)["a"], View())

    def show(values: np.ndarray):
        path = store.path(key)
        store.write(key, [np.zeros(values.shape)])
        content = bytearray(path.read_bytes())
        content[-values.nbytes :] = values.tobytes()
        path.write_bytes(content)
        features = CachedFeatures(store, {CANVAS: ((8, 8, 2),)}, lambda side: [side // 4])
        return compose_episode(
            split, Shown(task, View()), None, canvas=CANVAS, features=features, annotate=lambda target: target[None]
        )

    return show


def test_features_of_the_right_size_are_taken(cached):
    values = np.random.default_rng(0).standard_normal((6, 6, 2)).astype(np.float16)
    np.testing.assert_array_equal(cached(values).query[0][:6, :6], values)


@pytest.mark.parametrize("shape", [(5, 6, 2), (6, 5, 2), (7, 6, 2)])
def test_features_a_row_short_are_refused_by_file(cached, shape):
    with pytest.raises(
        DatasetError, match=r"\.safetensors holds maps of .*\(6, 6\).* are those of 'a' \(24x24\); delete it"
    ):
        cached(np.zeros(shape, np.float16))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused_by_file(cached, value):
    values = np.zeros((6, 6, 2), np.float16)
    values[3, 2, 1] = value
    with pytest.raises(
        DatasetError, match=r"\.safetensors holds values that are not finite; delete it, and it is comp"
    ):
        cached(values)
