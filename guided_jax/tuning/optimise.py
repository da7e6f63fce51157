"""Fits a segmentation network to the annotated pixels of one task's support."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, Key, PyTree, UInt8

from guided_jax.guides.guidance import Task
from guided_jax.guides.late import inside_only
from guided_jax.learning.optimizer import FlatParams, join, make_optimizer
from guided_jax.model_config import geometry_of
from guided_jax.segmentor import Segmentor
from guided_jax.tuning.config import TuneConfig, first_to_learn, optimizer_config
from guided_jax.tuning.pixels import POOL, cells_around, draw_pool, take_pixels
from guided_jax.tuning.views import random_view

NOTHING = Task(None)
"""The task of a network that nothing guides."""


def run_frozen(module: Segmentor, image, canvas: tuple[int, int], size: Int32[Array, "b 2"], part: str) -> PyTree:
    """What the first part that learns sees of images: the images, the trunk's maps, or the features.

    Args:
        module: bound.
        image: uint8 [b, h, w, 3], or the trunk's maps of the images.
        canvas: height and width of the canvas in pixels.
        size: true height and width of each image.
        part: a name in `guided_jax.tuning.config.PARTS`.
    """
    if part == "trunk":
        return image
    maps = image if isinstance(image, tuple) else module.trunk_maps(image, size)
    return maps if part == "neck" else module.encode(maps, canvas, size)


def run_learning(
    module: Segmentor, inputs: PyTree, canvas: tuple[int, int], size: Int32[Array, "b 2"], part: str
) -> Float[Array, "b k h w"]:
    """The logits of what `run_frozen` gives."""
    features = inputs if part == "head" else module.encode(inputs, canvas, size)
    return module.segment(module.prepare(features, size), NOTHING, canvas, size)


def _score_cells(module: Segmentor, features: Float[Array, "c d"]) -> Float[Array, "c k"]:
    """Scores of single cells, without the rest of their maps."""
    scores, _ = module.head(module.head.prepare(features[None, :, None]), NOTHING, None)
    return scores[0, :, :, 0].T


def balanced_loss(
    sums: Float[Array, " k"], counted: Int32[Array, " k"], annotated: Int32[Array, " k"], balance: bool
) -> Float[Array, ""]:
    """The loss of an annotation from that of its labels; 0 where nothing is annotated.

    Args:
        sums: of the cross entropy over some pixels of each label.
        counted: number of these pixels.
        annotated: number of all annotated pixels of each label, by which labels weigh unless balanced.
        balance: whether annotated labels weigh alike.
    """
    shown = annotated > 0
    weights = (shown if balance else annotated).astype(jnp.float32)
    means = sums / jnp.maximum(counted, 1).astype(jnp.float32)
    return (weights * means).sum() / jnp.maximum(weights.sum(), 1.0)


def tune(
    model: Segmentor,
    learning: FlatParams,
    frozen: FlatParams,
    inputs: PyTree,
    annotation: UInt8[Array, "s h w"],
    size: Int32[Array, "s 2"],
    key: Key[Array, ""],
    steps: Int32[Array, ""],
    config: TuneConfig,
) -> FlatParams:
    """The parameters after so many updates on the support of a task; the first ones where nothing is annotated.

    An update looks at `pixels` annotated pixels of each label in all shots, or at all of one shot, the shots in turn.

    Args:
        model: the network.
        learning: its parameters that learn, by path.
        frozen: the others.
        inputs: of the shots, what `run_frozen` gives for the first part that learns; leaves [s, ...].
        annotation: labels of the shots' pixels, 255 where unknown; points on the padding are no points.
        size: true height and width of each shot.
        key: for the pixels and views that the updates see.
        steps: number of updates, an array, so that the same program does any number.
        config: of the fine-tuning; its own `steps` does not matter.
    """
    part, optimizer = first_to_learn(learning), make_optimizer(optimizer_config(config))
    annotation = inside_only(annotation, size)
    if config.pixels:
        loss = _loss_of_cells(model, frozen, inputs, annotation, size, key, config)
    else:
        loss = _loss_of_images(model, frozen, inputs, annotation, size, key, config, part)

    def update(step, state):
        learning, opt_state = state
        gradient = jax.grad(loss)(learning, step)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes ints and floats
            updates, opt_state = optimizer.update(gradient, opt_state, learning)
        return optax.apply_updates(learning, updates), opt_state

    return jax.lax.fori_loop(0, steps, update, (learning, optimizer.init(learning)))[0]


Loss = Callable[[FlatParams, Int32[Array, ""]], Float[Array, ""]]
"""The loss of the parameters in an update, by its number."""


def _loss_of_cells(model, frozen, features, annotation, size, key, config) -> Loss:
    way, geometry, canvas = model.config.way, geometry_of(model.config), annotation.shape[-2:]
    pixels = min(config.pixels, annotation.size)
    pool = draw_pool(key, annotation, way, max(POOL, pixels))
    flat = features.reshape(-1, features.shape[-1])

    def loss(learning, step):
        positions, known = take_pixels(pool, step, pixels)
        cells, weights = cells_around(positions.reshape(-1), canvas, size, geometry)
        scores = _apply(model, learning, frozen, _score_cells, flat[cells.reshape(-1)])
        logits = (weights[..., None] * scores.reshape(*cells.shape, way)).sum(1).reshape(way, pixels, way)
        losses = jax.nn.logsumexp(logits, -1) - jnp.stack([logits[k, :, k] for k in range(way)])
        sums = jnp.where(known, losses, 0.0).sum(1)
        return balanced_loss(sums, known.sum(1, dtype=jnp.int32), pool.annotated, config.balance)

    return loss


def _loss_of_images(model, frozen, inputs, annotation, size, key, config, part) -> Loss:
    way, canvas = model.config.way, annotation.shape[-2:]

    def loss(learning, step):
        shot = step % annotation.shape[0]
        one, labels, sides = jax.tree.map(lambda leaf: leaf[shot][None], (inputs, annotation, size))
        if config.augment:
            one, labels = random_view(jax.random.fold_in(key, step), one, labels, sides)
        run = partial(run_learning, canvas=canvas, size=sides, part=part)
        logits = _apply(model, learning, frozen, run, one)
        of_label = jax.nn.one_hot(labels, way, axis=1)
        losses = jax.nn.logsumexp(logits, 1, keepdims=True) - logits
        counted = of_label.sum((0, 2, 3)).astype(jnp.int32)
        return balanced_loss((of_label * losses).sum((0, 2, 3)), counted, counted, config.balance)

    return loss


def _apply(model, learning, frozen, method, *args):
    return model.apply({"params": join(learning, frozen)}, *args, method=method)
