"""Guided inference as OSLSM's (Shaban et al. 2017, 4.1): a logistic regression, its weights spread by a fixed hash.

A support of the masked image becomes `CODES` numbers; the weights (w, b) of the query's cells are these, each repeated
with a sign at places that a hash chooses once and for all. So a few numbers make many weights, and none of the 4,097 is
learnt on its own. Every shot has weights of its own: they are not merged, their masks are (`union.shots_union`).
"""

import hashlib
from functools import cache

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from guided_jax.guides.guidance import Task
from guided_jax.inference.head_layers import add_bias, make_layer
from guided_jax.inference.parameter_regression import ParameterRegression

CODES = 1000
"""Numbers that the weights are made of: the outputs of the pretrained fc8, the classes of ImageNet, as in OSLSM."""


@cache
def hash_places(outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Which code each weight repeats, int32 [outputs], and its sign, float32 [outputs] of 1 and -1.

    OSLSM draws both at random before the training, and keeps them in its snapshot as a layer with a learning rate of 0.
    Here they follow from the place alone (SHA-256 of its number), so that they need no room in a checkpoint.
    """
    digests = [hashlib.sha256(str(place).encode()).digest() for place in range(outputs)]
    codes = np.array([int.from_bytes(digest[:8], "big") % CODES for digest in digests], np.int32)
    signs = np.array([1 if digest[8] & 1 else -1 for digest in digests], np.float32)
    return codes, signs


def spread(codes: Float[Array, "*b codes"], outputs: int) -> Float[Array, "*b outputs"]:
    """The hashed layer: a fixed matrix with a single entry in each row, 1 or -1."""
    places, signs = hash_places(outputs)
    signs = jnp.asarray(signs, codes.dtype).reshape((1,) * (codes.ndim - 1) + (outputs,))
    return jnp.take(codes, jnp.asarray(places), axis=-1) * signs


class HashedRegression(ParameterRegression):
    """fc7 and ReLU on the query; fc7, ReLU, fc8 and the hashed layer on the support of each shot.

    The scores [b, s, n, m] are those of the positive, a shot each; the negative's are 0, so that the softmax of the two
    is the logistic function. A task has a row of z for each shot in place of one for each label.
    """

    def setup(self):
        """Creates the layers; fc8 starts at zero, as do the weights then, and the scores."""
        self.fc7 = make_layer(self, "fc7", self.channels, self.width, self.kernel_init)
        self.support_fc7 = make_layer(self, "support_fc7", self.channels, self.width, self.kernel_init)
        self.fc8 = make_layer(self, "fc8", self.width, CODES, nn.initializers.zeros)

    def _regress(self, task: Task) -> Float[Array, "b s p"]:
        z = task.z.astype(self.dtype)
        hidden = nn.relu(add_bias(z @ self.support_fc7["kernel"].astype(self.dtype), self.support_fc7))
        codes = add_bias(hidden @ self.fc8["kernel"].astype(self.dtype), self.fc8)
        return spread(codes, self.width + 1)

    def _rows(self, weights: Float[Array, "b s p"], task: Task) -> Float[Array, "b s p"]:
        """The weights of each shot; zero where a shot says nothing."""
        guided = (task.z != 0).any(-1, keepdims=True)
        return jnp.where(guided, weights, 0.0).astype(jnp.float32)
