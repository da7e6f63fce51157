"""ResNet's trunk: the stem and four layers of bottlenecks, with normalisation folded into the convolutions."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from guided_jax.backbones.neck import he_normal
from guided_jax.backbones.resnet.geometry import ResNetGeometry
from guided_jax.layers.convolution import convolve
from guided_jax.resample import keep_valid

EXPANSION = 4
"""Channels of a bottleneck's outputs by those of its 3x3 convolution."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the stride is in the 3x3 one (v1.5).

    Attributes:
        width: channels of the 3x3 convolution.
        stride: of the block.
        dilation: of the 3x3 convolution.
        projects: whether the shortcut is a convolution, too.
        dtype: type that is computed in.
    """

    width: int
    stride: int
    dilation: int
    projects: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, maps: Float[Array, "b n m c"], before: Int32[Array, "b 2"], after: Int32[Array, "b 2"]
    ) -> Float[Array, "b n2 m2 c2"]:
        """Maps to maps, both 0 on the padding.

        Args:
            maps: non-negative.
            before: rows and columns of cells of each image in `maps`.
            after: the same in the result.
        """
        inner = nn.Dense(self.width, dtype=self.dtype, kernel_init=he_normal, name="conv1")(maps)
        # Without a mask the shift of the normalisation would stand on the padding, where the 3x3 one must see zeros.
        inner = keep_valid(nn.relu(inner), before)
        inner = nn.Conv(
            self.width,
            (3, 3),
            strides=self.stride,
            padding=self.dilation,
            kernel_dilation=self.dilation,
            dtype=self.dtype,
            kernel_init=he_normal,
            conv_general_dilated=convolve,
            name="conv2",
        )(inner)
        # Zero at the start, so that blocks begin as their shortcuts and a deep trunk stays at one scale.
        outer = nn.Dense(EXPANSION * self.width, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="conv3")
        outer = outer(nn.relu(inner))
        if self.projects:
            # A 1x1 convolution as a matrix product, which is several times as fast on a CPU.
            maps = nn.Dense(EXPANSION * self.width, dtype=self.dtype, kernel_init=he_normal, name="downsample")(
                maps[:, :: self.stride, :: self.stride]
            )
        return keep_valid(nn.relu(outer + maps), after)


class ResNetTrunk(nn.Module):
    """The stem and the layers 1 to 4; what stays frozen when features are cached.

    Attributes:
        blocks: number of bottlenecks of each layer.
        width: channels of the stem; those of the layers' 3x3 convolutions are 1, 2, 4 and 8 times as many.
        dtype: type that is computed in; parameters are float32.
    """

    blocks: tuple[int, int, int, int]
    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w channels"], size: Int32[Array, "b 2"], geometry: ResNetGeometry
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Encodes normalised images on a canvas; see `guided_jax.backbones.backbone.Backbone.trunk`."""
        stem = nn.Conv(self.width, (7, 7), strides=2, padding=3, dtype=self.dtype, kernel_init=he_normal, name="conv1")
        maps = stem(keep_valid(image.astype(self.dtype), size))
        maps = keep_valid(nn.relu(maps), -(-size // 2))
        # Of non-negative maps: the zeros of the padding act as the minus infinity of the border.
        maps = keep_valid(nn.max_pool(maps, (3, 3), (2, 2), ((1, 1), (1, 1))), -(-size // 4))
        taps, stride, read = [], 4, [tap.number for tap in geometry.taps]
        for number, blocks in enumerate(self.blocks, 1):
            for i in range(blocks):
                before, stride = stride, geometry.stride_of(number)
                dilation = geometry.dilation_of(number if i else max(1, number - 1))
                block = Bottleneck(
                    self.width * 2 ** (number - 1),
                    stride // before,
                    dilation,
                    projects=i == 0,
                    dtype=self.dtype,
                    name=f"layer{number}_{i}",
                )
                maps = block(maps, -(-size // before), -(-size // stride))
            if number in read:
                taps.append(maps)
        return tuple(taps)
