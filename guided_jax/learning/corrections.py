"""A simulated user in training: points put where the network is wrong, before the update that learns from them.

Dots that are drawn at random say little about what a correction says: a pixel that looks like the object and is not.
Trained on random dots alone, a network takes the first such negative for the end of the object. The field trains on its
own errors instead: Mahadevan et al., *Iteratively Trained Interactive Segmentation*, 2018; Sofiiuk et al., *Reviving
Iterative Training with Mask Guidance*, 2021. The paper draws at random, so this is a departure, off by default.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int32, Key, UInt8

from guided_jax.episode import UNKNOWN, Episode
from guided_jax.inference.labels import predict_labels
from guided_jax.segmentor import Segmentor

CLICK_KEYS = 3
"""By which an episode's key is folded; `guided_jax.episodic` takes the smaller numbers, for dropout."""

LEVELS = 7
"""Errors are told apart by depth up to 2 ** (LEVELS - 1) = 64 pixels."""


def depth_level(region: Bool[Array, "*b h w"]) -> Int32[Array, "*b h w"]:
    """How deep a pixel lies in a region: 0 outside; 1 + the number of the squares of 3, 5, 9, ... pixels around it
    that the region fills. Beyond the frame nothing belongs to it.

    It stands in for the distance transform of `guided_jax.scoring.clicks`, which needs another pass for every pixel of
    depth; here every pass doubles the square.
    """
    level, eroded = region.astype(jnp.int32), region
    for number in range(LEVELS):
        reach = max(1, 2 ** (number - 1))
        for axis in (-1, -2):
            both_sides = _shift(eroded, reach, axis) & _shift(eroded, -reach, axis)
            eroded = both_sides & eroded if number == 0 else both_sides
        level += eroded.astype(jnp.int32)
    return level


def _shift(region: Bool[Array, "*b h w"], by: int, axis: int) -> Bool[Array, "*b h w"]:
    size = region.shape[axis]
    if abs(by) >= size:
        return jnp.zeros_like(region)
    pad = [(0, 0)] * region.ndim
    pad[axis] = (by, 0) if by > 0 else (0, -by)
    return jax.lax.slice_in_dim(jnp.pad(region, pad), max(0, -by), max(0, -by) + size, axis=axis)


def add_click(
    key: Key[Array, ""],
    labels: UInt8[Array, "h w"],
    target: UInt8[Array, "h w"],
    annotation: UInt8[Array, "h w"],
    way: int,
) -> UInt8[Array, "h w"]:
    """The annotation with one more point: a pixel that is wrong, among the deepest of its label, labelled rightly.

    Args:
        key: chooses among the pixels of the deepest level.
        labels: as predicted.
        target: the truth; void is never wrong.
        annotation: so far; it comes back as it is where nothing is wrong.
        way: number of labels.
    """
    wrong = (labels != target) & (target != UNKNOWN) & (annotation == UNKNOWN)
    of_label = target[None] == jnp.arange(way, dtype=jnp.uint8)[:, None, None]
    level = depth_level(wrong[None] & of_label).max(0)
    choice = level.astype(jnp.float32) + jax.random.uniform(key, level.shape)
    pixel = jnp.unravel_index(jnp.argmax(jnp.where(wrong, choice, 0.0)), level.shape)
    return annotation.at[pixel].set(jnp.where(wrong.any(), target[pixel], annotation[pixel]))


def draw_clicks(seed: int, step: Int32[Array, ""], most: int) -> Int32[Array, ""]:
    """How many clicks an update adds, from 0 to `most`: the same for all its episodes, so that no device waits."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), CLICK_KEYS), step)
    return jax.random.randint(key, (), 0, most + 1)


def correct(
    model: Segmentor,
    params: dict,
    batch: Episode,
    keys: Key[Array, " b"],
    clicks: Int32[Array, ""],
    stride: int = 1,
) -> Episode:
    """A batch of interactive episodes with corrections added to their annotations.

    An episode without annotation begins with one click more, deep inside its object: all of that is missed then.

    Args:
        model: whose errors are corrected.
        params: of the model; no gradient reaches them.
        batch: interactive episodes.
        keys: one an episode.
        clicks: how many; each is put where the network errs given those before it.
        stride: pixels between the places where clicks may lie: labels are predicted and compared at these alone, at a
            cost that falls with its square.
    """
    keys = jax.vmap(lambda key: jax.random.fold_in(key, CLICK_KEYS))(keys)
    add_clicks = jax.vmap(partial(add_click, way=model.config.way))

    there = (slice(None), *[slice(stride // 2, None, stride)] * 2)

    def add(number, labels, annotation):
        at = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
        added = add_clicks(at, labels, batch.target[there], annotation[:, 0][there])
        return annotation.at[(slice(None), 0, *there[1:])].set(added)

    def click(number, logits, annotation):
        return add(number, predict_labels(logits), annotation)

    draws = (None, None, 1)
    first = jax.vmap(add, draws, 1)(clicks, jnp.zeros_like(batch.target[there]), batch.annotation)
    blank = (batch.annotation == UNKNOWN).all((2, 3, 4), keepdims=True)
    batch = batch._replace(annotation=jnp.where(blank, first, batch.annotation))
    params = jax.lax.stop_gradient(params)
    annotation = model.apply({"params": params}, batch, clicks, click, stride, method="annotate")
    return batch._replace(annotation=annotation)
