"""Losses over the dense truth of the query: cross entropy (paper 4.3) as (sum, count), and the Dice loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, UInt8

from guided_jax.episode import UNKNOWN


def cross_entropy(
    logits: Float[Array, "*b k h w"], target: UInt8[Array, "*b h w"]
) -> tuple[Float[Array, " *b"], Int32[Array, " *b"]]:
    """Softmax cross entropy in nats, summed over the known pixels of each episode.

    Void and padding (255) count neither in the sum nor in the count. Divide once, after summing over
    episodes and devices: a mean of means is wrong where counts differ.

    Args:
        logits: label planes.
        target: 0..K-1, or 255.

    Returns:
        The sum, float32, and the number of known pixels, int32, of each episode.
    """
    logits = logits.astype(jnp.float32)
    known = target != UNKNOWN
    chosen = jnp.sum(jax.nn.one_hot(target, logits.shape[-3], axis=-3) * logits, axis=-3)
    losses = jnp.where(known, jax.nn.logsumexp(logits, axis=-3) - chosen, 0.0)
    return losses.sum((-2, -1)), known.sum((-2, -1), dtype=jnp.int32)


def balanced_cross_entropy(
    logits: Float[Array, "*b k h w"], target: UInt8[Array, "*b h w"]
) -> tuple[Float[Array, " *b"], Int32[Array, " *b"]]:
    """As `cross_entropy`, but that the labels which a target shows weigh alike (Caelles et al. 2017, *OSVOS*).

    The sum over the count is the mean over these labels of their pixels' mean. OSVOS's own loss is this mean times
    twice the number of positive pixels times the share of the negative ones.
    """
    logits = logits.astype(jnp.float32)
    of_label = jax.nn.one_hot(target, logits.shape[-3], axis=-3)
    losses = jax.nn.logsumexp(logits, axis=-3, keepdims=True) - logits
    numbers = of_label.sum((-2, -1))
    means = (of_label * losses).sum((-2, -1)) / jnp.maximum(numbers, 1.0)
    shown = jnp.maximum((numbers > 0).sum(-1), 1).astype(jnp.float32)
    count = (target != UNKNOWN).sum((-2, -1), dtype=jnp.int32)
    return means.sum(-1) / shown * count.astype(jnp.float32), count


def dice_loss(logits: Float[Array, "*b k h w"], target: UInt8[Array, "*b h w"]) -> Float[Array, " *b"]:
    """One less the soft Dice coefficient of each episode, the mean over the positive labels, in [0, 1].

    It counts an object as one, however small (Milletari et al. 2016, *V-Net*, with sums in place of squares), where the
    cross entropy counts pixels. A departure from the paper, off by default. A label that the target does not show
    counts as 1 less what is left of it: 0 where nothing is predicted.

    Args:
        logits: label planes.
        target: 0..K-1, or 255, which does not count.
    """
    way = logits.shape[-3]
    known = (target != UNKNOWN).astype(jnp.float32)[..., None, :, :]
    predicted = jax.nn.softmax(logits.astype(jnp.float32), axis=-3)[..., 1:, :, :] * known
    truth = jax.nn.one_hot(target, way, axis=-3)[..., 1:, :, :]
    both, either = (predicted * truth).sum((-2, -1)), (predicted + truth).sum((-2, -1))
    return (1 - (2 * both + 1) / (either + 1)).mean(-1)
