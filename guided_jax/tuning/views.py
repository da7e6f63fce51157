"""Random views of an annotated image on the device: mirrored, turned, scaled."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Key, UInt8

from guided_jax.episode import UNKNOWN
from guided_jax.resample import valid_cells

TURN = 30.0
"""Greatest angle in degrees, either way (`ScaleNRotate` of OSVOS-PyTorch's training)."""

SCALES = 0.75, 1.25
"""Least and greatest scale, as there."""


def random_view(
    key: Key[Array, ""], image: UInt8[Array, "b h w 3"], labels: UInt8[Array, "b h w"], size: Int32[Array, "b 2"]
) -> tuple[UInt8[Array, "b h w 3"], UInt8[Array, "b h w"]]:
    """One view for all images: bilinear of the image, the nearest label; what it has not seen is black and unknown.

    Args:
        key: of the view.
        image: RGB.
        labels: of its pixels.
        size: true height and width of each image in pixels; the padding stays at the right and below.
    """
    mirror, turn, scale = jax.random.split(key, 3)
    sign = jnp.where(jax.random.bernoulli(mirror), -1.0, 1.0)
    angle = jnp.deg2rad(jax.random.uniform(turn, minval=-TURN, maxval=TURN))
    factor = jax.random.uniform(scale, minval=SCALES[0], maxval=SCALES[1])
    matrix = jnp.array([[jnp.cos(angle), -jnp.sin(angle) * sign], [jnp.sin(angle), jnp.cos(angle) * sign]]) / factor

    def view(image, labels, size):
        centre = (size.astype(jnp.float32) - 1) / 2
        grid = jnp.stack(jnp.meshgrid(*(jnp.arange(side, dtype=jnp.float32) for side in labels.shape), indexing="ij"))
        offsets = grid.reshape(2, -1) - centre[:, None]
        where = jnp.matmul(matrix, offsets, precision=jax.lax.Precision.HIGHEST) + centre[:, None]
        below = jnp.floor(where)
        share = where - below
        lower = below.astype(jnp.int32)
        flat = image.reshape(-1, 3)
        total = jnp.zeros((where.shape[1], 3), jnp.float32)
        for corner in np.ndindex(2, 2):
            step = jnp.array(corner)[:, None]
            weight = jnp.where(step == 1, share, 1 - share).prod(0)
            index, inside = _inside(lower + step, labels.shape, size)
            total += jnp.where(inside, weight, 0.0)[:, None] * flat[index].astype(jnp.float32)
        index, inside = _inside(jnp.round(where).astype(jnp.int32), labels.shape, size)
        seen = jnp.where(inside, labels.reshape(-1)[index], jnp.uint8(UNKNOWN)).reshape(labels.shape)
        known = valid_cells(labels.shape, size)
        picture = jnp.where(known[..., None], jnp.round(total).reshape(image.shape), 0.0)
        return picture.astype(jnp.uint8), jnp.where(known, seen, jnp.uint8(UNKNOWN))

    return jax.vmap(view)(image, labels, size)


def _inside(places: Int32[Array, "2 p"], canvas: tuple[int, int], size: Int32[Array, "2"]):
    """The numbers of pixels in row-major order, 0 for those beyond the image, and which lie on it."""
    inside = ((places >= 0) & (places < size[:, None])).all(0)
    return jnp.where(inside, places[0] * canvas[1] + places[1], 0), inside
