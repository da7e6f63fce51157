import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.layers.dropout import dropout

KEYS = jax.random.split(jax.random.key(0), 3)
ONES = jnp.ones((3, 20, 25, 16), jnp.float32)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_rate_is_the_share_that_is_dropped_and_the_rest_is_scaled_up(rate):
    dropped = np.asarray(dropout(ONES, KEYS, rate, channels=False))
    assert (dropped == 0).mean() == pytest.approx(rate, abs=0.02)
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / (1 - rate)], rtol=1e-6)
    assert dropped.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("rate", [0.1, 0.8])
def test_channels_are_dropped_at_every_cell_and_in_every_entry_of_their_own(rate):
    values = jnp.ones((3, 2, 4, 5, 500), jnp.float32)
    dropped = np.asarray(dropout(values, KEYS, rate, channels=True)) == 0
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :, :1, :1], dropped.shape))
    assert dropped.mean() == pytest.approx(rate, abs=0.04)
    assert (dropped[0] != dropped[1]).any() and (dropped[:, 0] != dropped[:, 1]).any()


def test_nothing_is_dropped_in_evaluation_or_at_a_rate_of_0():
    for keys, rate in ((None, 0.5), (KEYS, 0.0)):
        np.testing.assert_array_equal(dropout(ONES, keys, rate, channels=False), ONES)
    half = dropout(ONES.astype(jnp.bfloat16), KEYS, 0.5, channels=True)
    assert half.dtype == jnp.bfloat16
