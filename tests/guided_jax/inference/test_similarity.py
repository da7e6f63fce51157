import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.guides.guidance import Neighbours, Task
from guided_jax.inference import similarity
from guided_jax.inference.distance import Distance
from guided_jax.inference.similarity import nearest_similarity, prototype_similarity

METRICS = ["cosine", "euclidean"]


def uniform(rng, *shape):
    return jnp.asarray(rng.random(shape), jnp.float32)


def by_hand(query, other, metric):
    """Similarity of two vectors in float64."""
    query, other = np.asarray(query, np.float64), np.asarray(other, np.float64)
    if metric == "euclidean":
        return -np.mean((query - other) ** 2)
    lengths = np.linalg.norm(query) * np.linalg.norm(other)
    return query @ other / lengths if lengths else 0.0


def kept(rng, b=2, k=3, j=23, c=5) -> Neighbours:
    of_label = rng.random((b, k, j)) < 0.3
    of_label[1, 2] = False  # a label that no shot annotates
    return Neighbours(uniform(rng, b, j, c), jnp.asarray(of_label))


def test_prototypes_by_hand():
    query = jnp.array([[[[3.0, 4.0], [0.0, 2.0]]]])
    z = jnp.array([[[4.0, 3.0], [0.0, 0.0]]])  # the second label is not annotated
    cosine = prototype_similarity(query, z, "cosine")
    np.testing.assert_allclose(cosine, [[[[24 / 25, 3 / 5]], [[0.0, 0.0]]]], rtol=1e-6)
    euclidean = prototype_similarity(query, z, "euclidean")
    np.testing.assert_allclose(euclidean, [[[[-1.0, -8.5]], [[-12.5, -2.0]]]], rtol=1e-6)


def test_a_cosine_does_not_depend_on_lengths_and_a_distance_does():
    rng = np.random.default_rng(0)
    query, z = uniform(rng, 1, 2, 3, 4), uniform(rng, 1, 2, 4)
    longer = 7 * z
    np.testing.assert_allclose(
        prototype_similarity(query, z, "cosine"), prototype_similarity(query, longer, "cosine"), rtol=1e-5
    )
    assert np.all(prototype_similarity(query, longer, "euclidean") < prototype_similarity(query, z, "euclidean"))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block", [1024, 23, 7, 1])
def test_neighbours_are_those_of_a_search_in_blocks_of_any_size(monkeypatch, metric, block):
    monkeypatch.setattr(similarity, "BLOCK", block)
    rng = np.random.default_rng(1)
    query, neighbours = uniform(rng, 2, 3, 4, 5), kept(rng)
    got = nearest_similarity(query, neighbours, metric)
    for index in np.ndindex(2, 3, 3, 4):
        i, label, row, column = index
        some = np.asarray(neighbours.features)[i][np.asarray(neighbours.of_label)[i, label]]
        others = [by_hand(query[i, row, column], other, metric) for other in some]
        expected = max(others) if others else by_hand(query[i, row, column], np.zeros(5), metric)
        np.testing.assert_allclose(got[index], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_have_the_gradient_of_one_block(monkeypatch, metric):
    rng = np.random.default_rng(2)
    query, (features, of_label) = uniform(rng, 2, 3, 4, 5), kept(rng)
    factors = rng.normal(size=(2, 3, 3, 4)).astype(np.float32)

    def gradient():
        def total(query, features):
            return jnp.sum(factors * nearest_similarity(query, Neighbours(features, of_label), metric))

        return jax.jit(jax.grad(total, (0, 1)))(query, features)

    whole = gradient()
    monkeypatch.setattr(similarity, "BLOCK", 7)
    for one, other in zip(whole, gradient(), strict=True):
        assert np.isfinite(one).all() and np.abs(one).max() > 1e-3
        np.testing.assert_allclose(other, one, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("metric", METRICS)
def test_cells_of_no_label_are_not_looked_at(monkeypatch, metric):
    """However they lie among the others, and where they fill up the last block."""
    monkeypatch.setattr(similarity, "BLOCK", 4)
    rng = np.random.default_rng(5)
    query, (features, of_label) = uniform(rng, 2, 3, 4, 5), kept(rng)
    nobody = ~np.asarray(of_label).any(1)
    assert nobody.any()
    spoilt = jnp.where(jnp.asarray(nobody)[..., None], jnp.nan, features)
    np.testing.assert_array_equal(
        nearest_similarity(query, Neighbours(spoilt, of_label), metric),
        nearest_similarity(query, Neighbours(features, of_label), metric),
    )


@pytest.mark.parametrize("metric", METRICS)
def test_one_neighbour_a_label_is_its_prototype(metric):
    """In its value and in its gradient, which a search in blocks has of its own."""
    rng = np.random.default_rng(3)
    query, z, factors = uniform(rng, 2, 3, 4, 5), uniform(rng, 2, 3, 5), uniform(rng, 2, 3, 3, 4)
    of_label = jnp.tile(jnp.eye(3, dtype=bool), (2, 1, 1))

    def nearest(query, z):
        found = nearest_similarity(query, Neighbours(z, of_label), metric)
        return jnp.sum(factors * found), found

    def prototype(query, z):
        found = prototype_similarity(query, z, metric)
        return jnp.sum(factors * found), found

    one, other = (jax.grad(of, (0, 1), has_aux=True)(query, z) for of in (nearest, prototype))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, other)


@pytest.mark.parametrize(("locality", "factor"), [("global", [10.0]), ("local", [10.0]), ("both", [10.0, 10.0])])
def test_scores_are_similarities_times_the_temperature(locality, factor):
    rng = np.random.default_rng(4)
    query, neighbours = uniform(rng, 2, 3, 4, 5), kept(rng)
    task = Task(uniform(rng, 2, 3, 5), None, neighbours)
    head = Distance("cosine", locality)
    params = head.init(jax.random.key(0), query, task, None)
    np.testing.assert_allclose(np.exp(params["params"]["log_temperature"]), factor, rtol=1e-6)
    parts = {
        "global": prototype_similarity(query, task.z, "cosine"),
        "local": nearest_similarity(query, neighbours, "cosine"),
    }
    parts["both"] = parts["global"] + parts["local"]
    scores, weights = head.apply(params, query, task, None)
    assert weights is None
    np.testing.assert_allclose(scores, 10 * parts[locality], rtol=1e-5)
    if locality == "both":  # prototypes first
        apart = {"params": {"log_temperature": jnp.log(jnp.array([2.0, 3.0]))}}
        expected = 2 * parts["global"] + 3 * parts["local"]
        np.testing.assert_allclose(head.apply(apart, query, task, None)[0], expected, rtol=1e-5)
