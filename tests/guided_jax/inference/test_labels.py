"""From logits to labels."""

import jax.numpy as jnp
import numpy as np

from guided_jax.inference.labels import predict_labels


def test_predictions_take_the_negative_on_a_tie():
    logits = jnp.asarray(np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0]], np.float32).reshape(2, 1, 3))
    assert predict_labels(logits).tolist() == [[0, 0, 1]]
