"""Principal directions keep inner products, those along which vectors are long first."""

import numpy as np
import pytest

from guided_jax.backbones.principal import principal_directions


def test_by_hand():
    """Vectors of length 3 along (0.6, 0.8) and of length 1 along (-0.8, 0.6); the greatest entry is made positive."""
    vectors = np.array([[1.8, 2.4], [-1.8, -2.4], [-0.8, 0.6]])
    found = principal_directions(vectors.T @ vectors, 2)
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.8, -0.6]], atol=1e-6)


def test_all_directions_keep_every_inner_product_and_few_the_most_of_it():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6)) * [9, 5, 3, 1, 0.1, 0.01]
    moment = vectors.T @ vectors
    whole = vectors @ principal_directions(moment, 6)
    np.testing.assert_allclose(whole @ whole.T, vectors @ vectors.T, rtol=1e-4, atol=1e-3)
    lengths = (whole**2).sum(0)
    assert (np.diff(lengths) < 0).all()
    few = principal_directions(moment, 3)
    np.testing.assert_allclose(few.T @ few, np.eye(3), atol=1e-6)
    assert ((vectors @ few) ** 2).sum() > 0.99 * (vectors**2).sum()


@pytest.mark.parametrize("number", [0, 4])
def test_as_many_as_there_are(number):
    with pytest.raises(ValueError, match=rf"{number} principal directions of 3 channels; there are 1 to 3"):
        principal_directions(np.eye(3), number)
