"""Regressed weights against a computation in numpy, one label after the other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.guides.guidance import Task
from guided_jax.inference.parameter_regression import ParameterRegression

B, N, M, C, D = 2, 3, 4, 5, 6


def make_task(labels, local, rng):
    z = jnp.asarray(rng.random((B, labels, C)), jnp.float32)
    if not local:
        return Task(z)
    maps = rng.random((B, labels, N, M, C)) * (rng.random((B, labels, N, M, 1)) < 0.4)
    return Task(z, jnp.asarray(maps, jnp.float32))


def make_head(labels, shared, way, rng, **options):
    """The head with random parameters."""
    fields = {"dropout_rate": 0.5, "kernel_init": jax.nn.initializers.ones, "dtype": jnp.dtype("float32"), **options}
    head = ParameterRegression(C, labels, shared, way, D, **fields)
    query, task = jnp.zeros((B, N, M, C)), make_task(labels, False, rng)
    shapes = jax.eval_shape(partial(head.init, method=segment), jax.random.key(0), query, task, None)["params"]
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), shapes)
    return head, params


def segment(head, features, task, keys):
    return head(head.prepare(features), task, keys)


def by_hand(params, features, task, shared, way):
    """Scores and weights [k, d + 1] of one cell after the other."""
    layers = jax.tree.map(np.asarray, params)
    labels = np.asarray(task.z).shape[1]
    guidance = np.asarray(task.z)[:, :, None, None] if task.local is None else np.asarray(task.local)
    guidance = np.broadcast_to(guidance, (B, labels, N, M, C))
    scores, weights = np.zeros((B, way, N, M)), np.zeros((B, N, M, way, D + 1))
    for b, n, m in np.ndindex(B, N, M):
        hidden = np.maximum(features[b, n, m] @ layers["fc7"]["kernel"] + layers["fc7"]["bias"], 0)
        z = guidance[b, :, n, m]
        if not shared:
            together = np.concatenate([*z[1:], z[0]])  # the positives, then the negative
            flat = together @ layers["regressor"]["kernel"] + layers["regressor"]["bias"]
        for k in range(way):
            if shared:
                row = z[k] @ layers["regressor"]["kernel"] + layers["regressor"]["bias"]
            else:
                row = flat[k * (D + 1) : (k + 1) * (D + 1)]
            weights[b, n, m, k] = row
            scores[b, k, n, m] = hidden @ row[:-1] + row[-1]
    return scores, weights


CASES = [  # rows of guidance, shared, local, way
    (2, True, False, 2),
    (2, True, True, 2),
    (2, False, False, 2),
    (2, False, True, 2),
    (4, True, False, 4),
    (3, False, True, 3),
    (1, False, False, 2),  # early fusion
    (1, False, True, 3),
]


@pytest.mark.parametrize(("labels", "shared", "local", "way"), CASES)
def test_scores_and_weights_by_hand(labels, shared, local, way):
    rng = np.random.default_rng(0)
    head, params = make_head(labels, shared, way, rng)
    features, task = jnp.asarray(rng.random((B, N, M, C)), jnp.float32), make_task(labels, local, rng)
    scores, rows = head.apply({"params": params}, features, task, None, method=segment)
    expected, weights = by_hand(params, np.asarray(features), task, shared, way)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    apart = weights - weights.mean(-2, keepdims=True)
    if local:
        guided = np.asarray(task.local).any((1, -1))
        assert 0 < guided.sum() < guided.size
        apart = np.where(guided[..., None, None], apart, 0).reshape(B, N * M, -1)
    else:
        apart = apart[:, 0, 0].reshape(B, 1, -1)
    np.testing.assert_allclose(rows, apart, rtol=1e-4, atol=1e-5)


def test_one_map_for_every_label_takes_any_number_and_follows_their_order():
    rng = np.random.default_rng(1)
    head, params = make_head(2, True, 2, rng)
    features, task = jnp.asarray(rng.random((B, N, M, C)), jnp.float32), make_task(4, False, rng)
    scores, _ = head.apply({"params": params}, features, task, None, method=segment)
    assert scores.shape == (B, 4, N, M)
    turned = Task(task.z[:, jnp.array([2, 0, 3, 1])])
    others, _ = head.apply({"params": params}, features, turned, None, method=segment)
    np.testing.assert_allclose(others, scores[:, jnp.array([2, 0, 3, 1])], rtol=1e-6)


def test_equal_guidance_at_every_cell_is_global_guidance():
    rng = np.random.default_rng(2)
    head, params = make_head(2, False, 2, rng)
    features, task = jnp.asarray(rng.random((B, N, M, C)), jnp.float32), make_task(2, False, rng)
    local = task._replace(local=jnp.broadcast_to(task.z[:, :, None, None], (B, 2, N, M, C)))
    scores, rows = head.apply({"params": params}, features, task, None, method=segment)
    others, of_cells = head.apply({"params": params}, features, local, None, method=segment)
    np.testing.assert_allclose(others, scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_cells, jnp.broadcast_to(rows, of_cells.shape), rtol=1e-5, atol=1e-5)


def test_dropout_drops_whole_channels_of_the_query_of_each_episode():
    """With the identity for fc7 and ones for weights, a score is the sum of the channels that are kept, twice."""
    head = ParameterRegression(C, 1, True, 2, C, 0.5, jax.nn.initializers.ones, jnp.dtype("float32"))
    params = {
        "fc7": {"kernel": jnp.eye(C), "bias": jnp.zeros(C)},
        "regressor": {"kernel": jnp.zeros((C, C + 1)), "bias": jnp.ones(C + 1).at[-1].set(0)},
    }
    features = jnp.broadcast_to(jnp.array([1.0, 2.0, 4.0, 8.0, 16.0]), (B, N, M, C))
    keys = jax.random.split(jax.random.key(0), B)
    scores, _ = head.apply({"params": params}, features, Task(jnp.ones((B, 1, C))), keys, method=segment)
    assert all(len(np.unique(one)) == 1 for one in np.asarray(scores))
    assert scores[0, 0, 0, 0] != scores[1, 0, 0, 0]
    assert np.all(np.asarray(scores) % 2 == 0) and np.asarray(scores).max() < 2 * 2**C
