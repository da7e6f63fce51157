"""Where kinds of models part, once for all callers: what is computed of an image, and what its annotation makes of it.

observed = observe(image)                        # the encoder, whatever the annotations
guidance = guide_observed(observed, annotation)  # what the annotated image says of the task; None: nothing guides
query = query_observed(observed, annotation)     # what the head sees of the image itself

Late fusion guides by features, early fusion by pixels; under `inference=direct` nothing guides, and where the image is
stacked with its own annotation all of the query waits for it. Callers need not know which of them a model does.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key, PyTree, UInt8

from guided_jax.episode import Episode
from guided_jax.guides.clicks import PaddedClicks, guide_clicks
from guided_jax.guides.guidance import Guidance
from guided_jax.guides.places import distance_of_clicks, distance_of_map
from guided_jax.model_config import guides_early, keeps_positions, places_annotation, query_sees_annotation


class Observed(NamedTuple):
    """All of images that does not depend on annotations; a pytree whose leaves begin with the same axes *b.

    Attributes:
        query: the head's part of the images as queries; None where it depends on their annotation as a whole.
        support: features that an annotation is laid on, on the support's grid; None but under late fusion.
        pixels: the images as stored, where an encoder sees them together with their annotation; else None.
        size: true height and width of each image in pixels.
    """

    query: PyTree
    support: Float[Array, "*b n m c"] | None
    pixels: UInt8[Array, "*b h w 3"] | None
    size: Int32[Array, "*b 2"]


def as_shots(observed: Observed) -> Observed:
    """The same images [b, ...], each as the only shot of an episode of its own [b, 1, ...]."""
    return jax.tree.map(lambda leaf: leaf[:, None], observed)


def observe(model, image, canvas: tuple[int, int], size, keys, *, refined: bool) -> Observed:
    """See `Segmentor.observe`, which binds the model."""
    return _with_query(model, *_encode(model, image, canvas, size, keys, refined=refined))


def _encode(model, image, canvas, size, keys, *, refined):
    """Features of images as queries, None where their annotation is needed for that, and all else of them."""
    config = model.config
    if query_sees_annotation(config):
        return None, Observed(None, None, image, size)
    features = model.encode(image, canvas, size, keys)
    if config.fusion != "late":
        return features, Observed(None, None, image if guides_early(config) else None, size)
    dilated = config.support_grid == "dilated"
    support = model.encode_support(image, canvas, size, keys) if dilated else model.to_compare(features)
    return features, Observed(None, model.refine_support(support, canvas, size) if refined else support, None, size)


def _with_query(model, features, observed: Observed) -> Observed:
    return observed if features is None else observed._replace(query=model.prepare(features, observed.size))


def observe_episodes(model, episode: Episode, keys: Key[Array, " b"] | None) -> tuple[Observed, Observed]:
    """The queries [b, ...] and the shots [b, s, ...] of a batch, in one pass of the encoder where they share the grid.

    Args:
        model: a bound `Segmentor`.
        episode: the batch.
        keys: one an episode, for dropout of the features; None in evaluation.
    """
    config, canvas, size = model.config, episode.annotation.shape[-2:], episode.query_size
    if episode.support is None:
        features, images = _encode(model, episode.query, canvas, size, keys, refined=True)
        # Before the queries: gradients of the features are summed in this order, on which their last digit depends.
        shots = as_shots(images)
        return _with_query(model, features, images), shots
    if config.fusion != "late":
        shots = Observed(None, None, episode.support, episode.support_size)
        return model.observe(episode.query, canvas, size, keys), shots
    b, s = episode.support_size.shape[:2]
    image_keys = None if keys is None else jax.vmap(lambda key: jax.random.split(key, s + 1))(keys)
    if config.support_grid == "dilated":
        query_keys, shot_keys = (None, None) if keys is None else (image_keys[:, 0], _flat(image_keys[:, 1:]))
        of_queries = model.encode(episode.query, canvas, size, query_keys)
        shots, shot_sizes = _flat((episode.support, episode.support_size))
        support = model.encode_support(shots, canvas, shot_sizes, shot_keys)
    else:
        images, sizes = _flat(
            jax.tree.map(
                lambda query, shots: jnp.concatenate([query[:, None], shots], 1),
                (episode.query, size),
                (episode.support, episode.support_size),
            )
        )
        features = model.encode(images, canvas, sizes, None if keys is None else _flat(image_keys))
        features = features.reshape(b, s + 1, *features.shape[1:])
        of_queries = features[:, 0]
        support = model.refine_support(model.to_compare(_flat(features[:, 1:])), canvas, _flat(episode.support_size))
    support = support.reshape(b, s, *support.shape[1:])
    return (
        Observed(model.prepare(of_queries, size), None, None, size),
        Observed(None, support, None, episode.support_size),
    )


def _flat(tree: PyTree) -> PyTree:
    """Joins the first two axes of every leaf."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def query_observed(model, observed: Observed, annotation, keys, way: int) -> PyTree:
    """See `Segmentor.query_observed`, which binds the model."""
    if places_annotation(model.config) and annotation is not None:
        return observed.query._replace(distance=_distance(model, observed, annotation, way))
    if not query_sees_annotation(model.config):
        return observed.query
    if annotation is None:
        raise ValueError(
            "a model with model.fusion=stack and model.inference=direct segments the annotated image itself, so that "
            "the query can be no other image"
        )
    return model.prepare(model.encode_annotated(observed.pixels, annotation, observed.size, keys), observed.size)


def _distance(model, observed: Observed, annotation, way: int) -> Float[Array, "b k n m"]:
    if isinstance(annotation, PaddedClicks):
        return distance_of_clicks(annotation, observed.query.hidden.shape[1:3], model.geometry, way)[None]
    return distance_of_map(annotation, observed.size, model.geometry, way)


def guide_observed(model, observed: Observed, annotation, way: int | None, keys) -> Guidance | None:
    """See `Segmentor.guide_observed`, which binds the model."""
    if isinstance(annotation, PaddedClicks):
        return _guide_by_coordinates(model, observed, annotation, way or model.config.way)
    if observed.support is not None:
        return model.guide(observed.support, annotation, observed.size, way)
    if guides_early(model.config):
        return model.guide_early(observed.pixels, annotation, observed.size, keys)
    return None


def _guide_by_coordinates(model, observed: Observed, clicks: PaddedClicks, way: int) -> Guidance:
    config = model.config
    keep = "" if config.locality == "global" else "masks" if keeps_positions(config) else "points"
    shot = guide_clicks(
        observed.support[0],
        clicks,
        observed.size[0],
        model.support_geometry,
        way,
        pooling=config.pooling,
        keep=keep,
    )
    shot = jax.tree.map(lambda leaf: leaf[None], shot)
    return shot._replace(features=observed.support.astype(jnp.float32)) if keep else shot
