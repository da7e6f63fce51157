"""In-context inference: what the field found to segment best from an example by frozen features, without training.

Every label has one or several maps of similarity over the query; their greatest times their mean is its score (FSSDINO,
Hussain et al. 2026, `class_region_proposal`). All of it is computed from the support's representations as nearest
neighbours keep them, so that points, masks and several shots serve alike.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from guided_jax.guides.guidance import Neighbours, Task
from guided_jax.inference.clustering import k_means
from guided_jax.inference.distance import SimilarityHead
from guided_jax.inference.similarity import nearest_similarity, prototype_similarity
from guided_jax.resample import unit

REFUSED = -2.0
"""Score of a label where the backward check refuses it; below every cosine."""


class InContext(SimilarityHead):
    """Scores by similarity to prototypes, with what was found to help.

    Attributes:
        clusters: prototypes of each label, the centres of clusters of its representations (FSSDINO has 10); 1: their
            mean (INSID3, Cuttano et al. 2026).
        gram: whether the energy of the query under each label's Gram matrix is one more map (FSSDINO).
        backward: whether a label is refused where the nearest representation of the support is another label's
            (INSID3's backward matching; there the mask is what both directions agree on).
    """

    clusters: int
    gram: bool
    backward: bool

    def __call__(
        self, query: Float[Array, "b n m c"], task: Task, keys: Key[Array, " b"] | None
    ) -> tuple[Float[Array, "b k n m"], None]:
        """Scores every label at every cell; `keys` are not used: there is nothing to drop."""
        del keys
        if self.clusters > 1:
            maps, exists = _to_clusters(query, task.neighbours, self.clusters)
        else:
            maps = prototype_similarity(query, task.z, "cosine")[:, :, None]
            exists = jnp.ones(maps.shape[:3], bool)
        if self.gram:
            energy = gram_energy(query, task.neighbours)[:, :, None]
            maps = jnp.concatenate([maps, energy], 2)
            exists = jnp.concatenate([exists, jnp.ones_like(exists[:, :, :1])], 2)
        scores = _combine(maps, exists)
        if self.backward:
            nearest = nearest_similarity(query, task.neighbours, "cosine")
            scores = jnp.where(nearest < nearest.max(1, keepdims=True), REFUSED, scores)
        return jnp.exp(self.log_temperature[0]) * scores, None


def _combine(maps: Float[Array, "b k p n m"], exists) -> Float[Array, "b k n m"]:
    """The greatest of a label's maps times their mean; a lone map stays as it is."""
    there = exists[..., None, None]
    number = exists.sum(2)[..., None, None]
    greatest = jnp.where(there, maps, -1.0).max(2)
    mean = jnp.where(there, maps, 0.0).sum(2) / jnp.maximum(number, 1).astype(jnp.float32)
    return jnp.where(number > 1, greatest * mean, greatest)


def _to_clusters(query: Float[Array, "b n m c"], neighbours: Neighbours, number: int):
    """Cosines to the centres of each label's clusters, [b, k, p, n, m], and which centres there are, [b, k, p]."""
    values = unit(neighbours.features)
    per_label = jax.vmap(lambda v, counts: k_means(v, counts, number), in_axes=(None, 0))
    centres, exists = jax.vmap(per_label)(values, neighbours.of_label)
    b, k, p, c = centres.shape
    maps = prototype_similarity(query, centres.reshape(b, k * p, c), "cosine")
    # A label without any representation is alike to nothing, as a prototype of zeros is.
    nothing = (jnp.arange(p) == 0)[None, None] & ~exists.any(-1, keepdims=True)
    maps = jnp.where(nothing[..., None, None], 0.0, maps.reshape(b, k, p, *maps.shape[2:]))
    return maps, exists | nothing


def gram_energy(query: Float[Array, "b n m c"], neighbours: Neighbours) -> Float[Array, "b k n m"]:
    """How strongly the query's channels go together as those of each label do, from 0 to 1 over the image.

    x G x of every cell's unit vector x, with the label's Gram matrix G, the mean of the outer products of its
    representations of unit length (FSSDINO, `get_gram_similarity_map`); scaled to [0, 1] over the cells of the image.

    Args:
        query: features, zeros on the padding.
        neighbours: of the support.
    """
    x, values = unit(query), unit(neighbours.features)
    share = neighbours.of_label.astype(jnp.float32)
    share = share / jnp.maximum(share.sum(-1, keepdims=True), 1.0)
    highest = jax.lax.Precision.HIGHEST
    gram = jnp.einsum("bkj,bjc,bjd->bkcd", share, values, values, precision=highest)
    energy = (jnp.einsum("bnmc,bkcd->bknmd", x, gram, precision=highest) * x[:, None]).sum(-1)
    inside = (x != 0).any(-1)[:, None]
    lowest = jnp.where(inside, energy, jnp.inf).min((2, 3), keepdims=True)
    highest = jnp.where(inside, energy, -jnp.inf).max((2, 3), keepdims=True)
    span = highest - lowest
    scaled = jnp.where(span > 0, (energy - lowest) / jnp.where(span > 0, span, 1.0), 0.0)
    return jnp.where(inside, scaled, 0.0)
