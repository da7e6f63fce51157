"""Guided inference by a spatial decoder: what each cell is like, and where it lies, read by a few small convolutions.

A departure from the paper, whose heads (4.2) score every cell by itself from guidance that is pooled over the image:
such guidance knows no place, and what looks like the object is taken for it wherever it lies. Here each label k has, at
every cell, the similarities to its prototype and to its nearest annotated cell, and, where the query is itself
annotated, how near the annotation is; beside each of them stands the greatest of any other label, its rival. A few
dilated 3x3 convolutions turn these maps and the image's own features into one score. The distances to clicks are those
of interactive segmentation (Xu et al. 2016, *Deep Interactive Object Selection*; as Gaussians in Maninis et al. 2018,
*Deep Extreme Cut*), the similarities those of video segmentation (Voigtlaender et al. 2019, *FEELVOS*).

With `self_support` the query guides itself as well, by the cells that a first look is sure of (Fan et al. 2022,
*Self-Support Few-Shot Semantic Segmentation*): a thing is more like itself than like one point of it. Where much of the
query itself is annotated, a second look adds nothing, and there is none.

The encoder runs once an image; a click costs the decoder alone. The negative's score is 0, and the decoder is shared by
the positives, so that any number of labels is scored and exchanging two positives exchanges their outputs.
"""

import itertools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, Key

from guided_jax.guides.guidance import Neighbours, Task
from guided_jax.inference.distance import TEMPERATURE
from guided_jax.inference.similarity import greatest_of_others, nearest_similarity, prototype_similarity
from guided_jax.resample import unit, valid_cells

DILATIONS = (1, 2, 4, 2)
"""Of the residual 3x3 convolutions: together with the first one a cell sees 10 cells to each side."""

SIGMAS = (1.0, 5.0)
"""Standard deviations, in cells, of the Gaussians of the distance to the nearest annotated pixel."""

SPACING = 4
"""Cells from one to the next of those of the query that it may compare itself with one by one."""

