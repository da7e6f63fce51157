"""Guidance of clicks under late fusion, from their coordinates alone: each touches four cells of the grid.

What `late.guide` gives of the annotation that the clicks make, to rounding, at a cost that does not depend on
the size of the image.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from guided_jax.backbones.geometry import Geometry
from guided_jax.guides.guidance import Guidance

NO_LABEL = -1
"""Label of an entry that is no click; such entries fill a list up to a fixed length."""


class PaddedClicks(NamedTuple):
    """The clicks on one image, filled up to a fixed length so that more clicks take the same program.

    Attributes:
        points: row and column of each click, in pixels inside the image; no two are the same.
        labels: of each click, or `NO_LABEL`.
    """

    points: Int32[Array, "p 2"]
    labels: Int32[Array, " p"]


def guide_clicks(
    features: Float[Array, "n m c"],
    clicks: PaddedClicks,
    size: Int32[Array, "2"],
    geometry: Geometry,
    way: int,
    *,
    pooling: str = "average",
    keep: str = "",
) -> Guidance:
    """Guidance of the clicks on one image by the fixed masks; its `features` are left None.

    Args:
        features: features of the image; 0 on the padding, else not negative.
        clicks: clicks on the image.
        size: true height and width of the image in pixels.
        geometry: where the cells of the features lie.
        way: number of labels K.
        pooling: average or maximum.
        keep: what the `weights` of the guidance are: `masks` (local guidance), `points` (neighbours), or nothing.
    """
    points, labels = clicks
    of_label = jax.nn.one_hot(labels, way)  # a row of zeros for NO_LABEL
    features = features.astype(jnp.float32)
    row_cells, row_weights = two_cells(points[:, 0], size[0], geometry)
    column_cells, column_weights = two_cells(points[:, 1], size[1], geometry)
    weights = row_weights[:, :, None] * column_weights[:, None, :]
    touched = features.at[row_cells[:, :, None], column_cells[:, None, :]].get(mode="clip")
    if pooling == "maximum":
        highest = jnp.where(weights[..., None] > 0, touched, 0.0).max((1, 2))
        total = jnp.where(of_label[:, :, None] > 0, highest[:, None], 0.0).max(0)
    else:
        total = _matmul(of_label.T, (weights[..., None] * touched).sum((1, 2)))
    mass = _matmul(of_label.T, weights.sum((1, 2))[:, None])[:, 0]
    kept = None
    if keep:
        sides = features.shape[:2]
        if keep == "masks":
            rows = (jax.nn.one_hot(row_cells, sides[0]) * row_weights[..., None]).sum(1)
            columns = (jax.nn.one_hot(column_cells, sides[1]) * column_weights[..., None]).sum(1)
        else:
            rows = jax.nn.one_hot(_nearest_cell(points[:, 0], size[0], geometry), sides[0])
            columns = jax.nn.one_hot(_nearest_cell(points[:, 1], size[1], geometry), sides[1])
        kept = jnp.einsum("pk,pn,pm->knm", of_label, rows, columns, precision=jax.lax.Precision.HIGHEST)
    return Guidance(total, mass, of_label.sum(0), weights=kept)


def _matmul(one, other):
    return jnp.matmul(one, other, precision=jax.lax.Precision.HIGHEST)


def _in_cells(positions: Int32[Array, " p"], geometry: Geometry) -> Float[Array, " p"]:
    """Positions along a side, from pixels to cells of the grid: 0 at the first cell's centre."""
    return (positions.astype(jnp.float32) - geometry.first) / geometry.stride


def two_cells(
    positions: Int32[Array, " p"], side: Int32[Array, "*p"], geometry: Geometry
) -> tuple[Int32[Array, "p 2"], Float[Array, "p 2"]]:
    """The two cells along a side that each position lies between, and their weights over the stride.

    Args:
        positions: in pixels, inside the image.
        side: true length of the side in pixels, one or one a position.
        geometry: where the cells lie.

    Returns:
        The cells, and the weights of `Geometry.pixel_weights` over the stride; 0 for a cell beyond the image.
    """
    position = _in_cells(positions, geometry)
    below = jnp.floor(position)
    upper = position - below
    lower = below.astype(jnp.int32)
    cells = jnp.stack([lower, lower + 1], 1)
    weights = jnp.stack([1 - upper, upper], 1) / geometry.stride
    inside = (cells >= 0) & (cells < jnp.reshape(geometry.cells(side), (-1, 1)))
    return jnp.where(inside, cells, 0), jnp.where(inside, weights, 0.0)


def _nearest_cell(positions, side, geometry):
    """As `late.points_by_cell`: ties go to the later cell, beyond the outermost centres to the last one."""
    cell = jnp.floor(_in_cells(positions, geometry) + 0.5).astype(jnp.int32)
    return jnp.clip(cell, 0, jnp.maximum(geometry.cells(side) - 1, 0))
