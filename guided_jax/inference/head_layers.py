"""What the heads share: 1x1 convolutions as matrices, of which each input block is applied on its own."""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

Layer = Mapping[str, Float[Array, "..."]]


def make_layer(module: nn.Module, name: str, inputs: int, outputs: int, init: Callable, *, bias: bool = True) -> Layer:
    """Creates or reads the parameters `name/kernel` [inputs, outputs] and `name/bias` [outputs] of a module."""

    def create(key):
        layer = {"kernel": init(key, (inputs, outputs), jnp.float32)}
        return {**layer, "bias": jnp.zeros((outputs,), jnp.float32)} if bias else layer

    return module.param(name, create)


def add_bias(values: Float[Array, "*b d"], layer: Layer) -> Float[Array, "*b d"]:
    """Adds a layer's bias to its last axis."""
    return values + layer["bias"].astype(values.dtype).reshape((1,) * (values.ndim - 1) + (-1,))


def positives_first(z: Float[Array, "b k *rest"]) -> Float[Array, "b k *rest"]:
    """The labels in the reference's order: the positives, then the negative."""
    return jnp.concatenate([z[:, 1:], z[:, :1]], axis=1)


def blocks_of(local: Float[Array, "b k n m c"]) -> Float[Array, "b n m kc"]:
    """Labels' maps side by side in the channels, positives first."""
    moved = jnp.moveaxis(positives_first(local), 1, -2)
    return moved.reshape(*moved.shape[:-2], -1)
