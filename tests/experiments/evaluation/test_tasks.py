"""Scores of tasks by their size."""

import numpy as np

from experiments.evaluation.tasks import is_small, small_iu

# Of 1,000 known pixels each: 19, 20 and 500 of the object; void does not count as known.
COUNTS = np.array(
    [
        [10, 3, 9, 978, 0, 50_000],
        [20, 0, 0, 980, 0, 0],
        [400, 0, 100, 500, 30, 0],
    ],
    np.int64,
)


def test_small_tasks_by_hand():
    assert is_small(COUNTS).tolist() == [True, False, False]
    assert small_iu(COUNTS) == 10 / 22
    more = np.array([[0, 5, 5, 990, 0, 0]], np.int64)
    assert small_iu(np.concatenate([COUNTS, more])) == 10 / 32


def test_size_is_that_of_the_truth():
    """Of an object of 10 pixels much is wrongly taken; of one of 500 all is missed."""
    assert is_small(np.array([[5, 100, 5, 890, 0, 0], [0, 0, 500, 500, 0, 0]])).tolist() == [True, False]


def test_none_is_small():
    assert np.isnan(small_iu(COUNTS[1:]))
