"""Fine-tuning on every task of a batch of episodes, and the labels of their queries."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, PyTree, UInt8

from guided_jax.episode import Episode
from guided_jax.inference.labels import predict_labels
from guided_jax.learning.optimizer import FlatParams, join, split_frozen
from guided_jax.scoring.few_shot import count_labels
from guided_jax.segmentor import Segmentor
from guided_jax.tuning.config import TuneConfig, first_to_learn
from guided_jax.tuning.optimise import run_frozen, run_learning, tune


class Start(NamedTuple):
    """Where the fine-tuning of every task begins, and how long it takes.

    Attributes:
        params: of the network.
        steps: number of updates.
    """

    params: dict
    steps: Int32[Array, ""]


def tuned_labels(
    start: Start, batch: Episode, *, model: Segmentor, config: TuneConfig, seed: int, axis_name: str | None = None
) -> UInt8[Array, "b a h w"]:
    """Label maps of the queries of a batch, each by the network as fitted to the task under each of its annotations.

    Random numbers come from (seed, index of the episode, number of the annotation).

    Args:
        start: parameters and number of updates.
        batch: the episodes, of two labels or as many as the network has.
        model: a network that nothing guides.
        config: of the fine-tuning.
        seed: of the pixels that updates see.
        axis_name: of the devices under pmap; not needed.
    """
    del axis_name  # every task is fitted by itself
    learning, frozen = split_frozen(start.params, config.freeze)
    part, canvas = first_to_learn(learning), batch.annotation.shape[-2:]
    run = partial(_run_frozen, model, start.params, canvas=canvas, part=part)
    query = run(batch.query, batch.query_size)
    if batch.support is None:
        shots, sizes = jax.tree.map(lambda leaf: leaf[:, None], (query, batch.query_size))
    else:
        lead, sizes = batch.support_size.shape[:2], batch.support_size
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (batch.support, sizes))
        shots = jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), run(*flat))

    def of_task(task):
        query, query_size, shots, sizes, annotation, index = task

        def of_annotation(numbered):
            number, labels = numbered
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), number)
            tuned = tune(model, learning, frozen, shots, labels, sizes, key, start.steps, config)
            return label_query(model, tuned, frozen, query, query_size, canvas, part)

        return jax.lax.map(of_annotation, (jnp.arange(len(annotation)), annotation))

    tasks = query, batch.query_size, shots, sizes, batch.annotation, batch.index
    together = config.together or len(batch.index)
    return jax.lax.map(of_task, tasks, batch_size=None if together == 1 else together)


def evaluate_tuned_step(
    start: Start, batch: Episode, *, with_labels: bool = False, **how
) -> Int32[Array, "b a 6"] | tuple[Int32[Array, "b a 6"], UInt8[Array, "b a h w"]]:
    """As `guided_jax.learning.step.evaluate_step`, of `tuned_labels`, whose arguments it takes."""
    labels = tuned_labels(start, batch, **how)
    counts = jax.vmap(count_labels, (1, None, None), 1)(labels, batch.target, batch.query_size)
    return (counts, labels) if with_labels else counts


def label_query(
    model: Segmentor,
    learning: FlatParams,
    frozen: FlatParams,
    query: PyTree,
    size: Int32[Array, "2"],
    canvas: tuple[int, int],
    part: str,
) -> UInt8[Array, "h w"]:
    """The labels of one image, of which `query` is what the first part that learns sees."""
    one, sides = jax.tree.map(lambda leaf: leaf[None], (query, size))
    run = partial(run_learning, canvas=canvas, size=sides, part=part)
    return predict_labels(model.apply({"params": join(learning, frozen)}, one, method=run))[0]


def _run_frozen(model, params, image, size, *, canvas, part):
    return model.apply({"params": params}, image, size=size, canvas=canvas, part=part, method=run_frozen)
