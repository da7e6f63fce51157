"""Guidance: what annotated images say of the task, and the merge over shots (paper 4.1).

The guidance of one shot is additive: that of a whole annotation is the sum of that of its points, in any order, and
points can be subtracted again (with `pooling=maximum` it is the greatest, and nothing can be subtracted).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

EPSILON = 1e-6
"""Added to a mask's mass as the reference does: a lone point in an image's corner, which has a mass of
2.4e-7 on the exact grid, then gives only 0.19 of its feature. Kept for parity."""


class Guidance(NamedTuple):
    """What one shot says of the task; k is 1 in early fusion, which represents all labels together.

    Attributes:
        total: sum of the features weighted by each label's mask, or their maximum under it.
        mass: sum of each label's mask over the cells.
        points: number of annotated pixels of each label; whole numbers, so that sums and differences are exact, and 0
            says for certain that the label is not annotated.
        features: the features of the image where local representations are kept, else None.
        weights: weight of each cell for each label: the label's mask (local guidance) or its number of points in the
            cell (neighbours); None where positions are forgotten.
    """

    total: Float[Array, "*b k c"]
    mass: Float[Array, "*b k"]
    points: Float[Array, "*b k"]
    features: Float[Array, "*b n m c"] | None = None
    weights: Float[Array, "*b k n m"] | None = None


class Neighbours(NamedTuple):
    """Representations that are kept for nearest neighbours, of all shots together.

    Attributes:
        features: features of every cell of every shot, j cells in all.
        of_label: whether a cell stands for a label: where the label has the most points of all labels, and any.
    """

    features: Float[Array, "b j c"]
    of_label: Bool[Array, "b k j"]


class Task(NamedTuple):
    """The task representation: all that inference needs of the support.

    Attributes:
        z: global representation of each label, zeros where no shot annotates it; None where nothing guides.
        local: representation of each label at each cell of the one image that is support and query; None where
            positions are forgotten.
        neighbours: representations kept for nearest neighbours; None by other inference.
    """

    z: Float[Array, "b k c"] | None
    local: Float[Array, "b k n m c"] | None = None
    neighbours: Neighbours | None = None


def pool_shots(guidance: Guidance, merge: str = "annotating", pooling: str = "average") -> Float[Array, "*b k c"]:
    """Merges shots into the global task representation.

    A shot may hold only positives, only negatives or nothing. The reference's `guide()` ends at the first empty
    shot: a defect, since the paper lets annotations be divided over shots (4.1, Multi-Shot).

    Args:
        guidance: of each shot: total [*b, s, k, c], mass [*b, s, k].
        merge: `annotating`: the mean over the shots that annotate the label, each of the same weight whatever its
            number of points (the reference's shared form). `every`: over all shots, so that a shot without the label
            dilutes it (the reference's unshared form). `pooled`: over the cells of all shots (its early form, where
            larger images weigh more).
        pooling: with `maximum` the totals are maxima, and `pooled` is the maximum over shots.
    """
    annotates = (guidance.points > 0).astype(jnp.float32)
    total = guidance.total * annotates[..., None]
    mass = guidance.mass * annotates
    if merge == "pooled":
        return total.max(-3) if pooling == "maximum" else total.sum(-3) / (mass.sum(-2) + EPSILON)[..., None]
    z = total if pooling == "maximum" else total / (mass[..., None] + EPSILON)
    shots = annotates.sum(-2) if merge == "annotating" else jnp.full_like(annotates.sum(-2), annotates.shape[-2])
    return z.sum(-3) / jnp.maximum(shots, 1.0)[..., None]


def keep_shots(guidance: Guidance, pooling: str = "average") -> Float[Array, "*b s c"]:
    """The representation of every shot by itself, for methods that join the shots' masks (OSLSM).

    A shot without annotation is represented as the first one that has any, so that it adds nothing to a union; where
    none has any, all are zeros.

    Args:
        guidance: of each shot: total [*b, s, 1, c], of early fusion.
        pooling: with `maximum` the totals are maxima.
    """
    total = guidance.total[..., 0, :]
    z = total if pooling == "maximum" else total / (guidance.mass + EPSILON)
    annotates = guidance.points > 0
    z = jnp.where(annotates, z, 0.0)
    first = jnp.argmax(annotates, axis=-2, keepdims=True)
    return jnp.where(annotates, z, jnp.take_along_axis(z, first, axis=-2))


def keep_positions(guidance: Guidance) -> Float[Array, "b k n m c"]:
    """Local guidance of a single shot: the features under each label's normalised mask, not pooled.

    Args:
        guidance: of one shot [b, 1, k, ...], its weights the masks.
    """
    weights = guidance.weights[:, 0] / (guidance.mass[:, 0] + EPSILON)[..., None, None]
    weights = weights * (guidance.points[:, 0] > 0).astype(jnp.float32)[..., None, None]
    return guidance.features[:, 0][:, None] * weights[..., None]


def keep_neighbours(guidance: Guidance) -> Neighbours:
    """Local representations of all shots: a cell stands for the label with the most points in it.

    Args:
        guidance: of each shot [b, s, k, ...], its weights the numbers of points of each cell.
    """
    b, _, k = guidance.points.shape
    weights = jax.lax.stop_gradient(guidance.weights)
    most = weights.max(2, keepdims=True)
    # Counts are whole numbers; one half leaves room for the rounding of sums and differences.
    of_label = (weights > 0.5) & (weights == most)
    features = guidance.features.reshape(b, -1, guidance.features.shape[-1])
    return Neighbours(features, jnp.moveaxis(of_label, 1, 2).reshape(b, k, -1))
