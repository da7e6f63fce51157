"""Puts an episode together: decodes, scales, mirrors, annotates, and lays everything on its canvas."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import Bucket, name_bucket, place, scale_image, scale_labels, scaled_size
from data_pipelines.datasets.record import DatasetError, Record, decode_image, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.feature_store import FeatureStore, feature_key
from data_pipelines.tasks import Task, task_target
from guided_jax.episode import UNKNOWN, Episode

Annotate = Callable[[UInt8[np.ndarray, "h w"]], UInt8[np.ndarray, "a h w"]]
"""Draws the A annotations of a target."""


class CachedFeatures(NamedTuple):
    """Where an episode takes trunk features instead of images.

    Attributes:
        store: holds them under `feature_key`.
        shapes: for each bucket the shape [height, width, channels] of every map on that canvas.
    """

    store: FeatureStore
    shapes: Mapping[Bucket, tuple[tuple[int, int, int], ...]]


class View(NamedTuple):
    """How a stored image is shown.

    Attributes:
        bucket: height and width of the canvas.
        max_side: the longer side is scaled down to it; 0 keeps the size.
        mirrored: whether left and right are exchanged.
        features: where to take trunk features; None shows the image itself.
    """

    bucket: Bucket
    max_side: int = 0
    mirrored: bool = False
    features: CachedFeatures | None = None


def compose_episode(
    split: Split,
    query: Task,
    support: Sequence[Task] | None,
    *,
    view: View,
    annotate: Annotate,
    shots: int = 1,
    others: int = 0,
    index: int = 0,
) -> Episode:
    """Composes an episode without a batch axis.

    Args:
        split: where the records are.
        query: the task.
        support: tasks of the same meaning, at most `shots`, whose annotated images are the support; None where the
            annotated query image itself is it.
        view: how images are shown.
        annotate: called once per support image, on its target at the image's own (scaled) size.
        shots: S; shots without a task are blank canvases without annotation.
        others: value of all other segments in the support: 0, or 255 for unknown.
        index: the episode's number.
    """
    read = functools.cache(lambda row: to_record(split.records[row]))
    target = _labels(read(query.record), query, view)
    fields = {
        "query": _picture(read(query.record), view),
        "query_size": np.array(target.shape, np.int32),
        "target": place(target, view.bucket, UNKNOWN),
        "task_class": np.array(query.class_id, np.int32),
        "index": np.array(index, np.uint32),
        "real": np.array(True),
    }
    if support is None:
        annotations, pictures, sizes = [annotate(target)], None, None
    else:
        targets = [_labels(read(task.record), task, view, others) for task in support]
        annotations = [annotate(each) for each in targets]
        pictures = [_picture(read(task.record), view) for task in support]
        blank = shots - len(support)
        pictures = _stack_shots(pictures + [_blank(view)] * blank)
        sizes = np.array([each.shape for each in targets] + [view.bucket] * blank, np.int32)
    annotation = np.full((annotations[0].shape[0], shots, *view.bucket), UNKNOWN, np.uint8)
    for shot, each in enumerate(annotations):
        annotation[:, shot, : each.shape[1], : each.shape[2]] = each
    return Episode(support=pictures, support_size=sizes, annotation=annotation, **fields)


def _labels(record: Record, task: Task, view: View, others: int = 0) -> UInt8[np.ndarray, "h w"]:
    target = scale_labels(task_target(record, task, others=others), view.max_side)
    return np.ascontiguousarray(target[:, ::-1]) if view.mirrored else target


def _picture(record: Record, view: View) -> np.ndarray | tuple[np.ndarray, ...]:
    if view.features is None:
        image = scale_image(decode_image(record.image), view.max_side)
        return place(image[:, ::-1] if view.mirrored else image, view.bucket, 0)
    maps = view.features.store.read(feature_key(record.image, view.max_side, view.mirrored))
    shapes = view.features.shapes[view.bucket]
    fits = len(maps) == len(shapes) and all(
        m.shape[0] <= s[0] and m.shape[1] <= s[1] and m.shape[2] == s[2] for m, s in zip(maps, shapes, strict=False)
    )
    if not fits:
        size = scaled_size(record.height, record.width, view.max_side)
        raise DatasetError(
            f"features of image {record.image_id!r} ({size[0]}x{size[1]}) have shapes {[m.shape for m in maps]}, which "
            f"do not fit the maps {list(shapes)} of the canvas {name_bucket(view.bucket)}: they are of another trunk"
        )
    return tuple(place(each, shape[:2], 0) for each, shape in zip(maps, shapes, strict=True))


def _blank(view: View) -> np.ndarray | tuple[np.ndarray, ...]:
    if view.features is None:
        return np.zeros((*view.bucket, 3), np.uint8)
    return tuple(np.zeros(shape, np.float16) for shape in view.features.shapes[view.bucket])


def _stack_shots(pictures: list) -> np.ndarray | tuple[np.ndarray, ...]:
    if isinstance(pictures[0], tuple):
        return tuple(np.stack(maps) for maps in zip(*pictures, strict=True))
    return np.stack(pictures)
