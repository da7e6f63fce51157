"""Scores as a linear map of the query's features, guided by nothing: the last layer of OSVOS (`fuse`)."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from guided_jax.guides.guidance import Task
from guided_jax.inference.head_layers import add_bias, make_layer


class Linear(nn.Module):
    """A 1x1 convolution.

    Attributes:
        channels: number of channels of the features.
        way: number of labels.
        kernel_init: initialises it.
    """

    channels: int
    way: int
    kernel_init: Callable

    def setup(self):
        """Creates the score."""
        self.score = make_layer(self, "score", self.channels, self.way, self.kernel_init)

    def prepare(self, features: Float[Array, "b n m c"]) -> Float[Array, "b n m c"]:
        """The features themselves."""
        return features

    def __call__(
        self, query: Float[Array, "b n m c"], task: Task, keys: Key[Array, " b"] | None
    ) -> tuple[Float[Array, "b k n m"], None]:
        """Scores every label at every cell.

        Args:
            query: the features.
            task: not looked at.
            keys: not used; there is no dropout.
        """
        del task, keys
        scores = add_bias(query.astype(jnp.float32) @ self.score["kernel"], self.score)
        return jnp.moveaxis(scores, -1, 1), None
