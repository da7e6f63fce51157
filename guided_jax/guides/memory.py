"""Guidance that follows a clip: what the annotated frames and the previous frame say of the cells of the next one.

The paper's guidance comes from the annotated frames alone. Since guidance is additive, frames that were segmented can
join them, each cell with the certainty of its label. Two kinds of frames are remembered, so that memory is bounded:

* the annotated ones, which are never forgotten: every cell of a frame is compared with all of their cells. Where they
  are not annotated, their own prediction stands for the annotation.
* the previous one with its own prediction: it is compared within a window, since between two frames little moves far.

`clip_similarities` is a function of features and certainties alone; how similarities become scores is left to who
calls it: `sum_similarities` is the form without training.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from guided_jax.inference.similarity import BLOCK, prototype_similarity

REACH = 7
"""Cells to each side within which the previous frame is compared: 56 pixels a frame at a stride of 8."""

SHARPNESS = 3.0
"""Factor on scores before the softmax whose margin is the certainty."""

PREVIOUS = 2.0
"""Weight of the similarity to the previous frame, in those of the similarity to the annotated ones."""

PLACE, PLACE_REACH = 8.0, 15.0
"""In an annotated frame, what an object's score loses at so many cells from its annotation, and farther away."""

TILE = 8
"""Cells a side of the squares of a frame that are compared at a time with the window around them."""


class Remembered(NamedTuple):
    """Frames that were annotated or segmented.

    Attributes:
        features: of unit length at every cell; 0 on the padding.
        certainty: how certain it is, in [0, 1], that a cell shows a label, in each of t tasks.
    """

    features: Float[Array, "s n m c"]
    certainty: Float[Array, "t k s n m"]


class Similarities(NamedTuple):
    """How alike the cells of a frame are to each label, in each of t tasks: cosines, times certainties.

    Attributes:
        prototypes: to the label's mean feature in the annotated frames.
        annotated: to its likest cell in the annotated frames.
        previous: to its likest cell of the previous frame, near the same place.
    """

    prototypes: Float[Array, "t k n m"]
    annotated: Float[Array, "t k n m"]
    previous: Float[Array, "t k n m"]


def clip_similarities(
    features: Float[Array, "n m c"],
    z: Float[Array, "t k c"],
    annotated: Remembered,
    previous: Remembered,
    known: Float[Array, "t k n m"],
) -> Similarities:
    """All that is remembered, compared with the cells of a frame.

    Args:
        features: of the frame, of unit length at every cell.
        z: prototypes, of the annotated pixels alone.
        annotated: the annotated frames.
        previous: the frame before (s = 1).
        known: 1 where a cell of this very frame is annotated with a label; 0 where not, or with another.
    """
    t, k, c = z.shape
    prototypes = prototype_similarity(features[None], z.reshape(1, t * k, c), "cosine")
    return Similarities(
        prototypes.reshape(t, k, *features.shape[:2]),
        similarity_to_all(features, annotated),
        set_known(similarity_within(features, previous), known),
    )


def sum_similarities(
    found: Similarities, temperatures: Float[Array, "2"], previous: float = PREVIOUS
) -> Float[Array, "t k n m"]:
    """Scores without training: the similarities times temperatures, summed.

    Args:
        found: of `clip_similarities`.
        temperatures: of the similarity to the prototypes, then to the annotated cells.
        previous: weight of the similarity to the previous frame, in those of the similarity to the annotated cells.
    """
    near = found.annotated + previous * found.previous
    return temperatures[0] * found.prototypes + temperatures[1] * near


def lose_far_away(scores: Float[Array, "t k n m"], known: Float[Array, "t k n m"]) -> Float[Array, "t k n m"]:
    """Lowers the scores of objects far from where this very frame is annotated with them.

    A few points say little of how things look, and more of where they are. Where a frame is not annotated with an
    object, and for the negative, nothing changes.

    Args:
        scores: of an annotated frame.
        known: as in `clip_similarities`.
    """
    here = known[:, 1:] > 0
    distance = _distance(here, PLACE_REACH)
    loss = jnp.where(here.any((-2, -1), keepdims=True), PLACE / PLACE_REACH * distance, 0.0)
    return scores.at[:, 1:].add(-loss)


def _distance(planes: Bool[Array, "*b n m"], limit: float) -> Float[Array, "*b n m"]:
    """Distance in cells to the nearest cell that is set, at most `limit`."""
    far = np.float32(limit**2)
    squares = jnp.where(planes, np.float32(0), far)
    for axis in (-1, -2):
        side = np.arange(planes.shape[axis], dtype=np.float32)
        steps = np.square(side[:, None] - side).reshape((1,) * (planes.ndim - 1) + (len(side),) * 2)
        squares = jnp.moveaxis(squares, axis, -1)
        squares = jnp.moveaxis((squares[..., None, :] + steps).min(-1), -1, axis)
    return jnp.sqrt(jnp.minimum(squares, far))


