from dataclasses import replace

import numpy as np
import pytest

from data_pipelines import tasks as tasks_module
from data_pipelines.counted import counted
from data_pipelines.datasets.record import DatasetError, Record, decode_layer, encode_layer, find_segments, to_record
from data_pipelines.tasks import Task, count_tasks, get_task, list_tasks, select_tasks, task_target


def _find(split, tasks, image_id, **fields):
    for row in range(count_tasks(tasks)):
        task = get_task(tasks, row)
        record = to_record(split.records[task.record])
        if record.image_id == image_id and all(getattr(task, name) == value for name, value in fields.items()):
            return record, task
    raise AssertionError((image_id, fields))


def test_class_unit_lists_every_class_region_of_every_image(stills, classes):
    tasks = list_tasks(stills, "class")
    assert np.bincount(tasks.class_id).tolist() == [0, 6, 12, 1]
    assert (tasks.instance == 0).all() and (tasks.video == -1).all()
    area = {classes.circle: 12 * 16, classes.square: 14 * 26, classes.rare: 4 * 2}
    assert tasks.area.tolist() == [area[each] for each in tasks.class_id.tolist()]
    assert (np.diff(tasks.record) >= 0).all()
    assert {(56, 40), (40, 56)} == set(zip(tasks.height.tolist(), tasks.width.tolist(), strict=True))


def test_instance_unit_lists_instances_only(stills, classes):
    tasks = list_tasks(stills, "instance")
    assert count_tasks(tasks) == 24
    assert set(tasks.instance.tolist()) == {1, 2} and set(tasks.class_id.tolist()) == {classes.square}


def test_class_of_instances_only_is_their_union_and_void_of_its_layers(figures, classes):
    tasks = list_tasks(figures, "class")
    record, task = _find(figures, tasks, "figure0", class_id=classes.circle)
    assert task.area == 200  # the sum: an index that decodes no mask cannot know the overlap of 25
    expected = np.zeros((30, 30), np.uint8)
    expected[0:10, 0:10] = expected[5:15, 5:15] = 1
    expected[28] = 255
    np.testing.assert_array_equal(task_target(record, task), expected)


def test_void_of_one_layer_wins_over_an_object_of_another():
    below, above = np.zeros((2, 2, 3), np.uint8)
    below[0, :2], above[1, :2], above[0, 1] = 1, 1, 255
    segments = [*find_segments(below, 0, {1: 7}, instances=True), *find_segments(above, 1, {1: 7}, instances=True)]
    layers = (encode_layer(below), encode_layer(above))
    record = Record("a", "", 0, 2, 3, b"", layers, tuple(replace(s, instance=s.layer + 1) for s in segments))
    union = task_target(record, Task(0, 7, 0, 2, 3, 4, -1, 0))
    np.testing.assert_array_equal(union, [[1, 255, 0], [1, 1, 0]])
    np.testing.assert_array_equal(task_target(record, Task(0, 7, 1, 2, 3, 2, -1, 0)), [[1, 1, 0], [0, 0, 0]])


def test_void_of_a_layer_that_the_task_does_not_use_does_not_count(figures, classes):
    record, task = _find(figures, list_tasks(figures, "class"), "figure1", class_id=classes.square)
    expected = np.zeros((30, 30), np.uint8)
    expected[20:25, 20:25] = 1
    np.testing.assert_array_equal(task_target(record, task), expected)


def test_target_prefers_the_class_layer_to_the_instances(stills, classes):
    record, task = _find(stills, list_tasks(stills, "class"), "still05", class_id=classes.square)
    layer = decode_layer(record.layers[0])
    target = task_target(record, task)
    np.testing.assert_array_equal(target == 1, layer == classes.square)
    np.testing.assert_array_equal(target == 255, layer == 255)
    assert (target[layer == classes.rare] == 0).all()


