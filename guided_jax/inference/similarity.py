"""How alike features of the query are to representations of the support: cosine or squared Euclidean.

Similarities grow towards likeness: the cosine in [-1, 1], or the negative mean over channels of the squared
differences (a mean, so that a temperature fits any number of channels). A label that is not annotated is
represented by zeros (as in the merge): its cosine is 0, its distance the query's own mean square.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from guided_jax.guides.guidance import Neighbours
from guided_jax.resample import unit

BLOCK = 128
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


def greatest_of_others(values: Float[Array, "b k *rest"]) -> Float[Array, "b k *rest"]:
    """For each label the greatest value of any other one."""
    return jnp.stack([jnp.delete(values, k, axis=1).max(1) for k in range(values.shape[1])], 1)


def nearest_similarity(query: Float[Array, "b n m c"], neighbours: Neighbours, metric: str) -> Float[Array, "b k n m"]:
    """Similarity of every cell to the nearest kept representation of each label.

    Those that stand for a label are searched in blocks, the others not at all: a few points cost a block, whatever the
    size of the support. The gradient is that of the similarity to the one that was found.
    """
    b, n, m, c = query.shape
    query = query.reshape(b, n * m, c)
    features, of_label = neighbours
    best = _nearest(query, features, of_label, metric)
    nothing = _compare(query, jnp.zeros((b, 1, c)), metric)[:, None, :, 0]
    return jnp.where(of_label.any(-1)[..., None], best, nothing).reshape(b, of_label.shape[1], n, m)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _nearest(query, features, of_label, metric):
    return _search(query, features, of_label, metric)[0]


def _search(
    query: Float[Array, "b q c"], features: Float[Array, "b j c"], of_label: Bool[Array, "b k j"], metric: str
) -> tuple[Float[Array, "b k q"], Int32[Array, "b k q"]]:
    """The greatest similarity to each label's representations, and which of them has it."""
    b, k, j = of_label.shape
    size = min(BLOCK, j)
    kept = of_label.any(1)
    # Representations of a label come first; what fills up the last block is far behind.
    order = jnp.argsort(~kept, axis=1, stable=True).astype(jnp.int32)
    order = jnp.pad(order, ((0, 0), (0, -j % size)))
    blocks = -(-kept.sum(1).max() // size)
    lowest = jnp.finfo(jnp.float32).min

    def step(number, found):
        best, index = found
        rows = jax.lax.dynamic_slice_in_dim(order, number * size, size, axis=1)
        some = jnp.take_along_axis(features, rows[:, :, None], 1)
        label = jnp.take_along_axis(of_label, rows[:, None], 2) & (number * size + jnp.arange(size) < j)[None, None]
        scores = jnp.where(label[:, :, None], _compare(query, some, metric)[:, None], lowest)
        index_in_block, score = jnp.argmax(scores, -1), scores.max(-1)
        there = jnp.take_along_axis(jnp.broadcast_to(rows[:, None], (b, k, size)), index_in_block, 2)
        return jnp.maximum(best, score), jnp.where(score > best, there, index)

    start = jnp.full((b, k, query.shape[1]), lowest)
    return jax.lax.fori_loop(0, blocks, step, (start, jnp.zeros(start.shape, jnp.int32)))


def _nearest_forward(query, features, of_label, metric):
    best, index = _search(query, features, of_label, metric)
    return best, (query, features, index)


def _nearest_backward(metric, kept, cotangent):
    query, features, index = kept

    def similarity(query, features):
        nearest = jnp.take_along_axis(features[:, None], index[..., None], 2)
        if metric == "cosine":
            return (unit(query)[:, None] * unit(nearest)).sum(-1)
        return -((query.astype(jnp.float32)[:, None] - nearest.astype(jnp.float32)) ** 2).mean(-1)

    return (*jax.vjp(similarity, query, features)[1](cotangent), None)


_nearest.defvjp(_nearest_forward, _nearest_backward)
