import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.scoring import positive_iu as scoring
from guided_jax.scoring.positive_iu import iu, positive_iu


def count_positives(prediction, target):
    return np.asarray(scoring.count_positives(jnp.asarray(prediction), jnp.asarray(target)))


def labels(*rows):
    return np.array([[255 if mark == "?" else int(mark) for mark in row] for row in rows], np.uint8)


@pytest.mark.parametrize(
    ("prediction", "target", "counts"),
    [
        ("0110", "0011", (1, 1, 1)),
        ("1111", "1111", (4, 0, 0)),
        ("0000", "0000", (0, 0, 0)),
        ("1111", "0000", (0, 4, 0)),
        ("0000", "1111", (0, 0, 4)),
        ("1111", "????", (0, 0, 0)),
        ("1010", "11??", (1, 0, 1)),
        # K-way: a positive taken for another is missed there and false here, as in a union of binary tasks.
        ("1220", "1122", (2, 1, 2)),
    ],
)
def test_counts_by_hand(prediction, target, counts):
    got = count_positives(labels(prediction), labels(target))
    assert tuple(got.tolist()) == counts
    assert got.dtype == np.int32


def test_k_way_is_the_union_of_binary_tasks():
    rng = np.random.default_rng(0)
    prediction, target = rng.integers(0, 4, (2, 6, 9, 8)).astype(np.uint8)
    target[:, 3] = UNKNOWN
    union = sum(
        count_positives(
            (prediction == k).astype(np.uint8), np.where(target == UNKNOWN, UNKNOWN, target == k).astype(np.uint8)
        )
        for k in (1, 2, 3)
    )
    np.testing.assert_array_equal(count_positives(prediction, target), union)


def test_padding_never_counts():
    rng = np.random.default_rng(0)
    prediction, target = rng.integers(0, 2, (2, 3, 5, 7)).astype(np.uint8)
    wide, padded = np.ones((3, 9, 9), np.uint8), np.full((3, 9, 9), UNKNOWN, np.uint8)
    wide[:, :5, :7], padded[:, :5, :7] = prediction, target
    np.testing.assert_array_equal(count_positives(wide, padded), count_positives(prediction, target))


def test_iu_by_hand():
    scores = iu(np.array([[1, 1, 1], [4, 0, 0], [0, 3, 0], [0, 0, 0]]))
    np.testing.assert_allclose(scores, [1 / 3, 1, 0, np.nan])


def test_pooled_and_class_mean_differ():
    """The reference's case: a perfect large object and a missed one of one pixel, of another class."""
    score = positive_iu(np.array([[89, 0, 0], [0, 0, 1]]), np.array([3, 7]))
    assert score.pooled == pytest.approx(0.989, abs=5e-4)
    assert score.class_mean == 0.5
    assert score.by_class == {3: 1.0, 7: 0.0}
    assert score.tasks == 2


def test_counts_of_a_class_are_summed_before_they_are_divided():
    score = positive_iu(np.array([[10, 0, 0], [0, 5, 5], [3, 1, 0]]), np.array([1, 1, 2]))
    assert score.by_class == {1: 0.5, 2: 0.75}
    assert score.class_mean == 0.625
    assert score.pooled == pytest.approx(13 / 24)


def test_a_class_without_a_score_is_left_out_of_the_mean():
    score = positive_iu(np.array([[0, 0, 0], [1, 0, 3]]), np.array([1, 2]))
    assert np.isnan(score.by_class[1]) and score.by_class[2] == 0.25
    assert score.class_mean == score.pooled == 0.25


@pytest.mark.parametrize("tasks", [0, 2])
def test_nothing_at_all_is_nan(tasks):
    score = positive_iu(np.zeros((tasks, 3), np.int64), np.zeros(tasks, np.int64))
    assert np.isnan(score.pooled) and np.isnan(score.class_mean)
    assert score.tasks == tasks


def test_large_sets_do_not_overflow():
    counts = np.full((3, 3), 2**31 - 1, np.int32)
    assert positive_iu(counts, np.zeros(3, np.int32)).pooled == pytest.approx(1 / 3)


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    counts, classes = rng.integers(0, 99, (20, 3)), rng.integers(0, 4, 20)
    order = rng.permutation(20)
    assert positive_iu(counts[order], classes[order]) == positive_iu(counts, classes)