def test_others_unknown(clips):
    record, task = _find(clips, list_tasks(clips, "instance"), "wide/4", instance=2)
    layer = decode_layer(record.layers[0])
    expected = np.choose(layer, [0, 255, 1, 255]).astype(np.uint8)
    np.testing.assert_array_equal(task_target(record, task, others=255), expected)
    np.testing.assert_array_equal(task_target(record, task), (layer == 2).astype(np.uint8))


def test_clips_are_numbered(clips):
    tasks = list_tasks(clips, "instance")
    assert count_tasks(tasks) == 2 * (5 + 4) + 1
    for video in 0, 1:
        assert sorted(tasks.frame[(tasks.video == video) & (tasks.instance == 1)].tolist()) == [0, 1, 2, 3, 4]


def test_min_area(stills, classes):
    assert classes.rare not in list_tasks(stills, "class", min_area=9).class_id
    assert classes.rare in list_tasks(stills, "class", min_area=8).class_id
    with pytest.raises(DatasetError, match="min_area=1000 leaves none of 19 tasks"):
        list_tasks(stills, "class", min_area=1000)


def test_index_is_made_once_per_split_unit_and_version(stills, monkeypatch):
    scans = []
    scan = tasks_module._scan
    monkeypatch.setattr(tasks_module, "_scan", lambda *args: scans.append(args) or scan(*args))

    def listed(name, records=stills.records, unit="class"):
        scans.clear()
        tasks = list_tasks(stills._replace(name=name, records=records), unit)
        return len(scans), tasks

    made, first = listed("fresh")
    again, second = listed("fresh")
    assert (made, again) == (1, 0)
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype == np.int32
        np.testing.assert_array_equal(a, b)
    half = stills.records[:6] if isinstance(stills.records, list) else [stills.records[i] for i in range(6)]
    assert listed("fresh[:50%]", half)[0] == 1
    assert listed("fresh[50%:]", half)[0] == 1
    assert listed("fresh", unit="instance")[0] == 1
    assert listed("fresh", half)[0] == 1  # another number of records: the file is of another data set
    monkeypatch.setattr(tasks_module, "INDEX_VERSION", 99)
    assert listed("fresh")[0] == 1


def test_damaged_index_is_made_anew(stills):
    split = stills._replace(name="damaged")
    tasks = list_tasks(split, "class")
    (path,) = stills.directory.glob("tasks-damaged-*.npy")
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(list_tasks(split, "class").area, tasks.area)
    assert not list(stills.directory.glob(".tasks-*"))


def test_missing_directory_still_lists(stills, tmp_path):
    assert count_tasks(list_tasks(stills._replace(directory=tmp_path / "gone"), "class")) == 19


def test_select_keeps_columns_together(stills):
    tasks = list_tasks(stills, "class")
    rows = np.array([3, 1], np.int32)
    assert get_task(select_tasks(tasks, rows), 1) == get_task(tasks, 1)


def test_errors(stills, figures):
    with pytest.raises(ValueError, match="unit is 'object'; it must be one of class, instance"):
        list_tasks(stills, "object")
    figures = figures._replace(records=[figures.records[0] | {"segments": {}}], name="empty")
    figures.records[0]["segments"] = {name: [] for name in ("class_id", "instance", "layer", "value", "area", "box")}
    with pytest.raises(DatasetError, match=r"empty: no mask of its .* images shows anything but 0 and void"):
        list_tasks(figures, "class")
    with pytest.raises(DatasetError, match=r"empty: no mask of its .* images shows anything but 0 and void"):
        list_tasks(figures, "instance")
    region = {"class_id": [1], "instance": [0], "layer": [0], "value": [1], "area": [5], "box": [[0, 0, 1, 5]]}
    regions = figures._replace(records=[figures.records[0] | {"segments": region}], name="regions")
    with pytest.raises(DatasetError, match=r"regions has no instances \(unit 'class' takes its class regions\)"):
        list_tasks(regions, "instance")


def test_numbers_of_things_in_words():
    assert [counted(number, "task") for number in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
    assert [counted(number, "class", "classes") for number in (1, 3)] == ["1 class", "3 classes"]
