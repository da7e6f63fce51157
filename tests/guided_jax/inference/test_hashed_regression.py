"""OSLSM's head: the hashed layer and the scores by hand, and the union of the shots' masks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.guides.guidance import Guidance, Task, keep_shots
from guided_jax.inference.hashed_regression import CODES, HashedRegression, hash_places, spread
from guided_jax.inference.union import shots_union
from guided_jax.inference.weight_variation import sum_weights, weight_variation
from tests.guided_jax.small_models import make_batch, small_model
from tests.guided_jax.variants import VARIANTS

B, S, N, M, C, D = 2, 3, 2, 4, 5, 6


def test_the_hashed_layer_by_hand():
    """The first weights from SHA-256 of their numbers, reckoned apart; and the matrix has one entry a row."""
    places, signs = hash_places(4)
    # 0: 5feceb66ffc86f38 mod 1000, then d9; 1: 6b86b273ff34fce1, 9d; 2: d4735e3a265e16ee, e0; 3: 4e07408562bedb8b, 60.
    expected = [0x5FECEB66FFC86F38 % 1000, 0x6B86B273FF34FCE1 % 1000, 0xD4735E3A265E16EE % 1000]
    assert places.tolist() == [*expected, 0x4E07408562BEDB8B % 1000]
    assert signs.tolist() == [1, 1, -1, -1]
    codes = jnp.arange(1.0, CODES + 1)
    np.testing.assert_array_equal(spread(codes, 4), signs * (places + 1))
    matrix = np.asarray(jax.jacobian(lambda codes: spread(codes, 4097))(codes))
    assert matrix.shape == (4097, CODES) and ((matrix != 0).sum(1) == 1).all() and (np.abs(matrix).sum(1) == 1).all()
    # Every code makes some four weights, and signs are even: nothing is favoured.
    assert (matrix != 0).sum(0).max() < 16 and ((matrix != 0).sum(0) == 0).mean() < 0.03
    assert abs(matrix.sum()) < 200


def make_head(rng):
    """The head with random parameters, and the function (features, task) -> (scores, weights)."""
    head = HashedRegression(C, 1, False, 2, D, 0.5, jax.nn.initializers.ones, jnp.dtype("float32"))
    query, task = jnp.zeros((B, N, M, C)), Task(jnp.zeros((B, S, C)))

    def segment(head, features, task):
        return head(head.prepare(features), task, None)

    shapes = jax.eval_shape(partial(head.init, method=segment), jax.random.key(0), query, task)["params"]
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), shapes)
    return params, lambda features, task: head.apply({"params": params}, features, task, method=segment)


def test_scores_of_every_shot_by_hand():
    rng = np.random.default_rng(0)
    params, segment = make_head(rng)
    features, z = rng.random((B, N, M, C)).astype(np.float32), rng.random((B, S, C)).astype(np.float32)
    scores, rows = segment(jnp.asarray(features), Task(jnp.asarray(z)))
    layers = jax.tree.map(np.asarray, params)
    places, signs = hash_places(D + 1)
    for b, s in np.ndindex(B, S):
        hidden = np.maximum(z[b, s] @ layers["support_fc7"]["kernel"] + layers["support_fc7"]["bias"], 0)
        codes = hidden @ layers["fc8"]["kernel"] + layers["fc8"]["bias"]
        weights = np.array([sign * codes[place] for place, sign in zip(places, signs, strict=True)])
        np.testing.assert_allclose(rows[b, s], weights, rtol=1e-4, atol=1e-4)
        for n, m in np.ndindex(N, M):
            cell = np.maximum(features[b, n, m] @ layers["fc7"]["kernel"] + layers["fc7"]["bias"], 0)
            np.testing.assert_allclose(scores[b, s, n, m], cell @ weights[:-1] + weights[-1], rtol=1e-4, atol=1e-3)


def test_how_much_the_weights_vary_is_told_of_single_shots():
    _, segment = make_head(np.random.default_rng(1))
    features = jnp.ones((B, N, M, C))
    alike = Task(jnp.ones((B, 1, C)))
    assert weight_variation([sum_weights(segment(features, alike)[1])]) == pytest.approx(0, abs=1e-5)
    apart = Task(alike.z.at[0, 0].set(jnp.array([9.0, 0, 3, 0, 7])))
    assert weight_variation([sum_weights(segment(features, apart)[1])]) > 0.1
    nothing = Task(jnp.zeros((B, 1, C)))
    assert not segment(features, nothing)[1].any()  # and is no row of the sums


def test_the_union_is_the_or_of_the_shots_binary_outputs():
    logits = np.random.default_rng(2).normal(size=(B, S, 8, 9)).astype(np.float32)
    joined = shots_union(jnp.asarray(logits))
    assert joined.shape == (B, 2, 8, 9)
    np.testing.assert_array_equal(joined.argmax(1) == 1, (1 / (1 + np.exp(-logits)) > 0.5).any(1))
    one = np.asarray(shots_union(jnp.asarray(logits[:, :1])))
    np.testing.assert_array_equal(one[:, 1] - one[:, 0], logits[:, 0])  # the softmax of two is the logistic function


def test_a_shot_without_annotation_adds_nothing():
    total = jnp.arange(12.0).reshape(1, 4, 1, 3)
    points = jnp.array([0.0, 2.0, 0.0, 1.0]).reshape(1, 4, 1)
    kept = keep_shots(Guidance(total, jnp.full((1, 4, 1), 1.0), points), "maximum")
    np.testing.assert_array_equal(kept[0], total[0, [1, 1, 1, 3], 0])
    mean = keep_shots(Guidance(total, jnp.full((1, 4, 1), 2.0), points))
    np.testing.assert_allclose(mean[0], total[0, [1, 1, 1, 3], 0] / 2, rtol=1e-6)
    assert not keep_shots(Guidance(total, jnp.ones((1, 4, 1)), 0 * points)).any()


def test_several_shots_are_the_or_of_each_alone_and_missing_annotation_is_negative():
    """In the whole network; points of the negative change nothing, since all that is no positive is masked away."""
    model, params = small_model(**VARIANTS["early-hashed-regression"])
    batch = make_batch((21, 26), (24, 32), count=3, shots=3)
    batch.annotation[1, :, 2] = UNKNOWN
    apply = jax.jit(model.apply)

    def labels(batch):
        return np.asarray(apply({"params": params}, batch))[0].argmax(1)

    def alone(shot):
        one = slice(shot, shot + 1)
        of_one = {"support": batch.support[:, one], "support_size": batch.support_size[:, one]}
        return labels(batch._replace(annotation=batch.annotation[:, :, one], **of_one))

    together, single = labels(batch), np.stack([alone(shot) for shot in range(3)])
    assert 0 < together.mean() < 1 and (single[0] != single[1]).any()
    np.testing.assert_array_equal(together, single.max(0))
    negatives = np.where(batch.annotation == UNKNOWN, np.uint8(0), batch.annotation)
    np.testing.assert_array_equal(labels(batch._replace(annotation=negatives)), together)
