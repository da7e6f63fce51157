"""Between pixels and the feature grid: bilinear interpolation as two small matrix products.

The reference's bilinear transposed convolution (kernel 2s, stride s) and its normalised twin for
annotations are separable with weights `max(0, 1 - |p - c| / s)` between position p and cell centre c,
all of them static; as matrix products they run at full speed on every device.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, UInt8


def cell_centres(cells: int, stride: int, first: float) -> Float[np.ndarray, " cells"]:
    """Positions of the grid's cells in pixels: `first + stride * c`."""
    return first + stride * np.arange(cells, dtype=np.float64)


def bilinear_weights(
    positions: Float[np.ndarray, " n"], centres: Float[np.ndarray, " m"], stride: int
) -> Float[np.ndarray, "n m"]:
    """Weight of every cell at every position, not normalised: it fades where a neighbour is missing."""
    distance = np.abs(positions[:, None] - centres[None, :])
    return np.maximum(0, 1 - distance / stride).astype(np.float32)


def _below(number: int, valid: Int32[Array, "*b"]) -> Bool[Array, "*b n"]:
    return jax.lax.broadcasted_iota(jnp.int32, (*valid.shape, number), valid.ndim) < valid[..., None]


def valid_cells(cells: tuple[int, int], valid: Int32[Array, "*b 2"]) -> Bool[Array, "*b n m"]:
    """Which cells of a grid of `cells` rows and columns lie within the first `valid` ones."""
    rows, columns = _below(cells[0], valid[..., 0]), _below(cells[1], valid[..., 1])
    return rows[..., :, None] & columns[..., None, :]


def keep_valid(maps: Float[Array, "b n m c"], valid: Int32[Array, "b 2"]) -> Float[Array, "b n m c"]:
    """Sets to 0 what lies on the padding, so that a canvas gives what the exact size would give.

    Behind a convolution it plays the part of the zero padding at the image's own border; before a
    max-pooling of non-negative maps, that of minus infinity.
    """
    inside = valid_cells(maps.shape[1:3], valid)
    return jnp.where(inside[..., None], maps, jnp.zeros((), maps.dtype))


def interpolate(
    planes: Float[Array, "*#b n m"],
    rows: Float[np.ndarray, "h n"],
    columns: Float[np.ndarray, "w m"],
    valid: Int32[Array, "*#b 2"] | None = None,
) -> Float[Array, "*#b h w"]:
    """Interpolates planes of cells to positions, in float32.

    Args:
        planes: values on the grid; where `valid` is None, already 0 on the cells of the padding.
        rows: bilinear weights of the vertical positions.
        columns: bilinear weights of the horizontal positions.
        valid: number of rows and columns of cells that lie on the image. Given, the weights are
            normalised over them: beyond the outermost centres the nearest value holds. None: they fade
            to 0 there, as the reference's un-normalised upsampling does.
    """

    def apply(values, weights, axis):
        weights = jnp.asarray(weights)
        if axis == -1:
            return jnp.einsum("...nm,wm->...nw", values, weights, precision=jax.lax.Precision.HIGHEST)
        return jnp.einsum("...nw,hn->...hw", values, weights, precision=jax.lax.Precision.HIGHEST)

    planes = planes.astype(jnp.float32)
    if valid is None:
        return apply(apply(planes, columns, -1), rows, -2)
    inside = valid_cells(planes.shape[-2:], valid)
    values = apply(apply(jnp.where(inside, planes, 0.0), columns, -1), rows, -2)

    def total(weights, number):
        cells = _below(weights.shape[1], number).astype(jnp.float32)
        weight = jnp.einsum("...m,wm->...w", cells, jnp.asarray(weights))
        return jnp.where(weight > 0, weight, 1.0)  # positions on the padding reach no cell

    return values / (total(rows, valid[..., 0])[..., :, None] * total(columns, valid[..., 1])[..., None, :])


def label_planes(annotation: UInt8[Array, "*b h w"], way: int) -> Float[Array, "*b k h w"]:
    """One plane a label: 1 where it is annotated; all are 0 where nothing is."""
    return jax.nn.one_hot(annotation, way, axis=-3)


TINY = 1e-6
"""Length below which a vector counts as none; keeps the gradient of `unit` finite at zero."""


def unit(values: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    """Scales vectors to unit length, in float32; zero stays zero."""
    values = values.astype(jnp.float32)
    return values * jax.lax.rsqrt(jnp.sum(values**2, -1, keepdims=True) + TINY**2)
