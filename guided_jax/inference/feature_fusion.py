"""Guided inference by feature fusion (paper 4.2): concatenate query and guidance, and score.

The first layer is linear in (query, guidance), so it is computed as a sum of the two parts: the query's
once an image, the guidance's once a task, never on a tiled concatenation. The kernel is stored
whole, as the reference stores it.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from guided_jax.dropout import dropout


class FeatureFusion(nn.Module):
    """A head of fc7 (1x1), ReLU, dropout of whole channels, and a score (1x1).

    Attributes:
        sharing: `shared`: one metric on [query, z_k] scores every label k, so exchanging two labels
            exchanges their outputs, for any way K. `unshared`: one head on [query, z_1, ..., z_K-1, z_0]
            scores all labels at once (the reference's order: positives, then the negative).
            `unguided`: on the query alone; the foreground-background baseline of the same size.
        way: number of labels K.
        dropout_rate: behind fc7.
        kernel_init: of fc7. The score starts at zero: the first loss is ln K.
        dtype: of the computation; scores are float32.
    """

    sharing: str
    way: int
    dropout_rate: float
    kernel_init: Callable
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, query: Float[Array, "b n m c"], z: Float[Array, "b k c"], keys: Key[Array, " b"] | None
    ) -> Float[Array, "b k n m"]:
        """Scores every label at every cell.

        Args:
            query: features of the query.
            z: task representation of each label.
            keys: one key an episode for dropout; None in evaluation.
        """
        channels = query.shape[-1]
        blocks = {"shared": 2, "unshared": 1 + self.way, "unguided": 1}[self.sharing]
        # The unguided head is as wide as the guided one whose place it takes, fewer inputs apart.
        width = channels * max(blocks, 2)
        outputs = 1 if self.sharing == "shared" else self.way

        def dense(name, inputs, outputs, init):
            kernel = self.param(f"{name}_kernel", init, (inputs, outputs), jnp.float32)
            bias = self.param(f"{name}_bias", nn.initializers.zeros, (outputs,), jnp.float32)
            return kernel.astype(self.dtype), bias.astype(self.dtype)

        fc7, bias = dense("fc7", channels * blocks, width, self.kernel_init)
        score, score_bias = dense("score", width, outputs, nn.initializers.zeros)
        hidden = jnp.einsum("bnmc,cd->bnmd", query.astype(self.dtype), fc7[:channels])[:, None] + bias.reshape(
            1, 1, 1, 1, -1
        )
        z = z.astype(self.dtype)
        if self.sharing == "shared":
            hidden = hidden + jnp.einsum("bkc,cd->bkd", z, fc7[channels:])[:, :, None, None]
        elif self.sharing == "unshared":
            ordered = jnp.concatenate([z[:, 1:], z[:, :1]], axis=1).reshape(z.shape[0], -1)
            hidden = hidden + jnp.einsum("bc,cd->bd", ordered, fc7[channels:])[:, None, None, None]
        hidden = dropout(nn.relu(hidden), keys, self.dropout_rate, channels=True)
        scores = jnp.einsum("bknmd,do->bkonm", hidden, score).astype(jnp.float32)
        scores = scores + score_bias.astype(jnp.float32).reshape(1, 1, -1, 1, 1)
        return scores[:, :, 0] if self.sharing == "shared" else scores[:, 0]
