"""From logits to labels."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def predict_labels(logits: Float[Array, "*b k h w"]) -> UInt8[Array, "*b h w"]:
    """The label of the greatest logit at every pixel; on a tie the smallest label, so the negative."""
    return jnp.argmax(logits, axis=-3).astype(jnp.uint8)
