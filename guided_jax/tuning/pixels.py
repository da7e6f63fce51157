"""Which annotated pixels an update looks at, and the cells of the grid around them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, Key, UInt8

from guided_jax.backbones.geometry import Geometry
from guided_jax.guides.clicks import two_cells

POOL = 8192
"""Annotated pixels of a label that fine-tuning ever sees at most: of a dense mask a random part."""


class PixelPool(NamedTuple):
    """Annotated pixels of the support, in random order.

    Attributes:
        positions: of each label, as numbers of the pixels of all shots in row-major order.
        available: how many of them there are of each label; the rest of `positions` is no annotation.
        annotated: number of annotated pixels of each label, those beyond the pool too.
    """

    positions: Int32[Array, "k p"]
    available: Int32[Array, " k"]
    annotated: Int32[Array, " k"]


def draw_pool(key: Key[Array, ""], annotation: UInt8[Array, "s h w"], way: int, size: int) -> PixelPool:
    """Draws up to `size` annotated pixels of each label without repetition."""
    flat = annotation.reshape(-1)
    size = min(size, flat.size)
    order = jax.random.uniform(key, flat.shape)
    of_label = flat[None] == jnp.arange(way, dtype=jnp.uint8)[:, None]
    positions = jax.lax.top_k(jnp.where(of_label, order[None], -1.0), size)[1]
    annotated = of_label.sum(1, dtype=jnp.int32)
    return PixelPool(positions, jnp.minimum(annotated, size), annotated)


def take_pixels(pool: PixelPool, step: Int32[Array, ""], pixels: int) -> tuple[Int32[Array, "k n"], Bool[Array, "k n"]]:
    """The pixels of an update, others each time until the pool begins anew.

    Returns:
        Their positions, and which of them are annotated: all of them, unless a label has fewer than `pixels`.
    """
    entries = jnp.arange(pixels, dtype=jnp.int32)[None]
    available = pool.available[:, None]
    # The step is taken modulo the pool first: its product with the pixels could overflow.
    turn = (step % jnp.maximum(available, 1)) * pixels + entries
    enough = available >= pixels
    index = jnp.where(enough, turn % jnp.maximum(available, 1), jnp.minimum(entries, pool.positions.shape[1] - 1))
    return jnp.take_along_axis(pool.positions, index, 1), entries < jnp.minimum(available, pool.positions.shape[1])


def cells_around(
    positions: Int32[Array, " n"], canvas: tuple[int, int], size: Int32[Array, "s 2"], geometry: Geometry
) -> tuple[Int32[Array, "n 4"], Float[Array, "n 4"]]:
    """The four cells around pixels, and the weights by which their scores make that of the pixel.

    Args:
        positions: as in `PixelPool`, inside their images.
        canvas: height and width of the canvas in pixels.
        size: true height and width of each shot.
        geometry: where the cells lie.

    Returns:
        Numbers of the cells of all shots in row-major order; weights as `guided_jax.resample.interpolate` has them.
    """
    shot, within = jnp.divmod(positions, canvas[0] * canvas[1])
    places = jnp.divmod(within, canvas[1])
    cells, weights = [], []
    for axis, place in enumerate(places):
        near, weight = two_cells(place, size[shot, axis], geometry)
        # Where logits do not fade, the nearest value holds beyond the outermost centres.
        scale = geometry.stride if geometry.fades else 1 / weight.sum(1, keepdims=True)
        weight = weight * scale
        cells.append(near)
        weights.append(weight)
    n, m = (geometry.cells(side) for side in canvas)
    index = (shot[:, None, None] * n + cells[0][:, :, None]) * m + cells[1][:, None, :]
    weight = weights[0][:, :, None] * weights[1][:, None, :]
    return index.reshape(-1, 4), weight.reshape(-1, 4)
