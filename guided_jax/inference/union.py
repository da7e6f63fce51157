"""Unions: of binary tasks, every positive label against all the rest (paper 3); and of the masks of shots (OSLSM)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from guided_jax.episode import UNKNOWN


def binary_tasks(annotation: UInt8[Array, "*b h w"], way: int) -> list[UInt8[Array, "*b h w"]]:
    """One annotation a positive label, as `binary_task` has it."""
    return [binary_task(annotation, label) for label in range(1, way)]


def binary_task(annotation: UInt8[Array | np.ndarray, "*b h w"], label: int) -> UInt8[Array | np.ndarray, "*b h w"]:
    """The annotation of a label against the rest: 1 where it is, 0 where any other label is, 255 where none is.

    Of numpy or JAX, as the annotation is.
    """
    return (annotation == label).astype(np.uint8) + UNKNOWN * (annotation == UNKNOWN).astype(np.uint8)


def union_logits(logits: Float[Array, "tasks *b 2 h w"]) -> Float[Array, "*b k h w"]:
    """Joins the binary logits of each positive label: 0 for the negative, log odds for each of the others.

    A pixel belongs to the label whose task is surest of it, and to the negative where none is.

    Args:
        logits: of each task, in the order of the labels.
    """
    odds = logits[..., 1, :, :] - logits[..., 0, :, :]
    return jnp.moveaxis(jnp.concatenate([jnp.zeros_like(odds[:1]), odds]), 0, -3)


def shots_union(logits: Float[Array, "*b s h w"]) -> Float[Array, "*b 2 h w"]:
    """Joins the positive's logits of every shot: positive is what any shot says is (Shaban et al. 2017, 4.4).

    The greatest logit is above 0 where a mask of any shot is: the logical OR of the binary outputs.

    Args:
        logits: of the positive against the negative at every pixel, a plane a shot.
    """
    positive = logits.max(-3, keepdims=True)
    return jnp.concatenate([jnp.zeros_like(positive), positive], axis=-3)
