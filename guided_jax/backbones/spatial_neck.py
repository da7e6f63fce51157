"""From the trunk's maps to what the spatial decoder reads: features of the image, and representations to compare."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from guided_jax.backbones.geometry import Geometry
from guided_jax.backbones.neck import he_normal, raw_features, sum_taps
from guided_jax.resample import keep_valid, unit


class SpatialNeck(nn.Module):
    """Linear maps of the stages, each cell scaled to unit length first, so that no stage outweighs another.

    Attributes:
        width: number of channels of the image's features.
        embedding: number of channels of a learned representation of unit length.
        principal: number of channels of a fixed one, the stages' own representation on its principal directions, whose
            cosines are about those of the stages themselves; 0: none. Not meant to learn: see
            `guided_jax.backbones.principal`, and freeze `neck/principal`.
        dtype: type that is computed in.
    """

    width: int
    embedding: int
    principal: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        maps: tuple[Float[Array, "b _ _ _"], ...],
        canvas: tuple[int, int],
        size: Int32[Array, "b 2"],
        geometry: Geometry,
    ) -> Float[Array, "b n m c"]:
        """Features of the image [width], then those to compare [embedding + principal]; 0 on the padding.

        Args:
            maps: what the trunk gives, or the same from a cache (float16).
            canvas: height and width of the canvas in pixels.
            size: true height and width of each image in pixels.
            geometry: the grid.
        """
        # Values of about 1 instead of a length of 1: He's initialisation expects them.
        scaled = tuple((unit(each) * jnp.sqrt(jnp.float32(each.shape[-1]))).astype(self.dtype) for each in maps)
        parts = [
            nn.Dense(self.width, use_bias=not i, dtype=self.dtype, kernel_init=he_normal, name=f"tap{tap.number}")(each)
            for i, (tap, each) in enumerate(zip(geometry.taps, scaled, strict=True))
        ]
        features = nn.relu(sum_taps(parts, canvas, size, geometry))
        found = [features, unit(nn.Dense(self.embedding, use_bias=False, dtype=self.dtype, name="embedding")(features))]
        if self.principal:
            raw = raw_features(maps, canvas, size, geometry)
            found.append(unit(nn.Dense(self.principal, use_bias=False, name="principal")(raw)))
        return keep_valid(jnp.concatenate([each.astype(self.dtype) for each in found], -1), geometry.cells(size))