def certainty_of(scores: Float[Array, "t k n m"], known: Float[Array, "t k n m"]) -> Float[Array, "t k n m"]:
    """How certain each cell's label is: the margin of the greatest share of the softmax to the next; 0 for all others.

    Where the frame is annotated, the annotation is certain, and nothing else is.

    Args:
        scores: of a frame.
        known: as in `clip_similarities`.
    """
    shares = jax.nn.softmax(SHARPNESS * scores, 1)
    least = jnp.sort(shares, 1)[:, -2:]
    certainty = jnp.where(shares == least[:, 1:], least[:, 1:] - least[:, :1], 0.0)
    return set_known(certainty, known)


def set_known(values: Float[Array, "t k n m"], known: Float[Array, "t k n m"]) -> Float[Array, "t k n m"]:
    """The values, but where this very frame is annotated what is known: 1 for the label, 0 for the others."""
    return jnp.where(known.max(1, keepdims=True) > 0, known, values)


def similarity_to_all(features: Float[Array, "n m c"], remembered: Remembered) -> Float[Array, "t k n m"]:
    """Cosine of every cell to the likest remembered cell of each label, times its certainty; 0 where there is none.

    The greatest product of the two is meant by the likest one. Features are not negative, so no cosine is.

    Args:
        features: of a frame, of unit length.
        remembered: frames, all of whose cells are compared, a block at a time.
    """
    n, m, c = features.shape
    t, k = remembered.certainty.shape[:2]
    filled = -remembered.certainty[0, 0].size % BLOCK
    keys = jnp.pad(remembered.features.reshape(-1, c), ((0, filled), (0, 0))).reshape(-1, BLOCK, c)
    certainty = jnp.pad(remembered.certainty.reshape(t * k, -1), ((0, 0), (0, filled))).reshape(t * k, -1, BLOCK)
    flat = features.reshape(-1, c)

    def compare(best, block):
        products = jnp.einsum("qc,jc->qj", flat, block[0], precision=jax.lax.Precision.HIGHEST)
        return jnp.maximum(best, _greatest(products, block[1])), None

    start = jnp.zeros((t * k, n * m), jnp.float32)
    best, _ = jax.lax.scan(compare, start, (keys, jnp.moveaxis(certainty, 1, 0)))
    return best.reshape(t, k, n, m)


def _greatest(products: Float[Array, "*b q j"], certainty: Float[Array, "labels *b j"]) -> Float[Array, "labels *b q"]:
    """The greatest product with a certainty, label by label, so that they need not all lie in memory."""
    return jax.lax.map(lambda each: (products * each[..., None, :]).max(-1), certainty)


def similarity_within(
    features: Float[Array, "n m c"], remembered: Remembered, reach: int = REACH
) -> Float[Array, "t k n m"]:
    """As `similarity_to_all`, in the square of 2 reach + 1 cells a side around each cell.

    Squares of the frame are compared with all that any of their cells reaches, as matrix products; what a cell does not
    reach is left out after that.

    Args:
        features: of a frame, of unit length.
        remembered: one frame (s = 1) of the same size.
        reach: cells to each side.
    """
    n, m, c = features.shape
    t, k = remembered.certainty.shape[:2]
    rows, columns, side = -(-n // TILE), -(-m // TILE), TILE + 2 * reach
    filled = ((0, rows * TILE - n), (0, columns * TILE - m))
    around = [(reach, reach + end) for _, end in filled]
    squares = jnp.pad(features, (*filled, (0, 0))).reshape(rows, TILE, columns, TILE, c)
    keys = jnp.pad(remembered.features[0], (*around, (0, 0)))
    certainty = jnp.pad(remembered.certainty[:, :, 0].reshape(t * k, n, m), ((0, 0), *around))
    reached = _reached(reach)[None]

    def windows(values, first_row, axis):
        """The windows [columns, ...] around a row of squares; `axis` is that of the rows of cells."""
        band = jax.lax.dynamic_slice_in_dim(values, first_row, side, axis)
        return [jax.lax.slice_in_dim(band, i * TILE, i * TILE + side, axis=axis + 1) for i in range(columns)]

    def compare(row):
        number, cells = row
        cells = jnp.moveaxis(cells, 1, 0).reshape(columns, TILE * TILE, c)
        others = jnp.stack(windows(keys, number * TILE, 0)).reshape(columns, side * side, c)
        certain = jnp.stack(windows(certainty, number * TILE, 1), 1).reshape(t * k, columns, side * side)
        products = jnp.einsum("xqc,xjc->xqj", cells, others, precision=jax.lax.Precision.HIGHEST)
        return _greatest(jnp.where(reached, products, 0.0), certain)

    best = jax.lax.map(compare, (jnp.arange(rows), squares)).reshape(rows, t * k, columns, TILE, TILE)
    best = jnp.moveaxis(best, (1, 3), (0, 2))
    return best.reshape(t, k, rows * TILE, columns * TILE)[:, :, :n, :m]


def _reached(reach: int) -> Bool[np.ndarray, "q j"]:
    """Which cells of the window around a square each cell of the square reaches."""
    cell, other = np.arange(TILE), np.arange(TILE + 2 * reach)
    near = np.abs(other - reach - cell[:, None]) <= reach
    return (near[:, None, :, None] & near[None, :, None, :]).reshape(TILE**2, -1)
