"""From the trunk's maps to features: fc6 as a convolution, and maps summed or laid side by side on the finest grid."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from guided_jax.backbones.geometry import Geometry, Tap
from guided_jax.layers.dropout import dropout
from guided_jax.resample import bilinear_weights, interpolate, keep_valid, unit

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class Neck(nn.Module):
    """fc6 as a convolution, on the feature grid (the reference's phi is relu(fc6)).

    Attributes:
        width: number of channels of the features: 4096 as the reference's pretrained fc6, 256 as its "lite".
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
            maps: what the trunk gives, or the same from a cache (float16).
            canvas: height and width of the canvas in pixels.
            size: true height and width of each image in pixels.
            keys: one key an image, for dropout; None in evaluation.
            geometry: the grid.
        """
        conv = partial(nn.Conv, self.width, dtype=self.dtype, kernel_init=self.kernel_init)
        k, padding, dilation = geometry.kernel, geometry.neck_padding, geometry.neck_dilation
        maps = tuple(m.astype(self.dtype) for m in maps)
        features = conv((k, k), padding=padding, kernel_dilation=dilation, name="fc6")(maps[-1])
        if geometry.taps:
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
            dense(name=f"tap{tap.number}")(values) for tap, values in zip(geometry.taps[:-1], maps[:-1], strict=True)
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
    total, *others = (
        to_finest(values, tap, canvas, size, geometry) for tap, values in zip(geometry.taps, parts, strict=True)
    )
    for values in others:
        total = total + values
    return total


def raw_features(
    maps: tuple[Float[Array, "b _ _ _"], ...], canvas: tuple[int, int], size: Int32[Array, "b 2"], geometry: Geometry
) -> Float[Array, "b n m c"]:
    """The trunk's own maps as features, each of unit length at every cell, side by side on the finest grid."""
    parts = [
        to_finest(unit(values), tap, canvas, size, geometry) for tap, values in zip(geometry.taps, maps, strict=True)
    ]
    return keep_valid(jnp.concatenate(parts, -1), geometry.cells(size))


def to_finest(
    values: Float[Array, "b _ _ c"],
    tap: Tap,
    canvas: tuple[int, int],
    size: Int32[Array, "b 2"],
    geometry: Geometry,
) -> Float[Array, "b n m c"]:
    """Interpolates a map of the trunk to the cells of the feature grid; one that lies on them stays as it is.

    Args:
        values: the map.
        tap: its grid.
        canvas: height and width of the canvas in pixels.
        size: true height and width of each image in pixels.
        geometry: the feature grid.
    """
    if tap.stride == geometry.stride:
        return values
    weights = [bilinear_weights(geometry.centres(pixels), tap.centres(pixels), tap.stride) for pixels in canvas]
    planes = interpolate(jnp.moveaxis(values, -1, 1), *weights, valid=tap.cells(size)[:, None])
    return jnp.moveaxis(planes, 1, -1).astype(values.dtype)
