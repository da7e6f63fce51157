"""Guided inference by feature fusion (paper 4.2): concatenate query and guidance, and score.

The first layer is linear in (query, guidance), so it is computed as a sum of the two parts: the query's
once an image, the guidance's once a task, never on a tiled concatenation. The kernel is stored
whole, as the reference stores it.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from guided_jax.guides.guidance import Task
from guided_jax.inference.head_layers import add_bias, blocks_of, make_layer, positives_first
from guided_jax.inference.similarity import greatest_of_others, nearest_similarity
from guided_jax.layers.dropout import dropout


class FusionQuery(NamedTuple):
    """The head's part of the query, once an image.

    Attributes:
        hidden: the query's part of the first layer, with the bias.
        features: the query's features where similarities to them are wanted, else None.
    """

    hidden: Float[Array, "b n m d"]
    features: Float[Array, "b n m c"] | None


class FeatureFusion(nn.Module):
    """A head of fc7 (1x1), ReLU, dropout, and a score (1x1).

    Attributes:
        channels: number of channels of the features.
        labels: number of rows of the guidance; 0: the head is on the query alone (`direct`).
        shared: one metric on [query, z_k] scores every label k, so exchanging two labels exchanges their
            outputs, for any way K. Else one head on [query, z_1, ..., z_K-1, z_0] scores all labels at once
            (the reference's order: positives, then the negative).
        way: number of labels K.
        width: number of channels behind fc7.
        similarity: metric of the similarity to the nearest kept representation, a further input of fc7; None: there is
            none. Where shared, a label is given its own similarity and the greatest of any other label.
        dropout_rate: share of what comes from fc7 that is dropped in training.
        dropout_channels: whether whole channels are dropped, else single elements.
        kernel_init: initialises fc7. The score starts at zero: the first loss is ln K.
        dtype: type that is computed in; scores are float32.
    """

    channels: int
    labels: int
    shared: bool
    way: int
    width: int
    similarity: str | None
    dropout_rate: float
    dropout_channels: bool
    kernel_init: Callable
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Creates fc7, the score, and where wanted the similarity's part of fc7."""
        blocks = 1 + (1 if self.shared and self.labels else self.labels)
        self.fc7 = make_layer(self, "fc7", self.channels * blocks, self.width, self.kernel_init)
        # The same layer for every label under `shared`, and one for all of them else.
        outputs = 1 if self.shared and self.labels else self.way
        self.score = make_layer(self, "score", self.width, outputs, nn.initializers.zeros)
        if self.similarity:
            inputs = 2 if self.shared else self.labels
            self.nearest = make_layer(self, "similarity", inputs, self.width, self.kernel_init, bias=False)

    def prepare(self, features: Float[Array, "b n m c"]) -> FusionQuery:
        """The query's part of the head."""
        kernel = self.fc7["kernel"][: self.channels].astype(self.dtype)
        hidden = add_bias(jnp.einsum("bnmc,cd->bnmd", features.astype(self.dtype), kernel), self.fc7)
        return FusionQuery(hidden, features if self.similarity else None)

    def __call__(
        self, query: FusionQuery, task: Task, keys: Key[Array, " b"] | None
    ) -> tuple[Float[Array, "b k n m"], None]:
        """Scores every label at every cell.

        Args:
            query: what `prepare` gives.
            task: representation of the task.
            keys: one key an episode for dropout; None in evaluation.
        """
        hidden = query.hidden[:, None]
        if self.labels:
            hidden = hidden + self._guidance(task)
        if self.similarity:
            hidden = hidden + self._similarities(query.features, task)
        hidden = dropout(nn.relu(hidden), keys, self.dropout_rate, channels=self.dropout_channels)
        # As plain matrix products: XLA runs the einsum over five axes 5 to 20 times as slowly on a CPU. One for each
        # label, so that equal labels get equal scores to the bit: without any annotation all is negative.
        kernel = self.score["kernel"].astype(self.dtype)
        products = jnp.stack([hidden[:, k].reshape(-1, self.width) @ kernel for k in range(hidden.shape[1])])
        scores = add_bias(products.astype(jnp.float32), self.score)
        scores = scores.reshape(-1, hidden.shape[0], *hidden.shape[2:4], kernel.shape[1])
        per_label = self.shared and self.labels
        return jnp.moveaxis(scores[..., 0], 0, 1) if per_label else jnp.moveaxis(scores[0], -1, 1), None

    def _guidance(self, task):
        """The guidance's part of the first layer: [b, k or 1, n or 1, m or 1, d]."""
        kernel = self.fc7["kernel"][self.channels :].astype(self.dtype)
        if task.local is not None:
            local = task.local.astype(self.dtype)
            if self.shared:
                return jnp.einsum("bknmc,cd->bknmd", local, kernel)
            return jnp.einsum("bnmc,cd->bnmd", blocks_of(local), kernel)[:, None]
        z = task.z.astype(self.dtype)
        if self.shared:
            return jnp.einsum("bkc,cd->bkd", z, kernel)[:, :, None, None]
        return jnp.einsum("bc,cd->bd", positives_first(z).reshape(z.shape[0], -1), kernel)[:, None, None, None]

    def _similarities(self, features, task):
        kernel = self.nearest["kernel"].astype(self.dtype)
        own = nearest_similarity(features, task.neighbours, self.similarity)
        if not self.shared:
            return jnp.einsum("bknm,kd->bnmd", positives_first(own).astype(self.dtype), kernel)[:, None]
        pair = jnp.stack([own, greatest_of_others(own)], -1).astype(self.dtype)
        return jnp.einsum("bknms,sd->bknmd", pair, kernel)
