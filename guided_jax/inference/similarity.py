"""How alike features of the query are to representations of the support: cosine or squared Euclidean.

Similarities grow towards likeness: the cosine in [-1, 1], or the negative mean over channels of the squared
differences (a mean, so that a temperature fits any number of channels). A label that is not annotated is
represented by zeros (as in the merge): its cosine is 0, its distance the query's own mean square.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from guided_jax.guides.guidance import Neighbours
from guided_jax.resample import unit

BLOCK = 256
"""Kept representations compared at a time: memory is query cells x BLOCK, whatever the number of shots."""


def _compare(query: Float[Array, "b q c"], others: Float[Array, "b j c"], metric: str) -> Float[Array, "b q j"]:
    if metric == "cosine":
        query, others = unit(query), unit(others)
        return jnp.einsum("bqc,bjc->bqj", query, others, precision=jax.lax.Precision.HIGHEST)
    query, others = query.astype(jnp.float32), others.astype(jnp.float32)
    products = jnp.einsum("bqc,bjc->bqj", query, others, precision=jax.lax.Precision.HIGHEST)
    squares = jnp.mean(query**2, -1)[:, :, None] + jnp.mean(others**2, -1)[:, None]
    return -(squares - products * (2 / query.shape[-1]))


def prototype_similarity(
    query: Float[Array, "b n m c"], z: Float[Array, "b k c"], metric: str
) -> Float[Array, "b k n m"]:
    """Similarity of every cell to each label's prototype."""
    b, n, m, c = query.shape
    scores = _compare(query.reshape(b, n * m, c), z, metric)
    return jnp.moveaxis(scores.reshape(b, n, m, -1), -1, 1)


def nearest_similarity(query: Float[Array, "b n m c"], neighbours: Neighbours, metric: str) -> Float[Array, "b k n m"]:
    """Similarity of every cell to the nearest kept representation of each label.

    Computed in blocks of representations, which the gradient computes again instead of keeping them. Those that stand
    for a label come first, and blocks of none are passed over: a few points cost a block, whatever the size of the
    support.
    """
    b, n, m, c = query.shape
    query = query.reshape(b, n * m, c)
    features, of_label = neighbours
    k, j = of_label.shape[1:]
    size = min(BLOCK, j)
    blocks = -(-j // size)
    kept = of_label.any(1)
    order = jnp.argsort(~kept, axis=1, stable=True)
    order = jnp.pad(order, ((0, 0), (0, blocks * size - j)))
    used = kept.sum(1).max()
    lowest = jnp.finfo(jnp.float32).min

    @jax.checkpoint
    def compare(best, rows, position):
        some = jnp.take_along_axis(features, rows[:, :, None], 1)
        # What fills the last block up stands for no label.
        label = jnp.take_along_axis(of_label, rows[:, None], 2) & (position + jnp.arange(size) < j)[None, None]
        scores = jnp.where(label[:, :, None], _compare(query, some, metric)[:, None], lowest)
        # By place: the gradient of a maximum asks what equals it, and computed again nothing might, to the bit.
        nearest = jnp.argmax(jax.lax.stop_gradient(scores), -1, keepdims=True)
        of_block = jnp.take_along_axis(scores, nearest, -1)[..., 0]
        return jnp.where(best > of_block, best, of_block)

    def step(best, number):
        position = number * size
        rows = jax.lax.dynamic_slice_in_dim(order, position, size, axis=1)
        best = jax.lax.cond(position < used, compare, lambda best, *_: best, best, rows, position)
        return best, None

    best, _ = jax.lax.scan(step, jnp.full((b, k, n * m), lowest), jnp.arange(blocks))
    nothing = _compare(query, jnp.zeros((b, 1, c)), metric)[:, None, :, 0]
    return jnp.where(of_label.any(-1)[..., None], best, nothing).reshape(b, k, n, m)
