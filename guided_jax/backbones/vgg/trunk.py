"""VGG in fully convolutional form, as a table: the trunk of convolutions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from guided_jax.backbones.neck import he_normal
from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.layers.convolution import convolve
from guided_jax.resample import keep_valid

STAGES: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg16": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "vgg16-quarter": ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128), (128, 128, 128)),
    "vgg-small": ((16,), (32,), (64, 64)),
    "vgg-tiny": ((4,), (8,), (8,)),
}
"""Widths of the convolutions of each stage; a 2x2 max-pooling follows each stage."""


def conv_names(stages: tuple[tuple[int, ...], ...]) -> list[str]:
    """Names of a trunk's convolutions as VGG's authors give them: conv1_1, conv1_2, ..."""
    return [f"conv{s}_{i}" for s, widths in enumerate(stages, 1) for i in range(1, len(widths) + 1)]


def _max_pool(maps: Float[Array, "b n m c"], stride: int, dilation: int) -> Float[Array, "b n2 m2 c"]:
    """2x2 max-pooling that keeps the windows cut by the border (Caffe's ceil mode)."""
    lowest = np.array(-np.inf, maps.dtype)  # a traced value would hide from JAX that this is a max-pooling
    high = [side % 2 if stride == 2 else dilation for side in maps.shape[1:3]]
    padding = ((0, 0), (0, high[0]), (0, high[1]), (0, 0))
    return jax.lax.reduce_window(
        maps,
        lowest,
        jax.lax.max,
        (1, 2, 2, 1),
        (1, stride, stride, 1),
        padding,
        window_dilation=(1, dilation, dilation, 1),
    )


class Trunk(nn.Module):
    """The convolutions; what stays frozen when features are cached.

    Attributes:
        stages: widths of the convolutions of each stage, a value of `STAGES`.
        dtype: type that is computed in; parameters are float32.
    """

    stages: tuple[tuple[int, ...], ...]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w channels"], size: Int32[Array, "b 2"], geometry: VGGGeometry
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Encodes normalised images on a canvas.

        Args:
            image: normalised; what lies on the padding does not matter. Early fusion adds channels to the 3.
            size: true height and width of each image in pixels.
            geometry: the grid; an exact and a dilated one have the same parameters.

        Returns:
            The maps that the neck reads, finest first; non-negative, and 0 on the padding. The same,
            to rounding, as those of each image alone on a canvas of its own size.
        """
        sizes = geometry.stage_sizes(size)
        taps = []
        maps = keep_valid(image.astype(self.dtype), size)
        for stage, widths in enumerate(self.stages, 1):
            dilation = geometry.dilation(stage)
            for i, width in enumerate(widths, 1):
                pad = geometry.pad if stage == i == 1 else dilation
                maps = nn.Conv(
                    width,
                    (3, 3),
                    padding=pad,
                    kernel_dilation=dilation,
                    dtype=self.dtype,
                    kernel_init=he_normal,
                    conv_general_dilated=convolve,
                    name=f"conv{stage}_{i}",
                )(maps)
                maps = keep_valid(nn.relu(maps), sizes[stage - 1])
            if stage in geometry.tap_stages:
                taps.append(maps)
            if stage < len(self.stages) or not taps:
                maps = _max_pool(maps, geometry.pool_stride(stage), dilation)
                maps = keep_valid(maps, sizes[stage]) if geometry.pool_stride(stage) == 1 else maps
        return tuple(taps) or (maps,)
