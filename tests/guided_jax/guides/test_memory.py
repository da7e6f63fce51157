"""The similarities of a memory against loops in numpy, and certainties by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from guided_jax.guides.memory import (
    Remembered,
    Similarities,
    certainty_of,
    clip_similarities,
    lose_far_away,
    similarity_to_all,
    similarity_within,
    sum_similarities,
)

TASKS, LABELS = 2, 3


def features_of(shape, channels=5, seed=0):
    """Unit length, not negative."""
    values = np.random.default_rng(seed).random((*shape, channels), np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def remembered_of(shape, frames=1, seed=1):
    """Each cell certain of one label in each task."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, LABELS, (TASKS, frames, *shape))
    certainty = (np.arange(LABELS)[:, None, None, None] == labels[:, None]) * rng.random((TASKS, 1, frames, *shape))
    return Remembered(jnp.asarray(features_of((frames, *shape), seed=seed)), jnp.asarray(certainty, jnp.float32))


@pytest.mark.parametrize("shape", [(5, 7), (12, 14)], ids=["within a block", "several blocks"])
def test_the_likest_of_all_remembered_cells(shape):
    query, remembered = features_of(shape), remembered_of(shape, frames=2)
    cosines = np.einsum("nmc,sxyc->nmsxy", query, remembered.features)
    expected = (cosines * np.asarray(remembered.certainty)[:, :, None, None]).max((4, 5, 6))
    np.testing.assert_allclose(similarity_to_all(jnp.asarray(query), remembered), expected, atol=1e-6)


@pytest.mark.parametrize("reach", [1, 3, 7])
@pytest.mark.parametrize("shape", [(5, 7), (8, 16), (19, 21)])
def test_the_likest_cell_within_reach(shape, reach):
    query, remembered = features_of(shape), remembered_of(shape)
    certainty = np.asarray(remembered.certainty)[:, :, 0]
    found = np.asarray(similarity_within(jnp.asarray(query), remembered, reach))
    if reach == 7:  # 56 pixels at a stride of 8
        np.testing.assert_array_equal(similarity_within(jnp.asarray(query), remembered), found)
    for y, x in np.ndindex(shape):
        near = np.s_[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        cosines = np.asarray(remembered.features)[0][near] @ query[y, x]
        np.testing.assert_allclose(found[:, :, y, x], (cosines * certainty[:, :, *near]).max((2, 3)), atol=1e-6)


def test_padding_and_unknown_cells_are_like_nothing():
    query, remembered = features_of((6, 6)), remembered_of((6, 6))
    roomy = Remembered(
        jnp.pad(remembered.features, ((0, 0), (0, 3), (0, 5), (0, 0))),
        jnp.pad(remembered.certainty, ((0, 0), (0, 0), (0, 0), (0, 3), (0, 5))),
    )
    padded = jnp.pad(jnp.asarray(query), ((0, 3), (0, 5), (0, 0)))
    for similarity in (similarity_to_all, similarity_within):
        found = similarity(padded, roomy)
        np.testing.assert_allclose(found[:, :, :6, :6], similarity(jnp.asarray(query), remembered), atol=1e-6)
        assert (found[:, :, 6:] == 0).all() and (found[:, :, :, 6:] == 0).all()
        assert (similarity(jnp.asarray(query), remembered._replace(certainty=0 * remembered.certainty)) == 0).all()


def test_what_is_annotated_in_this_frame_stands_for_the_previous_one():
    features, remembered = jnp.asarray(features_of((6, 6))), remembered_of((6, 6))
    known = np.zeros((TASKS, LABELS, 6, 6), np.float32)
    known[0, 2, 1, 4] = 1
    found = clip_similarities(features, jnp.ones((TASKS, LABELS, 5)), remembered, remembered, jnp.asarray(known))
    np.testing.assert_array_equal(found.previous[0, :, 1, 4], [0, 0, 1])
    np.testing.assert_array_equal(found.previous[1], similarity_within(features, remembered)[1])
    mean = np.ones(5) / np.sqrt(5)
    np.testing.assert_allclose(found.prototypes[1, 2], np.asarray(features) @ mean, atol=1e-6)


def test_the_sum():
    ones = jnp.ones((1, 2, 1, 1))
    found = Similarities(ones, 10 * ones, 100 * ones)
    assert float(sum_similarities(found, jnp.array([3.0, 5.0]), 4.0)[0, 0, 0, 0]) == 3 + 5 * (10 + 4 * 100)
    assert float(sum_similarities(found, jnp.array([3.0, 5.0]))[0, 0, 0, 0]) == 3 + 5 * (10 + 2 * 100)


def test_certainty_is_the_margin_of_the_winner_and_the_annotation_is_certain():
    shares = np.array([0.5, 0.3, 0.2])
    scores = jnp.asarray(np.log(shares)[None, :, None, None] / 3 * np.ones((1, 1, 1, 3)), jnp.float32)
    scores = scores.at[0, :, 0, 1].set(0.0)
    known = jnp.zeros((1, 3, 1, 3)).at[0, 1, 0, 2].set(1.0)
    found = certainty_of(scores, known)[0, :, 0]
    np.testing.assert_allclose(found[:, 0], [0.2, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(found[:, 1], 0)  # undecided
    np.testing.assert_array_equal(found[:, 2], [0, 1, 0])


def test_objects_lose_far_from_where_they_are_annotated():
    known = np.zeros((1, 3, 20, 30), np.float32)
    known[0, 0, 5, 5] = known[0, 1, 3, 4] = known[0, 1, 15, 9] = 1
    loss = -np.asarray(lose_far_away(jnp.zeros_like(known), jnp.asarray(known)))[0]
    assert (loss[0] == 0).all() and (loss[2] == 0).all()  # the negative, and what is not annotated here
    distance = np.minimum(distance_transform_edt(known[0, 1] == 0), 15)
    np.testing.assert_allclose(loss[1], 8 / 15 * distance, atol=1e-5)