FEW = 10
"""Annotated cells, of all labels together, up to which a second look at an annotated image pays: more say enough."""

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
        self_support: probability of a label from which on a cell of the query guides in a second look; 0: there is
            none. Queries that are annotated themselves get none where more than `FEW` cells are. Training takes the
            scores of either look, half of the episodes each, so that both learn.
        dtype: type that is computed in; scores are float32.
    """

    image_channels: int
    groups: tuple[int, ...]
    width: int
    learned: int
    drop_maps: float
    drop_image: float
    self_support: float = 0.0
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
        cells = jnp.broadcast_to(jnp.array([n, m]), (b, 2)) if query.cells is None else query.cells
        inside = valid_cells((n, m), cells)
        hidden, near = query.hidden, self._near(query, task.neighbours.of_label.shape[1])
        if keys is not None:
            hidden, near = _drop(keys, hidden, self.drop_image, 0), _drop(keys, near, self.drop_maps, 1)
        there, nearest = task.neighbours.of_label.any(-1), self._to_nearest(query.features, task.neighbours)
        scores = self._look(query, hidden, near, inside, there, task.z, nearest)
        if self.self_support:
            twice = _needs_second_look(query, task.neighbours) if keys is None else _drawn(keys, 0.5, 2, scores.ndim)

            def look_again(module: "Decoder") -> Float[Array, "b k n m"]:
                own = module._self_support(query, inside, there, task.z, nearest, scores)
                return jnp.where(twice, module._look(query, hidden, near, inside, there, *own), scores)

            scores = nn.cond(twice.any(), look_again, lambda module: scores, self)
        return scores, None

    def _look(
        self,
        query: DecoderQuery,
        hidden: Float[Array, "b n m d"],
        near: Float[Array, "b k n m s"],
        inside: Bool[Array, "b n m"],
        there: Bool[Array, "b k"],
        z: Float[Array, "b k c"],
        nearest: Float[Array, "b k n m g"],
    ) -> Float[Array, "b k n m"]:
        """Scores by what guides: prototypes, and the cosine to the nearest cell of each label."""
        (b, n, m, _), k = hidden.shape, there.shape[1]
        own = jnp.concatenate([self._to_prototypes(query.features, z), nearest], -1)
        flag = jnp.broadcast_to(there[:, :, None, None, None], (b, k, n, m, 1)).astype(jnp.float32)
        maps = jnp.concatenate([own, near, flag], -1)
        rival = greatest_of_others(maps)
        positives = jnp.concatenate([maps, rival], -1)[:, 1:].reshape(b * (k - 1), n, m, -1)
        inside, hidden = (jnp.repeat(each, k - 1, 0) for each in (inside[..., None], hidden))

        def keep(values):
            return jnp.where(inside, values, jnp.zeros((), values.dtype))

        values = self.first(keep(positives.astype(self.dtype))) + hidden
        for block in self.blocks:
            values = values + block(keep(nn.relu(values)))
        scores = self.last(nn.relu(values).astype(jnp.float32))[..., 0].reshape(b, k - 1, n, m)
        g = 2 * len(self.groups)
        scores = scores + jnp.einsum("bknmg,g->bknm", (own - rival[..., :g])[:, 1:], self.skip.reshape(-1))
        scores = jnp.where(there[:, 1:, None, None], scores, ABSENT)
        return jnp.concatenate([jnp.zeros((b, 1, n, m), jnp.float32), scores], 1)

    def _self_support(
        self,
        query: DecoderQuery,
        inside: Bool[Array, "b n m"],
        there: Bool[Array, "b k"],
        z: Float[Array, "b k c"],
        nearest: Float[Array, "b k n m g"],
        scores: Float[Array, "b k n m"],
    ) -> tuple[Float[Array, "b k c"], Float[Array, "b k n m g"]]:
        """Prototypes and cosines to the nearest cell with those cells of the query that a first look is sure of.

        Their mean is the prototype of a label that has any; every `SPACING`-th of them, each way, joins the annotated
        ones. Where the annotation lies stays as it is: only that is known.
        """
        sure = (jax.nn.softmax(scores, 1) > self.self_support) & inside[:, None] & there[:, :, None, None]
        features = query.features.astype(jnp.float32)
        mean = jnp.einsum("bknm,bnmc->bkc", sure.astype(jnp.float32), features, precision=jax.lax.Precision.HIGHEST)
        number = sure.sum((2, 3)).astype(jnp.float32)[..., None]
        steps = slice(SPACING // 2, None, SPACING)
        some, of_label = features[:, steps, steps], sure[:, :, steps, steps].reshape(*sure.shape[:2], 1, 1, -1)
        found = []
        for part in self._parts():
            cosines = jnp.einsum(
                "bnmc,bijc->bnmij",
                unit(features[..., part]),
                unit(some[..., part]),
                precision=jax.lax.Precision.HIGHEST,
            )
            cosines = cosines.reshape(*cosines.shape[:3], -1)
            labels = [jnp.where(of_label[:, i], cosines, -1.0).max(-1) for i in range(sure.shape[1])]
            found.append(jnp.stack(labels, 1))
        z = jnp.where(number > 0, mean / jnp.maximum(number, 1), z)
        return z, jnp.maximum(nearest, jnp.stack(found, -1)) if some.size else nearest

    def _near(self, query: DecoderQuery, labels: int) -> Float[Array, "b k n m s"]:
        """Gaussians of the distance to the annotation, and whether there is any in the query: zeros where not."""
        b, n, m, _ = query.hidden.shape
        if query.distance is None:
            return jnp.zeros((b, labels, n, m, len(SIGMAS) + 1), jnp.float32)
        gaussians = [jnp.exp(-0.5 * jnp.square(query.distance / sigma)) for sigma in SIGMAS]
        placed = jnp.isfinite(query.distance).any((1, 2, 3), keepdims=True).astype(jnp.float32)
        return jnp.stack([*gaussians, jnp.broadcast_to(placed, query.distance.shape)], -1)

    def _parts(self) -> list[slice]:
        """The channels of each group."""
        ends = list(itertools.accumulate(self.groups))
        return [slice(end - channels, end) for end, channels in zip(ends, self.groups, strict=True)]

    def _to_prototypes(self, features: Float[Array, "b n m c"], z: Float[Array, "b k c"]) -> Float[Array, "b k n m g"]:
        """Cosine to the prototype, of each group of channels."""
        found = [prototype_similarity(features[..., part], z[..., part], "cosine") for part in self._parts()]
        return jnp.stack(found, -1)

    def _to_nearest(self, features: Float[Array, "b n m c"], neighbours: Neighbours) -> Float[Array, "b k n m g"]:
        """Cosine to the nearest annotated cell, of each group of channels."""
        return jnp.stack(
            [
                nearest_similarity(
                    features[..., part], neighbours._replace(features=neighbours.features[..., part]), "cosine"
                )
                for part in self._parts()
            ],
            -1,
        )


def _needs_second_look(query: DecoderQuery, neighbours: Neighbours) -> Bool[Array, "b 1 1 1"]:
    """Whether little is annotated, or nothing of the query itself, whose own look is then all there is of it."""
    few = neighbours.of_label.any(1).sum(-1) <= FEW
    if query.distance is None:
        return jnp.ones_like(few)[:, None, None, None]
    return (few | ~jnp.isfinite(query.distance).any((1, 2, 3)))[:, None, None, None]


def _drop(keys: Key[Array, " b"], values: Float[Array, "b *rest"], rate: float, number: int) -> Float[Array, "b *rest"]:
    """Zeros in place of all the values of some episodes."""
    if rate == 0.0:
        return values
    return jnp.where(_drawn(keys, 1 - rate, number, values.ndim), values, jnp.zeros((), values.dtype))


def _drawn(keys: Key[Array, " b"], rate: float, number: int, axes: int) -> Bool[Array, "b *ones"]:
    """True for a share of the episodes, on the first of so many axes; another draw for each number."""

    def draw(key: Key[Array, ""]) -> Bool[Array, ""]:
        return jax.random.bernoulli(jax.random.fold_in(key, number), rate)

    return jax.vmap(draw)(keys).reshape(-1, *[1] * (axes - 1))
