import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.learning import loss, step


def cross_entropy(logits, target):
    return jax.tree.map(np.asarray, jax.jit(loss.cross_entropy)(logits, target))


def slope(logits, target):
    return np.asarray(jax.jit(jax.grad(lambda x: loss.cross_entropy(x, target)[0].sum()))(logits))


def random_case(*lead, way=2, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(*lead, way, 5, 7)).astype(np.float32)
    return logits, rng.integers(0, way, (*lead, 5, 7)).astype(np.uint8)


def test_by_hand():
    logits = np.zeros((1, 2, 1, 3), np.float32)
    logits[0, 1] = [0.0, np.log(3), np.log(3)]  # chances of label 1: 1/2, 3/4, 3/4
    target = np.array([[[0, 1, 0]]], np.uint8)
    total, count = cross_entropy(logits, target)
    np.testing.assert_allclose(total, [np.log(2) + np.log(4 / 3) + np.log(4)], rtol=1e-6)
    assert count.tolist() == [3]
    assert (total.dtype, count.dtype) == (np.float32, np.int32)


def test_three_way_by_hand():
    logits = np.log(np.array([[1, 2, 5], [1, 2, 5]], np.float32)).T[None, :, None]
    target = np.array([[[2, 0]]], np.uint8)
    total, count = cross_entropy(logits, target)
    np.testing.assert_allclose(total, [-np.log(5 / 8) - np.log(1 / 8)], rtol=1e-6)
    assert count.tolist() == [2]


@pytest.mark.parametrize("way", [2, 3])
def test_logits_of_zero_cost_ln_k_a_pixel(way):
    _, target = random_case(4, way=way)
    total, count = cross_entropy(np.zeros((4, way, 5, 7), np.float32), target)
    np.testing.assert_allclose(total / count, np.log(way), rtol=1e-6)


def test_void_never_counts():
    logits, target = random_case(3)
    masked = np.full((3, 9, 8), UNKNOWN, np.uint8)
    masked[:, :5, :7] = target
    wide = np.full((3, 2, 9, 8), 50.0, np.float32)
    wide[:, :, :5, :7] = logits
    sliced, masked = cross_entropy(logits, target), cross_entropy(wide, masked)
    np.testing.assert_allclose(masked[0], sliced[0], rtol=1e-6)
    np.testing.assert_array_equal(masked[1], sliced[1])
    assert sliced[1].tolist() == [35] * 3


def test_void_has_no_gradient():
    logits, target = random_case()
    target[2:] = UNKNOWN
    gradient = slope(logits, jnp.asarray(target))
    assert not gradient[:, 2:].any()
    assert np.abs(gradient[:, :2]).min() > 0


@pytest.mark.parametrize("magnitude", [1.0, 1e30])
def test_nothing_known(magnitude):
    logits, target = random_case(2)
    target[:] = UNKNOWN
    total, count = cross_entropy(magnitude * logits, target)
    assert total.tolist() == [0, 0] and count.tolist() == [0, 0]
    assert not slope(magnitude * logits, jnp.asarray(target)).any()


def test_large_logits_stay_finite():
    logits = np.array([1e4, -1e4], np.float32).reshape(2, 1, 1)
    total, _ = cross_entropy(logits, np.ones((1, 1), np.uint8))
    np.testing.assert_allclose(total, 2e4)


def test_sums_add_up_where_means_do_not():
    """One loss of a batch is the mean over its pixels: not the mean of its episodes' means."""
    logits, target = random_case(2)
    logits[1] *= 4
    target[0, 1:] = UNKNOWN
    total, count = cross_entropy(logits, target)
    known = np.concatenate([logits[i][:, target[i] != UNKNOWN] for i in range(2)], 1)[:, None]
    whole, pixels = cross_entropy(known, target[target != UNKNOWN][None])
    np.testing.assert_allclose(total.sum() / count.sum(), whole / pixels, rtol=1e-6)
    assert abs((total / count).mean() - whole / pixels) > 0.1


def test_half_precision_is_summed_in_single():
    logits = jnp.full((2, 64, 64), 0.1, jnp.bfloat16).at[1].set(0)
    total, _ = cross_entropy(logits, np.ones((64, 64), np.uint8))
    expected = 4096 * np.log1p(np.exp(float(jnp.bfloat16(0.1))))
    assert total.dtype == np.float32
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def dice(logits, target):
    return np.asarray(jax.jit(loss.dice_loss)(logits, target))


def test_dice_by_hand():
    """Chances 1/2, 3/4, 3/4 of label 1, which the first two pixels and a void one have: 1 - (2 * 5/4 + 1) / (4 + 1)."""
    logits = np.zeros((2, 2, 1, 4), np.float32)
    logits[:, 1] = [0.0, np.log(3), np.log(3), 5.0]
    target = np.array([[[1, 1, 0, UNKNOWN]], [[0, 0, 0, UNKNOWN]]], np.uint8)
    found = dice(logits, target)
    np.testing.assert_allclose(found, [1 - 3.5 / 5, 1 - 1 / 3], rtol=1e-6)


def test_dice_counts_every_positive_alike_and_ignores_void():
    logits, target = random_case(2, way=3)
    by_label = []
    for label in (1, 2):
        chance = jax.nn.softmax(logits, axis=1)[:, label]
        truth = (target == label).astype(np.float32)
        by_label.append(1 - (2 * (chance * truth).sum((1, 2)) + 1) / ((chance + truth).sum((1, 2)) + 1))
    np.testing.assert_allclose(dice(logits, target), np.mean(by_label, axis=0), rtol=1e-5)
    target[:, 2:] = UNKNOWN
    cut = dice(logits[..., :2, :], target[:, :2])
    np.testing.assert_allclose(dice(logits, target), cut, rtol=1e-5)


def test_dice_is_weighted_by_the_pixels_that_the_step_divides_by():
    logits, target = random_case(2)
    target[1, 1:] = UNKNOWN
    total, pixels = cross_entropy(logits, target)
    found = step._draw_totals(jnp.asarray(logits), None, jnp.asarray(target), 0.5)
    np.testing.assert_allclose(found.loss, (total + 0.5 * dice(logits, target) * pixels).sum(), rtol=1e-5)


def test_balanced_labels_by_hand():
    """Chances of label 1 as above: the mean of ln 2 and ln 4 for the negatives, ln 4/3 for the one positive."""
    logits = np.zeros((2, 2, 1, 4), np.float32)
    logits[0, 1] = logits[1, 1] = [[0.0, np.log(3), np.log(3), 9]]
    target = np.array([[[0, 1, 0, UNKNOWN]], [[0, UNKNOWN, 0, UNKNOWN]]], np.uint8)
    total, count = jax.tree.map(np.asarray, jax.jit(loss.balanced_cross_entropy)(logits, target))
    negative = (np.log(2) + np.log(4)) / 2
    np.testing.assert_allclose(total / count, [(negative + np.log(4 / 3)) / 2, negative], rtol=1e-6)
    assert count.tolist() == [3, 2]
    blank = np.full_like(target, UNKNOWN)
    nothing = jax.jit(loss.balanced_cross_entropy)(logits, blank)
    assert [each.tolist() for each in nothing] == [[0, 0], [0, 0]]
