"""Dropout with one key an episode, so that the layout of devices never changes what is dropped."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def dropout(
    values: Float[Array, "b *rest n m c"], keys: Key[Array, " b"] | None, rate: float, *, channels: bool
) -> Float[Array, "b *rest n m c"]:
    """Drops elements, or whole channels (PyTorch's Dropout2d), and scales up the rest.

    Args:
        values: features, channels last.
        keys: one key for each of the b entries; None: nothing is dropped (evaluation).
        rate: probability to drop.
        channels: whether whole channels are dropped, the same at every cell.
    """
    if keys is None or rate == 0.0:
        return values
    shape = values.shape[1:]
    kept_shape = (*shape[:-3], 1, 1, shape[-1]) if channels else shape
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, kept_shape))(keys)
    return jnp.where(kept, values / jnp.asarray(1 - rate, values.dtype), jnp.zeros((), values.dtype))
