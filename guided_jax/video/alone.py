"""Frames of a video on their own: what a model computes of the annotated ones, of all others, and of their labels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, PyTree, UInt8

from guided_jax.guides.guidance import Task
from guided_jax.inference.labels import predict_labels
from guided_jax.inference.union import binary_tasks, union_logits
from guided_jax.observed import Observed
from guided_jax.segmentor import Segmentor


def guide_frames(
    module: Segmentor,
    images: UInt8[Array, "s h w 3"],
    annotation: UInt8[Array, "a s h w"],
    sizes: Int32[Array, "s 2"],
    *,
    canvas: tuple[int, int],
    way: int,
    union: bool,
) -> Task:
    """The tasks of each annotation, with leaves [a, o, ...]."""
    tasks = guide_observed_frames(module, module.observe(images, canvas, sizes), annotation, way=way, union=union)
    return jax.tree.map(lambda leaf: leaf.reshape(len(annotation), -1, *leaf.shape[1:]), tasks)


def guide_observed_frames(
    module: Segmentor, observed: Observed, annotation: UInt8[Array, "a s h w"], *, way: int, union: bool
) -> Task:
    """The tasks of all annotations of frames [s], with leaves [t, ...]; those of one annotation follow each other."""
    annotation = jnp.stack(binary_tasks(annotation, way) if union else [annotation], 1)
    shots = jax.tree.map(lambda leaf: leaf[None], observed)

    def guide(labels):
        task = module.merge(module.guide_observed(shots, labels[None], 2 if union else way))
        return jax.tree.map(lambda leaf: leaf[0], task)

    return jax.lax.map(guide, annotation.reshape(-1, *annotation.shape[2:]))


def encode_frames(
    module: Segmentor, images: UInt8[Array, "t h w 3"], sizes: Int32[Array, "t 2"], *, canvas: tuple[int, int]
) -> PyTree:
    """What the head sees of frames, the guidance aside."""
    return module.query_observed(module.observe(images, canvas, sizes))


def label_frames(
    module: Segmentor,
    query: PyTree,
    sizes: Int32[Array, "t 2"],
    tasks: Task,
    *,
    canvas: tuple[int, int],
    number: tuple[int, int],
) -> UInt8[Array, "a t h w"]:
    """Label maps of frames under each annotation, one annotation and one of its tasks at a time."""

    def segment(task):
        task = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(sizes), *leaf.shape)), task)
        return module.segment(query, task, canvas, sizes)

    def label(of_annotation):
        if number[1] == 1:
            return predict_labels(segment(jax.tree.map(lambda leaf: leaf[0], of_annotation)))
        return predict_labels(union_logits(_map(segment, of_annotation, number[1])))

    return _map(label, tasks, number[0])


def _map(function, tree: PyTree, length: int) -> PyTree:
    """`jax.lax.map` over so many entries of a tree, which may have no leaves: the task of an unguided model."""
    return jax.lax.scan(lambda _, each: (None, function(each)), None, tree, length)[1]
