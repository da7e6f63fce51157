import json

import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError
from data_pipelines.selection.classes import (
    COCO,
    VOC,
    balance_classes,
    check_words,
    choose_classes,
    images_by_class,
    names_fold,
    parse_classes,
    select_classes,
)
from data_pipelines.tasks import Tasks, count_tasks


def chosen(text, names):
    return [names[number - 1] for number in sorted(choose_classes(parse_classes(text), names))]


@pytest.fixture
def tasks():
    """Class 1 in two images, one of them with two instances; class 2 in five; class 3 in one."""
    record = np.array([0, 0, 1, 0, 1, 2, 3, 4, 4], np.int32)
    class_id = np.array([1, 1, 1, 2, 2, 2, 2, 2, 3], np.int32)
    rest = np.zeros((6, 9), np.int32)
    return Tasks(record, class_id, *rest)


def test_pascal_5i():
    assert chosen("fold:0", VOC) == ["aeroplane", "bicycle", "bird", "boat", "bottle"]
    assert chosen("fold:1", VOC) == ["bus", "car", "cat", "chair", "cow"]
    assert chosen("fold:2", VOC) == ["diningtable", "dog", "horse", "motorbike", "person"]
    assert chosen("fold:3", VOC) == ["pottedplant", "sheep", "sofa", "train", "tvmonitor"]
    for fold in range(4):
        kept, held_out = (chosen(f"{word}fold:{fold}", VOC) for word in ("not ", ""))
        assert (len(kept), len(held_out), {*kept} & {*held_out}) == (15, 5, set())


def test_coco_20i_has_two_splits():
    assert len(COCO) == len(set(COCO)) == 80
    assert chosen("coco-fold:1", COCO)[:3] == ["bicycle", "bus", "traffic light"]
    assert chosen("coco-block:1", COCO)[0::19] == ["elephant", "bottle"]
    for kind in ("coco-fold", "coco-block"):
        assert sorted(name for fold in range(4) for name in chosen(f"{kind}:{fold}", COCO)) == sorted(COCO)


def test_a_fold_means_the_same_classes_in_another_data_set():
    assert chosen("fold:0", COCO) == ["bicycle", "airplane", "boat", "bird", "bottle"]
    assert len(chosen("not fold:3", COCO)) == 80 - 5
    assert chosen("aeroplane, tvmonitor", COCO) == ["airplane", "tv"]


def test_names_and_all():
    assert chosen("dog, cat", VOC) == ["cat", "dog"]
    assert chosen("not dog", VOC) == [name for name in VOC if name != "dog"]
    assert chosen("", VOC) == chosen("all", VOC) == list(VOC)
    assert names_fold(parse_classes("not fold:1, dog")) and not names_fold(parse_classes("dog"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold:4", "'fold:4' is no fold; there are fold:K"),
        ("pascal:0", "'pascal:0' is no fold"),
        ("not all", "leave nothing"),
        ("dog,,cat", "nothing is no word beside others"),
        ("all, dog", "all is no word beside others"),
    ],
)
def test_what_is_no_choice(text, message):
    with pytest.raises(ValueError, match=message):
        parse_classes(text)


def test_words_that_mean_nothing_here():
    check_words(parse_classes("fold:0, truck"), (*VOC, *COCO))
    with pytest.raises(DatasetError, match=r"no class is called 'doog'; did you mean 'dog'\?; there are: aeroplane,"):
        check_words(parse_classes("doog"), VOC)
    with pytest.raises(DatasetError, match=r"no class is called 'fold:0'; there are: disc, star"):
        check_words(parse_classes("fold:0"), ["disc", "star"])


def test_select_and_count(tasks):
    assert images_by_class(tasks) == {1: 2, 2: 5, 3: 1}
    some = select_classes(tasks, frozenset({1, 3}))
    assert some.class_id.tolist() == [1, 1, 1, 3]
    assert some.record.tolist() == [0, 0, 1, 4]


def test_balance_leaves_as_many_as_the_rarest_class_has(tasks):
    some = select_classes(tasks, frozenset({1, 2}))
    balanced = [balance_classes(some, seed) for seed in range(20)]
    for each in balanced:
        assert np.bincount(each.class_id).tolist() == [0, 3, 3]
        assert (np.diff(each.class_id) >= 0).all()
    assert len({tuple(each.record) for each in balanced}) > 1
    again = balance_classes(some, 0)
    assert all(np.array_equal(a, b) for a, b in zip(again, balanced[0], strict=True))
    drawn = {int(record) for each in balanced for record in each.record[each.class_id == 2]}
    assert drawn == {0, 1, 2, 3, 4}
    assert count_tasks(balance_classes(tasks, 0)) == 3


@pytest.mark.real_data
def test_coco_s_classes_are_in_its_order(real_data):
    annotations = json.loads((real_data / "data" / "coco" / "annotations" / "instances_train2017.json").read_bytes())
    by_id = sorted(annotations["categories"], key=lambda category: category["id"])
    assert tuple(category["name"] for category in by_id) == COCO
