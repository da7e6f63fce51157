"""Guided inference by distance (paper 4.2): prototypes, and nearest neighbours.

Every label's score is the query's similarity to it times a learned temperature, so any number of labels is
scored, and nothing but the temperature needs training: a pretrained trunk segments as it is.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from guided_jax.guides.guidance import Task
from guided_jax.inference.similarity import nearest_similarity, prototype_similarity

TEMPERATURE = 10.0
"""Factor on similarities before training."""


class SimilarityHead(nn.Module):
    """What heads share that score features as they are by similarities times learned temperatures."""

    @property
    def temperatures(self) -> int:
        """Their number."""
        return 1

    def setup(self):
        """Creates the logarithms of the temperatures."""
        start = np.full((self.temperatures,), np.log(TEMPERATURE), np.float32)
        self.log_temperature = self.param("log_temperature", lambda _: jnp.asarray(start))

    def prepare(self, features: Float[Array, "b n m c"]) -> Float[Array, "b n m c"]:
        """The query's features as they are."""
        return features


class Distance(SimilarityHead):
    """Scores by similarity to each label's prototype, to its nearest kept representation, or by the sum of both.

    Attributes:
        metric: similarity: cosine or euclidean.
        locality: what it is the similarity to: global (prototypes), local (nearest neighbours) or both.
    """

    metric: str
    locality: str

    @property
    def temperatures(self) -> int:
        """One of prototypes, then one of neighbours, as the locality has them."""
        return 2 if self.locality == "both" else 1

    def __call__(
        self, query: Float[Array, "b n m c"], task: Task, keys: Key[Array, " b"] | None
    ) -> tuple[Float[Array, "b k n m"], None]:
        """Scores every label at every cell; `keys` are not used: there is no hidden layer to drop of."""
        del keys
        similarities = []
        if self.locality != "local":
            similarities.append(prototype_similarity(query, task.z, self.metric))
        if self.locality != "global":
            similarities.append(nearest_similarity(query, task.neighbours, self.metric))
        temperature = jnp.exp(self.log_temperature)
        return sum(temperature[i] * each for i, each in enumerate(similarities)), None
