"""The decoder's neck: by hand, on one map."""

import jax.numpy as jnp
import numpy as np

from guided_jax.backbones.spatial_neck import SpatialNeck
from guided_jax.backbones.vgg.geometry import VGGGeometry


def test_maps_have_a_mean_square_of_one_and_the_embedding_unit_length():
    """Four channels of equal values count as 1 each; 2 x 1 of the 2 x 2 cells are the image's."""
    layers = {
        "tap3": {"kernel": jnp.array([[1.0, -1.0]] * 4), "bias": jnp.array([0.5, 0.0])},
        "embedding": {"kernel": jnp.array([[3.0, 4.0, 0.0], [9.0, 9.0, 9.0]])},
    }
    maps, size = (jnp.full((1, 2, 2, 4), 7.0),), jnp.array([[8, 4]], jnp.int32)
    neck = SpatialNeck(width=2, embedding=3, principal=0, dtype=jnp.dtype("float32"))
    found = neck.apply({"params": layers}, maps, (8, 8), size, VGGGeometry("taps", 3, 4, 1))
    np.testing.assert_allclose(found[0, :, 0], [[4.5, 0.0, 0.6, 0.8, 0.0]] * 2, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[0, :, 1], 0)
