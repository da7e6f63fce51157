import numpy as np
import pytest

from data_pipelines.partners import (
    draw_support,
    first_support,
    group_by_class,
    group_by_object,
    images_in_group,
    in_first,
)
from data_pipelines.tasks import Tasks


def _tasks(**columns):
    length = len(next(iter(columns.values())))
    return Tasks(*(np.array(columns.get(name, [0] * length), np.int32) for name in Tasks._fields))


# Class 1 in images 0 (twice), 1, 2, 4; class 2 in image 3 alone; class 3 in images 0 and 4.
SEMANTIC = _tasks(record=[4, 0, 0, 1, 2, 3, 0, 4], class_id=[1, 1, 1, 1, 1, 2, 3, 3], instance=[1, 1, 2, 1, 1, 1, 3, 2])
VIDEO = _tasks(
    record=[5, 6, 7, 5, 7, 8], video=[0, 0, 0, 0, 0, 1], frame=[2, 1, 0, 2, 0, 0], instance=[1, 1, 1, 2, 2, 1]
)


def test_images_in_group():
    assert images_in_group(group_by_class(SEMANTIC)).tolist() == [4, 4, 4, 4, 4, 1, 2, 2]
    assert images_in_group(group_by_object(VIDEO)).tolist() == [3, 3, 3, 2, 2, 1]


@pytest.mark.parametrize("row", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("shots", [1, 3, 5])
def test_support_is_of_the_class_and_never_the_query_image(row, shots):
    partners, rng = group_by_class(SEMANTIC), np.random.default_rng(row)
    for _ in range(100):
        rows = draw_support(rng, partners, row, shots)
        records = SEMANTIC.record[rows].tolist()
        assert len(rows) == shots
        assert (SEMANTIC.class_id[rows] == 1).all()
        assert SEMANTIC.record[row] not in records
        if shots <= 3:
            assert len(set(records)) == shots


def test_support_is_uniform_over_images_then_over_their_tasks():
    partners, rng = group_by_class(SEMANTIC), np.random.default_rng(0)
    drawn = np.bincount([draw_support(rng, partners, 3, 1)[0] for _ in range(6000)], minlength=8)
    np.testing.assert_allclose(drawn / 6000, [1 / 3, 1 / 6, 1 / 6, 0, 1 / 3, 0, 0, 0], atol=0.025)


def test_allow_self():
    partners, rng = group_by_class(SEMANTIC), np.random.default_rng(0)
    assert draw_support(rng, partners, 5, 2, allow_self=True) == [5, 5]
    drawn = {draw_support(rng, partners, 6, 1, allow_self=True)[0] for _ in range(50)}
    assert drawn == {6, 7}


def test_first_support_goes_by_frame():
    partners = group_by_object(VIDEO)
    assert first_support(partners, 0, 2) == [2, 1]
    assert first_support(partners, 3, 1) == [4]
    assert first_support(partners, 5, 3) == [5]
    assert in_first(partners, 1).tolist() == [False, False, True, False, True, True]
    assert in_first(partners, 2).tolist() == [False, True, True, True, True, True]
