"""Side outputs of the trunk's stages, side by side on the grid of the finest (OSVOS, Caelles et al. 2017)."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from guided_jax.backbones.geometry import Geometry
from guided_jax.backbones.neck import to_finest
from guided_jax.resample import keep_valid


class SideNeck(nn.Module):
    """A 3x3 convolution of each stage to a few channels, without a nonlinearity, interpolated to the finest grid.

    As `side_prep` and `upscale` of OSVOS-PyTorch's network, but that these go to the pixels at once; since the layer
    behind is linear, that differs by the interpolation alone.

    Attributes:
        width: number of channels of each stage.
        kernel_init: initialises the convolutions.
        dtype: type that is computed in.
    """

    width: int
    kernel_init: Callable
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        maps: tuple[Float[Array, "b _ _ _"], ...],
        canvas: tuple[int, int],
        size: Int32[Array, "b 2"],
        keys: Key[Array, " b"] | None,
        geometry: Geometry,
    ) -> Float[Array, "b n m c"]:
        """The channels of all stages, finest first; 0 on the padding.

        Args:
            maps: what the trunk gives, or the same from a cache (float16).
            canvas: height and width of the canvas in pixels.
            size: true height and width of each image in pixels.
            keys: not used; there is no dropout.
            geometry: the grid.
        """
        del keys
        conv = partial(nn.Conv, self.width, (3, 3), padding=1, dtype=self.dtype, kernel_init=self.kernel_init)
        sides = [
            conv(name=f"side{tap.number}")(each.astype(self.dtype))
            for tap, each in zip(geometry.taps, maps, strict=True)
        ]
        finest = [to_finest(side, tap, canvas, size, geometry) for tap, side in zip(geometry.taps, sides, strict=True)]
        return keep_valid(jnp.concatenate(finest, -1), geometry.cells(size))
