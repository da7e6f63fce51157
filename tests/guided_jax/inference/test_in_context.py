from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from guided_jax.backbones.position_free import PositionFree, positional_directions
from guided_jax.guides.guidance import Neighbours, Task
from guided_jax.inference.clustering import k_means
from guided_jax.inference.in_context import InContext, gram_energy


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_k_means_is_scipys():
    values, counts = draw(60, 5), np.arange(60) % 3 > 0
    centres, exists = jax.jit(k_means, static_argnums=2)(jnp.asarray(values), jnp.asarray(counts), 4)
    some = values[counts]
    starts = [some.mean(0)]  # the first start is farthest from it, each other one from all starts
    for number in range(4):
        distances = np.min([((some - start) ** 2).sum(-1) for start in starts], 0)
        starts = [*starts[number == 0 :], some[distances.argmax()]]
    theirs, _ = kmeans2(some, np.stack(starts), iter=10, minit="matrix")
    assert exists.all()
    np.testing.assert_allclose(centres, theirs, atol=1e-5)


@pytest.mark.parametrize(("counted", "there"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 1, 0])])
def test_there_are_no_more_centres_than_different_values(counted, there):
    values = jnp.array([[9.0, 9.0], [0.0, 1.0], [0.0, 1.0], [2.0, 0.0]])
    counts = jnp.array([False, counted > 0, counted > 0, counted > 1])
    centres, exists = k_means(values, counts, 3)
    np.testing.assert_array_equal(exists, np.array(there, bool))
    expected = {1: [[0, 1]], 2: [[2, 0], [0, 1]]}.get(counted, np.zeros((0, 2)))
    np.testing.assert_allclose(centres[:counted], expected)


@partial(jax.jit, static_argnames=("clusters", "gram", "backward"))
def score(query, task, *, clusters=1, gram=False, backward=False):
    head = InContext(clusters, gram, backward)
    return head.apply({"params": {"log_temperature": jnp.zeros(1)}}, query, task, None)[0]


def neighbours_of(vectors, labels, way=2):
    """Representations of one episode, each of a label."""
    of_label = np.stack([np.asarray(labels) == k for k in range(way)])
    return Neighbours(jnp.asarray(vectors, jnp.float32)[None], jnp.asarray(of_label)[None])


EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def test_plain_scores_are_cosines_to_the_prototypes():
    task = Task(jnp.array([[EAST, NORTH]]), None, neighbours_of([EAST, NORTH], [0, 1]))
    query = jnp.array([[[[3.0, 4.0], [0.0, 0.0]]]])
    np.testing.assert_allclose(score(query, task)[0, :, 0], [[0.6, 0], [0.8, 0]], atol=1e-6)


def test_clusters_follow_a_label_of_two_kinds():
    """The mean of east and west is nothing; as two clusters each kind is found. Greatest times mean of the cosines."""
    task = Task(jnp.array([[NORTH, [0.0, 0.0]]]), None, neighbours_of([NORTH, EAST, WEST], [0, 1, 1]))
    query = jnp.array([[[EAST, NORTH, [0.6, 0.8]]]])
    np.testing.assert_allclose(score(query, task)[0, 1, 0], 0, atol=1e-6)
    clustered = score(query, task, clusters=2)
    np.testing.assert_allclose(clustered[0, 0, 0], [0, 1, 0.8], atol=1e-6)  # one kind: the cosine alone
    np.testing.assert_allclose(clustered[0, 1, 0], [1 * 0, 0, 0.6 * 0], atol=1e-6)
    kinds = neighbours_of([NORTH, EAST, [0.6, 0.8]], [0, 1, 1])
    near = score(query, Task(task.z, None, kinds), clusters=2)[0, 1, 0]
    np.testing.assert_allclose(near, [1 * 0.8, 0.8 * 0.4, 1 * 0.8], atol=1e-6)


def test_the_backward_check_refuses_what_is_nearest_to_another_label():
    """The label's mean is nearer to the query than that of the others, but not the nearest representation."""
    kept = neighbours_of([[0.6, 0.8], WEST, EAST, NORTH], [0, 0, 1, 1])
    task = Task(jnp.array([[[-0.2, 0.4], [0.5, 0.5]]]), None, kept)
    query = jnp.array([[[[0.6, 0.8], EAST]]])
    assert (score(query, task)[0, 1] > score(query, task)[0, 0]).all()
    checked = score(query, task, backward=True)
    assert checked[0, :, 0].argmax(0).tolist() == [0, 1]
    assert checked[0, 1, 0, 0] == -2 and checked[0, 0, 0, 1] == -2


def test_gram_energy_by_hand():
    """Of north and east alike, G is half the identity for label 1; that of label 0 sees the east alone."""
    kept = neighbours_of([EAST, NORTH, WEST], [0, 1, 1])
    query = jnp.array([[[EAST, NORTH, [0.0, 5.0], [0.0, 0.0]]]])
    energy = gram_energy(query, kept)
    np.testing.assert_allclose(energy[0, 0, 0], [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(energy[0, 1, 0], 0, atol=1e-6)  # everywhere the same
    squares = (np.asarray(query) @ np.array([EAST, [0.6, 0.8]]).T) ** 2  # the mean of squared cosines, in general
    both = gram_energy(query[:, :, :2], neighbours_of([EAST, [0.6, 0.8]], [1, 1]))[0, 1, 0]
    mean = squares[0, 0, :2].mean(-1)
    np.testing.assert_allclose(both, (mean - mean.min()) / np.ptp(mean), atol=1e-6)


def test_empty_labels_and_gradients_stay_finite():
    options = {"clusters": 3, "gram": True, "backward": True}
    vectors, query = draw(6, 4), jnp.asarray(draw(1, 2, 3, 4, seed=1))
    task = Task(jnp.zeros((1, 3, 4)), None, neighbours_of(vectors, [0, 0, 0, 1, 1, 1], way=3))
    scores = score(query, task, **options)
    assert scores.shape == (1, 3, 2, 3) and np.isfinite(scores).all()

    def total(features):
        return score(query, task._replace(neighbours=task.neighbours._replace(features=features)), **options).sum()

    assert np.isfinite(jax.grad(total)(task.neighbours.features)).all()


def test_what_tells_the_place_is_projected_out():
    """Features of a place and a thing: those of the place are found on a blank image, and those of the thing stay."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((12, 12)))[0].astype(np.float32)
    places, things = basis[:, :3], basis[:, 3:]
    blank = 0.3 * rng.standard_normal((50, 3)).astype(np.float32) @ places.T + basis[:, 11]
    directions = positional_directions(blank, 3)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-5)
    thing = things @ rng.standard_normal(9).astype(np.float32)
    seen = thing + rng.standard_normal((1, 2, 3, 3)).astype(np.float32) @ places.T
    seen[0, 1, 2] = 0
    found = PositionFree(3).apply({"params": {"directions": jnp.asarray(directions)}}, jnp.asarray(seen))
    alike = np.asarray(found) @ (thing / np.linalg.norm(thing))
    np.testing.assert_allclose(alike.ravel()[:5], 1, atol=0.02)
    assert not found[0, 1, 2].any()
    with pytest.raises(ValueError, match="13 positional directions of 12 channels; there are 1 to 12"):
        positional_directions(blank, 13)
