"""A model over a batch of episodes: everything that does not depend on the annotation once, the rest for each draw."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, Key, PyTree, UInt8

from guided_jax.episode import Episode
from guided_jax.inference.union import binary_tasks, union_logits
from guided_jax.model_config import UNTRAINED, ModelConfig, guidance_labels
from guided_jax.observed import observe_episodes


def segment_episodes(
    model, episode: Episode, keys: Key[Array, " b"] | None, reduce_draw: Callable, way: int, *, union: bool
) -> PyTree:
    """See `Segmentor.__call__`, which binds the model."""
    segment = _segmenting(model, episode, keys)
    if takes_way(model.config, way) and not (union and way > 2):
        one_draw = partial(segment, way=way)
    elif takes_way(model.config, 2):
        # Positive labels against the rest, each a task of its own.
        def one_draw(annotation):
            logits = [segment(task, way=2)[0] for task in binary_tasks(annotation, way)]
            return union_logits(jnp.stack(logits)), None
    else:
        raise ValueError(f"{way} labels: a head of {model.config.way} labels takes neither them nor a binary task")
    draws = jnp.moveaxis(episode.annotation, 1, 0)
    if draws.shape[0] == 1 or model.is_initializing():
        return jax.tree.map(lambda leaf: leaf[None], reduce_draw(*one_draw(draws[0])))
    # A Python loop would compile every draw again; all parameters are made by now, so a
    # plain scan over a bound module is safe.
    return jax.lax.map(lambda draw: reduce_draw(*one_draw(draw)), draws)


def takes_way(config: ModelConfig, way: int) -> bool:
    """Whether the head scores this number of labels at once: its own or, with one metric for every label, any.

    Other numbers may still be scored as a union of binary tasks, if it takes two.

    Args:
        config: of the model.
        way: number of labels, the negative included.
    """
    any_number = config.sharing == "shared" or config.inference in UNTRAINED
    per_label = guidance_labels(config) == config.way and any_number
    return way == config.way or per_label


def annotate_episodes(
    model, episode: Episode, rounds: Int32[Array, ""], add: Callable, stride: int
) -> UInt8[Array, "b a s h w"]:
    """See `Segmentor.annotate`, which binds the model."""
    segment = _segmenting(model, episode, None)

    def one_round(number, annotation):
        return add(number, segment(annotation, way=model.config.way, stride=stride)[0], annotation)

    draws = jnp.moveaxis(episode.annotation, 1, 0)
    return jnp.moveaxis(jax.lax.map(lambda draw: jax.lax.fori_loop(0, rounds, one_round, draw), draws), 0, 1)


def _segmenting(model, episode: Episode, keys: Key[Array, " b"] | None) -> Callable:
    """The function (annotation [b, s, h, w], way) -> (logits, regressed weights or None) of a batch."""
    canvas = episode.annotation.shape[-2:]
    encoder_keys, head_keys, support_keys = (None if keys is None else _fold(keys, i) for i in range(3))
    queries, shots = observe_episodes(model, episode, encoder_keys)

    def segment(annotation, way, stride=1):
        of_query = annotation[:, 0] if episode.support is None else None
        query = model.query_observed(queries, of_query, encoder_keys, way)
        task = model.merge(model.guide_observed(shots, annotation, way, support_keys))
        return model.score(query, task, canvas, episode.query_size, head_keys, stride)

    return segment


def _fold(keys: Key[Array, " b"], number: int) -> Key[Array, " b"]:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
