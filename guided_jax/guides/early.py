"""Early fusion (paper 4.1, prior work): an encoder of its own sees image and annotation together.

Nothing of it can be cached: each new click runs the whole encoder again. Its features are not those of the
query's encoder, so they guide a learned head, but no comparison.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, UInt8

from guided_jax.episode import UNKNOWN
from guided_jax.guides.guidance import Guidance
from guided_jax.resample import valid_cells


def guide(
    features: Float[Array, "*b n m c"],
    annotation: UInt8[Array, "*b h w"],
    cells: Int32[Array, "*b 2"],
    pooling: str = "average",
    *,
    local: bool = False,
) -> Guidance:
    """Pools the support encoder's features over the image (as co-FCN), for all labels together: k is 1.

    A shot without any annotation says nothing and is skipped; the reference would pool its features, too.

    Args:
        features: features of image and annotation together; 0 on the padding, else not negative.
        annotation: labels; 255 where unannotated, and on the padding.
        cells: number of rows and columns of cells on the image.
        pooling: average or maximum.
        local: whether the features are kept, each cell with the same weight.
    """
    features = features.astype(jnp.float32)
    total = features.max((-3, -2)) if pooling == "maximum" else features.sum((-3, -2))
    mass = jnp.prod(cells, axis=-1).astype(jnp.float32)
    points = (annotation != UNKNOWN).sum((-2, -1)).astype(jnp.float32)
    if not local:
        return Guidance(total[..., None, :], mass[..., None], points[..., None])
    inside = valid_cells(features.shape[-3:-1], cells)[..., None, :, :].astype(jnp.float32)
    # Normalised by the mass later on, as masks are: the features stay as they are.
    return Guidance(
        total[..., None, :], mass[..., None], points[..., None], features, inside * mass[..., None, None, None]
    )
