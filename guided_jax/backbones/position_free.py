"""Features without what they say of where they lie: the projection out of a trunk's positional subspace.

Features of DINOv3 tell the place of a patch in its image, and so patches of two images look alike for lying alike
(INSID3, Cuttano et al. 2026, 3.1). What they tell is seen in the features of an image that shows nothing.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from guided_jax.resample import unit

BLANK = 40
"""Cells a side of the blank image; 1,600 in all, more than the widest backbone here has channels."""


class PositionFree(nn.Module):
    """The neck that leaves out some directions of the features; what is left is of unit length again.

    Attributes:
        number: of directions.
    """

    number: int

    @nn.compact
    def __call__(self, features: Float[Array, "b n m c"]) -> Float[Array, "b n m c"]:
        """Projects features of unit length; zeros stay zeros. float32."""
        shape = (features.shape[-1], self.number)
        directions = self.param("directions", nn.initializers.zeros, shape)
        features = unit(features)
        along = jnp.einsum("bnmc,ck->bnmk", features, directions, precision="highest")
        return unit(features - jnp.einsum("bnmk,ck->bnmc", along, directions, precision="highest"))


def positional_directions(features: Float[np.ndarray, "n c"], number: int) -> Float[np.ndarray, "c k"]:
    """Orthonormal directions along which the features of a blank image differ most from cell to cell.

    Args:
        features: of all cells.
        number: of directions.

    Raises:
        ValueError: there are not so many directions.
    """
    most = min(features.shape[1], len(features) - 1)
    if not 1 <= number <= most:
        raise ValueError(f"{number} positional directions of {features.shape[1]} channels; there are 1 to {most}")
    values = features.astype(np.float64)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    values -= values.mean(0)
    return np.linalg.eigh(values.T @ values)[1][:, ::-1][:, :number].astype(np.float32)
