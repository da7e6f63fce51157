"""Guided inference by a spatial decoder: what each cell is like, and where it lies, read by a few small convolutions.

A departure from the paper, whose heads (4.2) score every cell by itself from guidance that is pooled over the image:
such guidance knows no place, and what looks like the object is taken for it wherever it lies. Here each label k has, at
every cell, the similarities to its prototype and to its nearest annotated cell, and, where the query is itself
annotated, how near the annotation is; beside each of them stands the greatest of any other label, its rival. A few
dilated 3x3 convolutions turn these maps and the image's own features into one score. The distances to clicks are those
of interactive segmentation (Xu et al. 2016, *Deep Interactive Object Selection*; as Gaussians in Maninis et al. 2018,
*Deep Extreme Cut*), the similarities those of video segmentation (Voigtlaender et al. 2019, *FEELVOS*).

The encoder runs once an image; a click costs the decoder alone. The negative's score is 0, and the decoder is shared by
the positives, so that any number of labels is scored and exchanging two positives exchanges their outputs.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, Key

from guided_jax.guides.guidance import Neighbours, Task
from guided_jax.inference.distance import TEMPERATURE
from guided_jax.inference.similarity import greatest_of_others, nearest_similarity, prototype_similarity
from guided_jax.resample import valid_cells

DILATIONS = (1, 2, 4, 2)
"""Of the residual 3x3 convolutions: together with the first one a cell sees 10 cells to each side."""

SIGMAS = (1.0, 5.0)
"""Standard deviations, in cells, of the Gaussians of the distance to the nearest annotated pixel."""

ABSENT = -10.0
"""Score of a positive label that nothing annotates: it is nowhere."""


class DecoderQuery(NamedTuple):
    """The head's part of the query.

    Attributes:
        hidden: the image's part of the first layer, with the bias.
        features: representations to compare, groups of channels of unit length.
        cells: rows and columns of the grid that lie on the image; None: all.
        distance: from each cell's centre to the nearest pixel of each label that is annotated in the query itself, in
            cells, infinite where there is none; None: the query is another image than the annotated ones.
    """

    hidden: Float[Array, "b n m d"]
    features: Float[Array, "b n m c"]
    cells: Int32[Array, "b 2"] | None = None
    distance: Float[Array, "b k n m"] | None = None


class Decoder(nn.Module):
    """Similarities and places to scores, by convolutions.

    Attributes:
        image_channels: number of channels of the image's features, which come before those that are compared.
        groups: numbers of channels of the representations that are compared, each group on its own.
        width: number of channels of the convolutions.
        learned: number of the groups, from the first, that learn; the others start as plain similarities.
        drop_maps: share of the training's episodes in which the decoder is not shown where the annotation lies.
        drop_image: share of the training's episodes in which it sees no features of the image, similarities alone.
        dtype: type that is computed in; scores are float32.
    """

    image_channels: int
    groups: tuple[int, ...]
    width: int
    learned: int
    drop_maps: float
    drop_image: float
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Creates the layers; the last one starts at zero, so that the first scores are those of `skip`."""
        conv = lambda name, dilation=1, **kwargs: nn.Conv(  # noqa: E731
            self.width, (3, 3), kernel_dilation=dilation, padding=dilation, dtype=self.dtype, name=name, **kwargs
        )
        self.image = nn.Dense(self.width, dtype=self.dtype)
        self.first = conv("first", use_bias=False)
        self.blocks = [conv(f"block{i}", dilation) for i, dilation in enumerate(DILATIONS, 1)]
        self.last = nn.Dense(1, kernel_init=nn.initializers.zeros, dtype=jnp.float32)
        start = [0.0] * self.learned + [TEMPERATURE] * (len(self.groups) - self.learned)
        self.skip = self.param("skip", lambda _: jnp.asarray([start, start], jnp.float32))

    def prepare(self, features: Float[Array, "b n m c"]) -> DecoderQuery:
        """The query's part of the head; which cells lie on the image is for the caller to say."""
        image, compared = jnp.split(features, [self.image_channels], -1)
        return DecoderQuery(self.image(image), compared)

    def __call__(
        self, query: DecoderQuery, task: Task, keys: Key[Array, " b"] | None
    ) -> tuple[Float[Array, "b k n m"], None]:
        """Scores every label at every cell.

        Args:
            query: what `prepare` gives, with the distances where the query is annotated itself.
            task: representation of the task, with neighbours.
            keys: one an episode, to drop maps and features by; None in evaluation.
        """
        b, n, m, _ = query.hidden.shape
        there = task.neighbours.of_label.any(-1)
        k = there.shape[1]
        hidden, near = query.hidden, self._near(query, k)
        if keys is not None:
            hidden, near = _drop(keys, hidden, self.drop_image, 0), _drop(keys, near, self.drop_maps, 1)
        own = self._similarities(query.features, task)
        flag = jnp.broadcast_to(there[:, :, None, None, None], (b, k, n, m, 1)).astype(jnp.float32)
        maps = jnp.concatenate([own, near, flag], -1)
        rival = greatest_of_others(maps)
        positives = jnp.concatenate([maps, rival], -1)[:, 1:].reshape(b * (k - 1), n, m, -1)
        cells = jnp.broadcast_to(jnp.array([n, m]), (b, 2)) if query.cells is None else query.cells
        inside = valid_cells((n, m), cells)[..., None]
        inside, hidden = (jnp.repeat(each, k - 1, 0) for each in (inside, hidden))

        def keep(values):
            return jnp.where(inside, values, jnp.zeros((), values.dtype))

        values = self.first(keep(positives.astype(self.dtype))) + hidden
        for block in self.blocks:
            values = values + block(keep(nn.relu(values)))
        scores = self.last(nn.relu(values).astype(jnp.float32))[..., 0].reshape(b, k - 1, n, m)
        g = 2 * len(self.groups)
        scores = scores + jnp.einsum("bknmg,g->bknm", (own - rival[..., :g])[:, 1:], self.skip.reshape(-1))
        scores = jnp.where(there[:, 1:, None, None], scores, ABSENT)
        return jnp.concatenate([jnp.zeros((b, 1, n, m), jnp.float32), scores], 1), None

    def _near(self, query: DecoderQuery, labels: int) -> Float[Array, "b k n m s"]:
        """Gaussians of the distance to the annotation, and whether there is any in the query: zeros where not."""
        b, n, m, _ = query.hidden.shape
        if query.distance is None:
            return jnp.zeros((b, labels, n, m, len(SIGMAS) + 1), jnp.float32)
        gaussians = [jnp.exp(-0.5 * jnp.square(query.distance / sigma)) for sigma in SIGMAS]
        placed = jnp.isfinite(query.distance).any((1, 2, 3), keepdims=True).astype(jnp.float32)
        return jnp.stack([*gaussians, jnp.broadcast_to(placed, query.distance.shape)], -1)

    def _similarities(self, features: Float[Array, "b n m c"], task: Task) -> Float[Array, "b k n m g"]:
        """Cosine to the prototype, then to the nearest annotated cell, of each group of channels."""
        to_prototype, to_nearest, start = [], [], 0
        for channels in self.groups:
            part = slice(start, start := start + channels)
            query = features[..., part]
            neighbours = Neighbours(task.neighbours.features[..., part], task.neighbours.of_label)
            to_prototype.append(prototype_similarity(query, task.z[..., part], "cosine"))
            to_nearest.append(nearest_similarity(query, neighbours, "cosine"))
        return jnp.stack([*to_prototype, *to_nearest], -1)


def _drop(keys: Key[Array, " b"], values: Float[Array, "b *rest"], rate: float, number: int) -> Float[Array, "b *rest"]:
    """Zeros in place of all the values of some episodes."""
    if rate == 0.0:
        return values

    def draw(key: Key[Array, ""]) -> Bool[Array, ""]:
        return jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate)

    kept = jax.vmap(draw)(keys)
    return jnp.where(kept.reshape(-1, *[1] * (values.ndim - 1)), values, jnp.zeros((), values.dtype))
