"""Late fusion with global guidance (paper 4.1): features masked by the annotation, pooled over the image.

Guidance is additive: annotations of one image add up (`total` and `mass` are linear in the masks),
and shots merge in any order.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EPSILON = 1e-6
"""Added to a mask's mass as the reference does: a lone point in an image's corner, which has a mass of
2.4e-7 on the exact grid, then gives only 0.19 of its feature. Kept for parity."""


class Guidance(NamedTuple):
    """What one shot, or a merge of shots, says of the task.

    Attributes:
        total: sum of the features weighted by each label's mask.
        mass: sum of each label's mask; 0 where the label is not annotated.
    """

    total: Float[Array, "*b k c"]
    mass: Float[Array, "*b k"]


def guide(features: Float[Array, "*b n m c"], masks: Float[Array, "*b k n m"]) -> Guidance:
    """Pools the features of one shot under each label's mask, in float32.

    Args:
        features: of the support image; 0 on the padding.
        masks: of the annotation on the feature grid (`resample.label_masks`).
    """
    features = features.astype(jnp.float32)
    total = jnp.einsum("...nmc,...knm->...kc", features, masks, precision=jax.lax.Precision.HIGHEST)
    return Guidance(total, masks.sum((-2, -1)))


def merge(guidance: Guidance) -> Float[Array, "*b k c"]:
    """Merges shots into the task representation: the mean over the shots that annotate the label.

    Each shot weighs the same whatever its number of points (the reference's choice); a shot may hold
    only positives, only negatives or nothing. A label that no shot annotates is represented by zeros.
    The reference's `guide()` ends at the first empty shot: a defect, since the paper lets annotations be
    divided over shots (4.1, Multi-Shot).

    Args:
        guidance: of each shot: total [*b, s, k, c], mass [*b, s, k].
    """
    z = guidance.total / (guidance.mass[..., None] + EPSILON)
    shots = jnp.sum((guidance.mass > 0).astype(jnp.float32), axis=-2)
    return z.sum(-3) / jnp.maximum(shots, 1.0)[..., None]
