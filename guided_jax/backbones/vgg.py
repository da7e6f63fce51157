"""VGG in fully convolutional form, as a table: the trunk of convolutions, and fc6 as the neck."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Key

from guided_jax.backbones.geometry import Geometry
from guided_jax.dropout import dropout
from guided_jax.resample import bilinear_weights, cell_centres, interpolate, keep_valid, unit

STAGES: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg16": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "vgg16-quarter": ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128), (128, 128, 128)),
    "vgg-small": ((16,), (32,), (64, 64)),
    "vgg-tiny": ((4,), (8,), (8,)),
}
"""Widths of the convolutions of each stage; a 2x2 max-pooling follows each stage."""

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


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
        self, image: Float[Array, "b h w channels"], size: Int32[Array, "b 2"], geometry: Geometry
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
                    name=f"conv{stage}_{i}",
                )(maps)
                maps = keep_valid(nn.relu(maps), sizes[stage - 1])
            if stage in geometry.tap_stages:
                taps.append(maps)
            if stage < len(self.stages) or not taps:
                maps = _max_pool(maps, geometry.pool_stride(stage), dilation)
                maps = keep_valid(maps, sizes[stage]) if geometry.pool_stride(stage) == 1 else maps
        return tuple(taps) or (maps,)


class Neck(nn.Module):
    """fc6 as a convolution, on the feature grid (the reference's phi is relu(fc6)).

    Attributes:
        width: number of channels of the features: 4096 as VGG-16's own fc6, 256 as the reference's "lite".
        dropout_rate: share of the features that is dropped in training.
        dropout_channels: whether whole channels are dropped (lite), else single elements (4096 wide).
        kernel_init: initialises fc6 and the taps' 1x1 convolutions.
        dtype: type that is computed in.
    """

    width: int
    dropout_rate: float
    dropout_channels: bool
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
        """Makes the features, non-negative and 0 on the padding.

        Args:
            maps: what `Trunk` gives, or the same from a cache (float16).
            canvas: height and width of the canvas in pixels.
            size: true height and width of each image in pixels.
            keys: one key an image, for dropout; None in evaluation.
            geometry: the grid.
        """
        conv = partial(nn.Conv, self.width, dtype=self.dtype, kernel_init=self.kernel_init)
        k = geometry.kernel
        padding = k // 2 if geometry.grid == "taps" else 0
        dilation = geometry.dilation(geometry.stages + 1)
        maps = tuple(m.astype(self.dtype) for m in maps)
        features = conv((k, k), padding=padding, kernel_dilation=dilation, name="fc6")(maps[-1])
        if len(maps) > 1:
            features = self._sum_taps(features, maps, canvas, size, geometry)
        cells = geometry.cells(canvas[0]), geometry.cells(canvas[1])
        # Dilation reaches up to a stride beyond the last cell that the image needs.
        features = nn.relu(features)[:, : cells[0], : cells[1]]
        features = dropout(features, keys, self.dropout_rate, channels=self.dropout_channels)
        return keep_valid(features, geometry.cells(size))

    def _sum_taps(self, features, maps, canvas, size, geometry):
        # A matrix product: XLA runs a 1x1 convolution and its gradient 7 to 9 times as slowly on a CPU.
        dense = partial(nn.Dense, self.width, use_bias=False, dtype=self.dtype, kernel_init=self.kernel_init)
        parts = [
            dense(name=f"tap{stage}")(values) for stage, values in zip(geometry.tap_stages[:-1], maps[:-1], strict=True)
        ]
        return sum_taps([*parts, features], canvas, size, geometry)


def sum_taps(
    parts: Sequence[Float[Array, "b _ _ c"]], canvas: tuple[int, int], size: Int32[Array, "b 2"], geometry: Geometry
) -> Float[Array, "b n m c"]:
    """The sum of one map a tap, finest first, on the grid of the finest.

    Args:
        parts: of as many channels each.
        canvas: height and width of the canvas in pixels.
        size: true height and width of each image in pixels.
        geometry: the grid.
    """
    total = parts[0]
    for stage, values in zip(geometry.tap_stages[1:], parts[1:], strict=True):
        total = total + to_finest(values, stage, canvas, size, geometry)
    return total


def raw_features(
    maps: tuple[Float[Array, "b _ _ _"], ...], canvas: tuple[int, int], size: Int32[Array, "b 2"], geometry: Geometry
) -> Float[Array, "b n m c"]:
    """The trunk's own maps as features, each of unit length at every cell, side by side on the finest grid."""
    parts = [
        unit(values) if stage == geometry.tap_stages[0] else to_finest(unit(values), stage, canvas, size, geometry)
        for stage, values in zip(geometry.tap_stages, maps, strict=True)
    ]
    return keep_valid(jnp.concatenate(parts, -1), geometry.cells(size))


def to_finest(
    values: Float[Array, "b _ _ c"],
    stage: int,
    canvas: tuple[int, int],
    size: Int32[Array, "b 2"],
    geometry: Geometry,
) -> Float[Array, "b n m c"]:
    """Interpolates the map of a stage to the cells of the finest one.

    Args:
        values: the map.
        stage: its number, from 1.
        canvas: height and width of the canvas in pixels.
        size: true height and width of each image in pixels.
        geometry: the grid, `taps`.
    """
    stride = 2 ** (stage - 1)
    weights = [
        bilinear_weights(geometry.centres(pixels), cell_centres(-(-pixels // stride), stride, (stride - 1) / 2), stride)
        for pixels in canvas
    ]
    planes = interpolate(jnp.moveaxis(values, -1, 1), *weights, valid=(-(-size // stride))[:, None])
    return jnp.moveaxis(planes, 1, -1).astype(values.dtype)
