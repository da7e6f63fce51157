"""Videos by a network that is fitted to their annotated frames first: the paper's baseline, and OSVOS (5.3).

The functions take the place of those of `guided_jax.video.alone`; the tasks are the parameters that learn, as fitted to
each annotation and, in a union, each of its objects.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, PyTree, UInt8

from guided_jax.inference.labels import predict_labels
from guided_jax.inference.union import binary_tasks, union_logits
from guided_jax.learning.optimizer import FlatParams, join, split_frozen
from guided_jax.segmentor import Segmentor
from guided_jax.tuning.config import TuneConfig, first_to_learn
from guided_jax.tuning.optimise import run_frozen, run_learning, tune


class VideoTuning(NamedTuple):
    """How the network is fitted to a video.

    Attributes:
        model: the network, unguided.
        config: of the fine-tuning.
        seed: of the pixels and views that updates see.
    """

    model: Segmentor
    config: TuneConfig
    seed: int

    def split(self, variables: dict) -> tuple[FlatParams, FlatParams, str]:
        """The parameters that learn, the others, and the first part of the network that learns."""
        learning, frozen = split_frozen(variables["params"], self.config.freeze)
        return learning, frozen, first_to_learn(learning)


def fit_frames(
    how: VideoTuning,
    variables: dict,
    images: UInt8[Array, "s h w 3"],
    annotation: UInt8[Array, "a s h w"],
    sizes: Int32[Array, "s 2"],
    steps: Int32[Array, ""],
    *,
    canvas: tuple[int, int],
    way: int,
    union: bool,
) -> FlatParams:
    """The fitted parameters for each annotation, with leaves [a, o, ...]; steps of 0 leave them as they are."""
    learning, frozen, part = how.split(variables)
    inputs = how.model.apply(variables, images, canvas=canvas, size=sizes, part=part, method=run_frozen)
    tasks = jnp.stack(binary_tasks(annotation, way) if union else [annotation], 1)

    def fit(numbered):
        number, labels = numbered
        key = jax.random.fold_in(jax.random.key(how.seed), number)
        return tune(how.model, learning, frozen, inputs, labels, sizes, key, steps, how.config)

    flat = tasks.reshape(-1, *tasks.shape[2:])
    fitted = jax.lax.map(fit, (jnp.arange(len(flat)), flat))
    return jax.tree.map(lambda leaf: leaf.reshape(*tasks.shape[:2], *leaf.shape[1:]), fitted)


def encode_frozen(
    how: VideoTuning,
    variables: dict,
    images: UInt8[Array, "t h w 3"],
    sizes: Int32[Array, "t 2"],
    *,
    canvas: tuple[int, int],
) -> PyTree:
    """What the first part that learns sees of frames."""
    part = how.split(variables)[2]
    return how.model.apply(variables, images, canvas=canvas, size=sizes, part=part, method=run_frozen)


def label_by_fitted(
    how: VideoTuning,
    variables: dict,
    query: PyTree,
    sizes: Int32[Array, "t 2"],
    fitted: FlatParams,
    *,
    canvas: tuple[int, int],
    number: tuple[int, int],
) -> UInt8[Array, "a t h w"]:
    """Label maps of frames under each annotation, one annotation and one of its tasks at a time."""
    _, frozen, part = how.split(variables)
    run = partial(run_learning, canvas=canvas, size=sizes, part=part)

    def segment(learning) -> Float[Array, "t k h w"]:
        return how.model.apply({"params": join(learning, frozen)}, query, method=run)

    def label(of_annotation):
        logits = jax.lax.map(segment, of_annotation)
        return predict_labels(logits[0] if number[1] == 1 else union_logits(logits))

    return jax.lax.map(label, fitted)
