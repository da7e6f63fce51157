"""Where a patch lies, for a transformer: learned positions on any grid, and axial rotary ones.

Grids are those of the true image; their sizes are traced values, so that a canvas needs one program.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

ROPE_BASE = 100.0
"""Base of DINOv3's rotary periods."""


def _cubic(distance: Float[Array, "*b"], a: float) -> Float[Array, "*b"]:
    """Keys' cubic convolution kernel with parameter `a`; 0 from a distance of 2 on."""
    x = jnp.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return jnp.where(x <= 1, near, jnp.where(x < 2, far, 0.0))


def bicubic_weights(
    number: int, cells: Int32[Array, " b"], source: int, *, antialias: bool
) -> Float[Array, "b number source"]:
    """Weights that resize a side of `source` values to each of `cells`, as torch's bicubic interpolation does.

    By the sizes of both grids, as HF does and Meta for its models with registers. Meta's models without registers
    scale by (cells + 0.1) / source instead, against a rounding error of old versions of torch: their positions
    differ by at most a tenth of a patch.

    Args:
        number: of rows of the result, at least the greatest of `cells`; those beyond `cells` mean nothing.
        cells: how many values the side has afterwards, 1 or more.
        source: how many it has before.
        antialias: whether the kernel grows as the side shrinks (parameter -0.5, weights over the values that are
            there); else parameter -0.75, and the border's values go on beyond it.
    """
    scale = (source / jnp.maximum(cells, 1).astype(jnp.float32))[:, None, None]
    centre = (jnp.arange(number, dtype=jnp.float32)[None, :, None] + 0.5) * scale
    at = jnp.arange(source, dtype=jnp.float32)[None, None]
    if antialias:
        weights = _cubic((at + 0.5 - centre) / jnp.maximum(scale, 1.0), -0.5)
        total = weights.sum(-1, keepdims=True)
        return weights / jnp.where(total == 0, 1.0, total)  # rows beyond `cells` reach no value
    first = jnp.floor(centre - 0.5)
    offset = centre - 0.5 - first
    taps = (
        _cubic(offset - tap, -0.75) * (jnp.clip(first + tap, 0, source - 1) == at).astype(jnp.float32)
        for tap in (-1, 0, 1, 2)
    )
    return sum(taps)


def resized_positions(
    positions: Float[Array, "s s c"], grid: tuple[int, int], cells: Int32[Array, "b 2"], *, antialias: bool
) -> Float[Array, "b n m c"]:
    """Learned positions of every image's own grid, in its corner of a common one; float32.

    Args:
        positions: as learned, on a square grid.
        grid: rows and columns of the common grid.
        cells: rows and columns of each image's; beyond them the result means nothing.
        antialias: see `bicubic_weights`.
    """
    side = positions.shape[0]
    rows, columns = (
        bicubic_weights(number, cells[:, axis], side, antialias=antialias) for axis, number in enumerate(grid)
    )
    highest = jax.lax.Precision.HIGHEST
    values = jnp.einsum("bns,stc->bntc", rows, positions.astype(jnp.float32), precision=highest)
    return jnp.einsum("bmt,bntc->bnmc", columns, values, precision=highest)


def rotary_angles(grid: tuple[int, int], cells: Int32[Array, "b 2"], channels: int) -> Float[Array, "b p c"]:
    """Angles by which DINOv3 turns pairs of channels of queries and keys, patch by patch in the order of rows.

    The centres of an image's patches lie in [-1, 1] on each side, whatever its size. A quarter of the channels of a
    head follows the row and a quarter the column, with wavelengths from 1 to `ROPE_BASE`; the second half repeats
    the first, and `rotate` pairs the two.

    Args:
        grid: rows and columns of the common grid.
        cells: rows and columns of each image's; beyond them the result means nothing.
        channels: of a head, a multiple of 4.
    """
    frequencies = (ROPE_BASE ** -(jnp.arange(channels // 4, dtype=jnp.float32) * (4 / channels)))[None, None]
    sides = []
    for axis, number in enumerate(grid):
        side = jnp.maximum(cells[:, axis], 1).astype(jnp.float32)[:, None]
        centres = 2 * (jnp.arange(number, dtype=jnp.float32)[None] + 0.5) / side - 1
        sides.append(2 * jnp.pi * centres[..., None] * frequencies)
    shape = (len(cells), *grid, channels // 4)
    rows, columns = jnp.broadcast_to(sides[0][:, :, None], shape), jnp.broadcast_to(sides[1][:, None], shape)
    angles = jnp.concatenate([rows, columns] * 2, -1)
    return angles.reshape(len(cells), -1, channels)


def rotate(tokens: Float[Array, "b t heads c"], angles: Float[Array, "b p c"]) -> Float[Array, "b t heads c"]:
    """Turns the last p tokens by their angles; those before them, of class and registers, stay."""
    patches = angles.shape[1]
    others, values = jnp.split(tokens, [tokens.shape[1] - patches], axis=1)
    first, second = jnp.split(values, 2, axis=-1)
    cos, sin = (f(angles)[:, :, None].astype(tokens.dtype) for f in (jnp.cos, jnp.sin))
    turned = values * cos + jnp.concatenate([-second, first], -1) * sin
    return jnp.concatenate([others, turned], axis=1)
