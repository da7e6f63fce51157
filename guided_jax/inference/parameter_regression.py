"""Guided inference by parameter regression (paper 4.2): the output layer's weights come from the guidance.

Global (as OSLSM): one set of weights a task. Local: a set at each cell, fully convolutional, where support
and query are one image. The paper finds it unstable, and at times constant in the support; the weights are
handed out, so that how much they vary can be measured (`weight_variation`).
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from guided_jax.guides.guidance import Task
from guided_jax.inference.head_layers import add_bias, blocks_of, make_layer, positives_first
from guided_jax.layers.dropout import dropout


class ParameterRegression(nn.Module):
    """fc7 (1x1) and ReLU on the query, then an output layer regressed from the guidance by a linear map.

    Attributes:
        channels: number of channels of the features.
        labels: number of rows of the guidance.
        shared: whether the weights of label k come from z_k, by the same map for every label, so for any way K. Else
            those of all labels come from [z_1, ..., z_K-1, z_0].
        way: number of labels K.
        width: number of channels behind fc7.
        dropout_rate: share of the channels behind fc7 that is dropped in training.
        kernel_init: initialises fc7. The regressor starts at zero: so do the scores, and the first loss is ln K.
        dtype: type that is computed in; scores are float32.
    """

    channels: int
    labels: int
    shared: bool
    way: int
    width: int
    dropout_rate: float
    kernel_init: Callable
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Creates fc7 and the regressor."""
        self.fc7 = make_layer(self, "fc7", self.channels, self.width, self.kernel_init)
        blocks, outputs = (1, 1) if self.shared else (self.labels, self.way)
        self.regressor = make_layer(
            self, "regressor", self.channels * blocks, outputs * (self.width + 1), nn.initializers.zeros
        )

    def prepare(self, features: Float[Array, "b n m c"]) -> Float[Array, "b n m d"]:
        """The query's hidden layer."""
        kernel = self.fc7["kernel"].astype(self.dtype)
        return nn.relu(add_bias(jnp.einsum("bnmc,cd->bnmd", features.astype(self.dtype), kernel), self.fc7))

    def __call__(
        self, query: Float[Array, "b n m d"], task: Task, keys: Key[Array, " b"] | None
    ) -> tuple[Float[Array, "b k n m"], Float[Array, "b r p"]]:
        """Scores every label at every cell, and hands out the regressed weights.

        Args:
            query: what `prepare` gives.
            task: representation of the task.
            keys: one key an episode for dropout; None in evaluation.

        Returns:
            The scores, and one row of weights a task (local: a cell), of all labels less what these have in common,
            which no softmax sees. Without guidance it is zero: what the regressor's bias gives there says nothing.
        """
        query = dropout(query, keys, self.dropout_rate, channels=True)
        weights = self._regress(task).astype(self.dtype)
        kernel, bias = weights[..., :-1], weights[..., -1]
        if task.local is None:
            b, n, m, d = query.shape
            scores = jnp.einsum("bqd,bkd->bqk", query.reshape(b, n * m, d), kernel) + bias[:, None]
            scores = jnp.moveaxis(scores.reshape(b, n, m, -1), -1, 1)
        else:
            scores = jnp.einsum("bnmd,bknmd->bknm", query, kernel) + bias
        return scores.astype(jnp.float32), self._rows(weights, task)

    def _regress(self, task):
        """[b, k, d + 1], or [b, k, n, m, d + 1] where guidance is local."""
        kernel = self.regressor["kernel"].astype(self.dtype)
        if task.local is not None:
            local = task.local.astype(self.dtype)
            values = jnp.einsum("bknmc,cp->bknmp", local, kernel) if self.shared else blocks_of(local) @ kernel
        else:
            z = task.z.astype(self.dtype)
            values = z @ kernel if self.shared else positives_first(z).reshape(z.shape[0], -1) @ kernel
        values = add_bias(values, self.regressor)
        if self.shared:
            return values
        return jnp.moveaxis(values.reshape(*values.shape[:-1], self.way, self.width + 1), -2, 1)

    def _rows(self, weights: Float[Array, "b k *nm p"], task: Task) -> Float[Array, "b r kp"]:
        weights = weights.astype(jnp.float32)
        apart = weights - weights.mean(1, keepdims=True)
        guidance = task.z if task.local is None else task.local
        guided = (guidance != 0).any((1, -1))[:, None, ..., None]
        rows = jnp.moveaxis(jnp.where(guided, apart, 0.0), 1, -2)
        return rows.reshape(rows.shape[0], -1, rows.shape[-2] * rows.shape[-1])
