"""A model over a batch of episodes: everything that does not depend on the annotation once, the rest for each draw."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, Key, PyTree, UInt8

from guided_jax.episode import Episode
from guided_jax.guides.guidance import Task
from guided_jax.inference.union import binary_tasks, union_logits
from guided_jax.model_config import ModelConfig, guidance_labels, guides_early


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
    per_label = guidance_labels(config) == config.way and (config.sharing == "shared" or config.inference == "distance")
    return way == config.way or per_label


def annotate_episodes(model, episode: Episode, rounds: Int32[Array, ""], add: Callable) -> UInt8[Array, "b a s h w"]:
    """See `Segmentor.annotate`, which binds the model."""
    segment = _segmenting(model, episode, None)

    def one_round(number, annotation):
        return add(number, segment(annotation, way=model.config.way)[0], annotation)

    draws = jnp.moveaxis(episode.annotation, 1, 0)
    return jnp.moveaxis(jax.lax.map(lambda draw: jax.lax.fori_loop(0, rounds, one_round, draw), draws), 0, 1)


def _segmenting(model, episode, keys):
    """The function (annotation [b, s, h, w], way) -> (logits, regressed weights or None) of a batch."""
    config, canvas, size = model.config, episode.annotation.shape[-2:], episode.query_size
    encoder_keys, head_keys, support_keys = (None if keys is None else _fold(keys, i) for i in range(3))
    score = partial(model.score, canvas=canvas, size=size, keys=head_keys)
    shot_size = size[:, None] if episode.support is None else episode.support_size
    if config.inference == "direct" and config.fusion == "stack":

        def stacked(annotation, way):
            del way  # the channels are the configuration's
            query = model.encode_annotated(episode.query, annotation[:, 0], size, encoder_keys)
            return score(model.prepare(query), Task(None))

        return stacked
    if config.fusion == "late":
        features, support = _encode_all(model, episode, canvas, encoder_keys)
        query = model.prepare(features)
        return lambda annotation, way: score(query, model.merge(model.guide(support, annotation, shot_size, way)))
    query = model.prepare(model.encode(episode.query, canvas, size, encoder_keys))
    if not guides_early(config):
        return lambda annotation, way: score(query, Task(None))
    image = episode.query[:, None] if episode.support is None else episode.support
    return lambda annotation, way: score(
        query, model.merge(model.guide_early(image, annotation, shot_size, support_keys))
    )


def _encode_all(model, episode, canvas, keys):
    """Features of the queries [b, ...] and of the shots [b, s, ...], in one pass where they share the grid."""
    size, apart = episode.query_size, model.config.support_grid == "dilated"
    if episode.support is None:
        features = model.encode(episode.query, canvas, size, keys)
        if apart:
            return features, model.encode_support(episode.query, canvas, size, keys)[:, None]
        return features, model.refine_support(features, canvas, size)[:, None]
    b, s = episode.support_size.shape[:2]
    image_keys = None if keys is None else _split(keys, s + 1)

    def flat(tree):
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)

    def shots(features):
        return features.reshape(b, s, *features.shape[1:])

    if apart:
        query_keys, support_keys = (None, None) if keys is None else (image_keys[:, 0], flat(image_keys[:, 1:]))
        features = model.encode(episode.query, canvas, size, query_keys)
        support, support_size = flat((episode.support, episode.support_size))
        return features, shots(model.encode_support(support, canvas, support_size, support_keys))
    both = jax.tree.map(
        lambda query, support: jnp.concatenate([query[:, None], support], 1),
        (episode.query, size),
        (episode.support, episode.support_size),
    )
    images, sizes = flat(both)
    features = model.encode(images, canvas, sizes, None if keys is None else flat(image_keys))
    features = features.reshape(b, s + 1, *features.shape[1:])
    support = model.refine_support(flat(features[:, 1:]), canvas, flat(episode.support_size))
    return features[:, 0], shots(support)


def _fold(keys: Key[Array, " b"], number: int) -> Key[Array, " b"]:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def _split(keys: Key[Array, " b"], number: int) -> Key[Array, "b n"]:
    return jax.vmap(lambda key: jax.random.split(key, number))(keys)
