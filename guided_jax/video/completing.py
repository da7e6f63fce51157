"""Following a clip with a spatial decoder: it completes the annotated frames, and the trunk's own features follow them.

A few points say little of an object to the frames that come. The decoder makes a mask of them in the annotated frame
itself, where it knows their places; guidance then follows from whole masks. What follows is the trunk alone: features
that have learnt from single images tell objects apart worse along a clip than those of the trunk.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, UInt8

from guided_jax.episode import UNKNOWN
from guided_jax.inference.distance import TEMPERATURE
from guided_jax.inference.labels import predict_labels
from guided_jax.model_config import ModelConfig, places_annotation
from guided_jax.segmentor import Segmentor
from guided_jax.video.following import FOLLOWS


def complete_annotation(
    module: Segmentor,
    images: UInt8[Array, "s h w 3"],
    annotation: UInt8[Array, "a s h w"],
    sizes: Int32[Array, "s 2"],
    *,
    canvas: tuple[int, int],
    way: int,
) -> UInt8[Array, "a s h w"]:
    """Annotations of frames, each filled with what the model segments the frame as, guided by all of its frames.

    A frame is filled with the labels that are annotated in it alone, and with the negative: a late object's frame says
    nothing of the other objects. Without negatives everything would follow as the object.

    Args:
        module: a model that knows the places of the annotation.
        images: the annotated frames on their canvas.
        annotation: their annotations; what is annotated stays.
        sizes: heights and widths of the frames.
        canvas: height and width of the canvas.
        way: number of labels.
    """
    observed = module.observe(images, canvas, sizes)
    shots = jax.tree.map(lambda leaf: leaf[None], observed)

    def complete(labels):
        task = module.merge(module.guide_observed(shots, labels[None], way))
        task = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(sizes), *leaf.shape[1:])), task)
        found = predict_labels(module.segment(module.query_observed(observed, labels, way=way), task, canvas, sizes))
        annotated = jnp.stack([(labels == label).any((1, 2)) for label in range(way)], 1)
        annotated = annotated.at[:, 0].set(annotated.any(1))
        fills = jnp.take_along_axis(annotated, found.reshape(len(found), -1).astype(jnp.int32), 1).reshape(found.shape)
        return jnp.where((labels == UNKNOWN) & fills, found, labels)

    return jax.lax.map(complete, annotation)


def follower_of(model: Segmentor, params: dict) -> tuple[Segmentor, dict] | None:
    """The model, with its parameters, whose guidance follows a clip for a model: itself, its trunk alone, or None."""
    if places_annotation(model.config):
        return trunk_alone(model, params)
    able = all(getattr(model.config, field) == value for field, value in FOLLOWS.items())
    return (model, params) if able else None


def trunk_alone(model: Segmentor, params: dict) -> tuple[Segmentor, dict]:
    """The model without training that has a model's trunk: similarities of its own features, at the same grid."""
    kept = {field: getattr(model.config, field) for field in ("backbone", "stride", "way", "preprocessing", "dtype")}
    config = ModelConfig(grid="taps", feature_width=0, inference="distance", locality="both", **kept)
    head = {"log_temperature": jnp.full((2,), jnp.log(TEMPERATURE), jnp.float32)}
    return dataclasses.replace(model, config=config), {"trunk": params["trunk"], "head": head}
