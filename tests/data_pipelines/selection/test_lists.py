import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError, to_record
from data_pipelines.selection.lists import Listed, hash_lists, read_lists, select_listed, sort_by_image
from data_pipelines.tasks import list_tasks


def names(split, tasks):
    ids = [to_record(split.records[row]).image_id for row in tasks.record.tolist()]
    return list(zip(ids, tasks.class_id.tolist(), strict=True))


def test_read_files_and_folders(tmp_path):
    (tmp_path / "b.txt").write_text("2007_000033__01\n\n a__b__12 \n")
    (tmp_path / "a.txt").write_text("2007_000061__04\r\n2007_000033__01")
    b = [Listed("2007_000033", 1), Listed("a__b", 12)]
    assert read_lists(str(tmp_path / "b.txt")) == tuple(b)
    assert read_lists(str(tmp_path)) == (Listed("2007_000061", 4), *b)
    assert read_lists(f"{tmp_path / 'b.txt'}, {tmp_path / 'a.txt'}") == (*b, Listed("2007_000061", 4))
    assert str(b[0]) == "2007_000033__01"
    assert hash_lists(str(tmp_path)) != hash_lists(str(tmp_path / "b.txt"))


def test_what_is_no_list(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere is missing; give a list of tasks"):
        read_lists("nowhere")
    with pytest.raises(DatasetError, match=r"holds no list \*.txt"):
        read_lists(str(tmp_path))
    (tmp_path / "a.txt").write_text("2007_000033__01\n2007_000033\n")
    with pytest.raises(DatasetError, match=r"a.txt, line 2: '2007_000033' is not IMAGE__CC"):
        read_lists(str(tmp_path))


def test_tasks_in_the_order_of_the_list(stills):
    tasks = list_tasks(stills, "class")
    listed = [Listed("still05", 3), Listed("gone", 1), Listed("still00", 2), Listed("still01", 1), Listed("still00", 1)]
    found = select_listed(stills, tasks, listed)
    # Odd stills show no circle (class 1).
    assert names(stills, found) == [("still05", 3), ("still00", 2), ("still00", 1)]
    assert len(select_listed(stills, tasks, []).record) == 0


def test_sort_by_image(stills):
    tasks = list_tasks(stills, "class")
    mixed = type(tasks)(*(column[np.random.default_rng(0).permutation(len(column))] for column in tasks))
    expected = sorted(names(stills, tasks))
    assert names(stills, sort_by_image(stills, tasks)) == expected
    assert names(stills, sort_by_image(stills, mixed)) != names(stills, mixed)
