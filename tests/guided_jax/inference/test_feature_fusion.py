import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.guides.guidance import Neighbours, Task
from guided_jax.inference import feature_fusion
from guided_jax.inference.feature_fusion import FeatureFusion

OWN = np.array([0.1, 0.7, 0.4, 0.2], np.float32)
"""Similarity of the only cell to the labels 0 to 3."""


def scores(monkeypatch, shared, nearest, score):
    """Scores of a head that sees the similarities alone: fc7 of image and guidance is 0."""
    k = len(OWN)
    monkeypatch.setattr(feature_fusion, "nearest_similarity", lambda *_: jnp.asarray(OWN).reshape(1, k, 1, 1))
    head = FeatureFusion(
        channels=1,
        labels=k,
        shared=shared,
        way=k,
        width=nearest.shape[1],
        similarity="cosine",
        dropout_rate=0.0,
        dropout_channels=True,
        kernel_init=jax.nn.initializers.zeros,
        dtype=jnp.dtype("float32"),
    )
    params = {
        "fc7": {
            "kernel": np.zeros((2 if shared else 1 + k, nearest.shape[1]), np.float32),
            "bias": np.zeros(nearest.shape[1], np.float32),
        },
        "score": {"kernel": score, "bias": np.zeros(score.shape[1], np.float32)},
        "similarity": {"kernel": nearest},
    }
    features = jnp.ones((1, 1, 1, 1))
    task = Task(jnp.zeros((1, k, 1)), None, Neighbours(jnp.ones((1, 1, 1)), jnp.ones((1, k, 1), bool)))

    def call(module):
        return module(module.prepare(features), task, None)[0]

    params = jax.tree.map(jnp.asarray, params)
    return np.asarray(head.apply({"params": params}, method=call))[0, :, 0, 0]


def test_a_label_is_given_its_own_similarity_and_the_greatest_of_any_other(monkeypatch):
    got = scores(monkeypatch, True, np.eye(2, dtype=np.float32), np.array([[1], [100]], np.float32))
    np.testing.assert_allclose(got, OWN + 100 * np.array([0.7, 0.4, 0.7, 0.7]), rtol=1e-6)


def test_an_unshared_head_is_given_all_similarities_positives_first(monkeypatch):
    k = len(OWN)
    got = scores(monkeypatch, False, np.eye(k, dtype=np.float32), np.eye(k, dtype=np.float32))
    np.testing.assert_allclose(got, [0.7, 0.4, 0.2, 0.1], rtol=1e-6)


@pytest.mark.parametrize("rate", [0.25, 0.75])
def test_dropout_of_the_head_has_its_rate(rate):
    """All scores are the mean of what is left of equal channels."""
    width = 400
    head = FeatureFusion(
        channels=1,
        labels=2,
        shared=True,
        way=2,
        width=width,
        similarity=None,
        dropout_rate=rate,
        dropout_channels=False,
        kernel_init=jax.nn.initializers.ones,
        dtype=jnp.dtype("float32"),
    )
    query, task = jnp.ones((1, 3, 4, 1)), Task(jnp.ones((1, 2, 1)))
    params = head.init(jax.random.key(0), query, method=FeatureFusion.prepare)["params"]
    params["score"]["kernel"] = jnp.full((width, 1), 1 / width)

    def call(module):
        return module(module.prepare(query), task, jax.random.split(jax.random.key(1), 1))[0]

    values = np.asarray(head.apply({"params": params}, method=call)) / 2  # fc7: 1 of the image, 1 of the guidance
    assert values.mean() == pytest.approx(1, abs=0.05)
    assert values.std() == pytest.approx(np.sqrt(rate / (1 - rate) / width), rel=0.5)
