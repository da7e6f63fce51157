"""The pixels that updates of fine-tuning see, and the cells around them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.episode import UNKNOWN
from guided_jax.resample import interpolate
from guided_jax.tuning.pixels import cells_around, draw_pool, take_pixels

KEY = jax.random.key(0)


def annotate(**of_label) -> jnp.ndarray:
    """A [2, 3, 4] annotation, unknown but for the pixels of `one` and `zero`."""
    annotation = np.full(24, UNKNOWN, np.uint8)
    annotation[list(of_label.get("zero", []))] = 0
    annotation[of_label.get("one", [])] = 1
    return jnp.asarray(annotation.reshape(2, 3, 4))


def test_a_pool_holds_every_annotated_pixel_once():
    pool = draw_pool(KEY, annotate(zero=[3, 14, 20], one=[5]), 2, 8)
    assert pool.annotated.tolist() == pool.available.tolist() == [3, 1]
    assert sorted(pool.positions[0, :3].tolist()) == [3, 14, 20] and pool.positions[1, 0] == 5


def test_a_small_pool_is_a_random_part():
    zero = list(range(20))
    pools = [draw_pool(jax.random.key(i), annotate(zero=zero, one=[23]), 2, 4) for i in range(2)]
    assert all(pool.available.tolist() == [4, 1] and pool.annotated.tolist() == [20, 1] for pool in pools)
    assert pools[0].positions[0].tolist() != pools[1].positions[0].tolist()
    assert set(pools[0].positions[0].tolist()) <= set(zero)


def test_updates_go_through_the_pool():
    pool = draw_pool(KEY, annotate(zero=[0, 1, 2, 3, 4, 5]), 2, 6)
    taken = [take_pixels(pool, jnp.int32(step), 4) for step in range(3)]
    of_zero = np.concatenate([positions[0] for positions, _ in taken])
    assert np.unique(of_zero, return_counts=True)[1].tolist() == [2] * 6  # twelve of six pixels
    assert all(known[0].all() and not known[1].any() for _, known in taken)


def test_fewer_pixels_than_asked_for_are_all_taken_every_time():
    pool = draw_pool(KEY, annotate(zero=[2, 9], one=[7]), 2, 24)
    for step in (0, 5):
        positions, known = take_pixels(pool, jnp.int32(step), 3)
        assert known.tolist() == [[True, True, False], [True, False, False]]
        assert sorted(positions[0, :2].tolist()) == [2, 9] and positions[1, 0] == 7


def test_a_late_update_does_not_overflow():
    pool = draw_pool(KEY, annotate(zero=range(24)), 2, 24)
    positions, _ = take_pixels(pool, jnp.int32(2**31 - 1), 5)
    first = (2**31 - 1) * 5 % 24
    assert positions[0].tolist() == np.roll(pool.positions[0], -first)[:5].tolist()


@pytest.mark.parametrize("grid", ["taps", "exact"])
def test_the_cells_around_a_pixel_make_its_score(grid):
    geometry = VGGGeometry(grid, 3, 8, 3)
    canvas, size = (40, 48), np.array([[40, 48], [27, 30]], np.int32)
    cells = tuple(geometry.cells(side) for side in canvas)
    scores = np.random.default_rng(0).standard_normal((2, *cells)).astype(np.float32)
    valid = jnp.asarray(geometry.cells(size))
    if grid == "exact":  # the padding's cells are zero there
        scores[1, valid[1, 0] :], scores[1, :, valid[1, 1] :] = 0, 0
    rows, columns = (geometry.pixel_weights(side) for side in canvas)
    expected = interpolate(jnp.asarray(scores), rows, columns, valid=valid if grid == "taps" else None)
    places = [(0, 0, 0), (0, 39, 47), (0, 17, 20), (1, 0, 29), (1, 26, 3), (1, 11, 13)]
    positions = jnp.array([(s * canvas[0] + r) * canvas[1] + c for s, r, c in places], jnp.int32)
    index, weight = cells_around(positions, canvas, jnp.asarray(size), geometry)
    found = (scores.reshape(-1)[index] * weight).sum(1)
    np.testing.assert_allclose(found, [expected[place] for place in places], atol=1e-5)
