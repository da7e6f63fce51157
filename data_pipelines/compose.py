"""Puts an episode together: shows its images, annotates them, and lays everything on its canvas."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import Canvas, name_canvas, pad_to_canvas, scaled_size
from data_pipelines.datasets.record import DatasetError, Record, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.features.store import FeatureStore
from data_pipelines.tasks import Task, task_target
from data_pipelines.views import View, view_image, view_key, view_labels
from guided_jax.episode import UNKNOWN, Episode

Annotate = Callable[[UInt8[np.ndarray, "h w"]], UInt8[np.ndarray, "a h w"]]
"""Gives the A annotations of a target."""


class CachedFeatures(NamedTuple):
    """Where an episode takes trunk features instead of images.

    Attributes:
        store: holds them under `view_key`.
        shapes: for each canvas the shape [height, width, channels] of every map on that canvas.
        sides: the height (or width) of every map of an image from its own; None where that is not known.
    """

    store: FeatureStore
    shapes: Mapping[Canvas, tuple[tuple[int, int, int], ...]]
    sides: Callable[[int], Sequence[int]] | None = None


class Shown(NamedTuple):
    """A task in a view of its image."""

    task: Task
    view: View


def compose_episode(
    split: Split,
    query: Shown,
    support: Sequence[Shown] | None,
    *,
    canvas: Canvas,
    features: CachedFeatures | None = None,
    annotate: Annotate,
    shots: int = 1,
    others: int = 0,
    index: int = 0,
) -> Episode:
    """Composes an episode without a batch axis.

    A crop that shows none of its task gives way to the whole image.

    Args:
        split: where the records are.
        query: the task, as shown.
        support: tasks of the same meaning, at most `shots`, whose annotated images are the support; None where the
            query image itself, annotated, is the support.
        canvas: height and width in pixels; holds every image.
        features: where to take trunk features; None takes the images themselves.
        annotate: called once per support image, on its target at the size shown.
        shots: S; shots without a task are blank canvases without annotation.
        others: value of all other segments in the support: 0, or 255 for unknown.
        index: the episode's number.
    """
    read = functools.cache(lambda row: to_record(split.records[row]))
    view, target = _labels(read(query.task.record), query)
    fields = {
        "query": _picture(read(query.task.record), view, canvas, features),
        "query_size": np.array(target.shape, np.int32),
        "target": pad_to_canvas(target, canvas, UNKNOWN),
        "task_class": np.array(query.task.class_id, np.int32),
        "index": np.array(index, np.uint32),
        "real": np.array(True),
    }
    if support is None:
        annotations, pictures, sizes = [annotate(target)], None, None
    else:
        records = [read(each.task.record) for each in support]
        views, targets = zip(*(_labels(*each, others) for each in zip(records, support, strict=True)), strict=True)
        annotations = [annotate(each) for each in targets]
        pictures = [_picture(*each, canvas, features) for each in zip(records, views, strict=True)]
        blank = shots - len(support)
        pictures = _stack_shots(pictures + [_blank(canvas, features)] * blank)
        sizes = np.array([each.shape for each in targets] + [canvas] * blank, np.int32)
    annotation = np.full((annotations[0].shape[0], shots, *canvas), UNKNOWN, np.uint8)
    for shot, each in enumerate(annotations):
        annotation[:, shot, : each.shape[1], : each.shape[2]] = each
    return Episode(support=pictures, support_size=sizes, annotation=annotation, **fields)


def _labels(record: Record, shown: Shown, others: int = 0) -> tuple[View, UInt8[np.ndarray, "h w"]]:
    view, labels = shown.view, task_target(record, shown.task, others=others)
    target = view_labels(labels, record, view)
    if view.crop and not (target == 1).any():
        view = view._replace(crop=0)
        target = view_labels(labels, record, view)
    return view, target


def _picture(
    record: Record, view: View, canvas: Canvas, features: CachedFeatures | None
) -> np.ndarray | tuple[np.ndarray, ...]:
    if features is None:
        return pad_to_canvas(view_image(record, view), canvas, 0)
    maps, shapes = features.store.read(view_key(record, view)), features.shapes[canvas]
    fits = len(maps) == len(shapes) and all(
        m.shape[0] <= s[0] and m.shape[1] <= s[1] and m.shape[2] == s[2] for m, s in zip(maps, shapes, strict=False)
    )
    size = scaled_size(record.height, record.width, view.max_side)
    if fits and features.sides is not None:
        found, right = [m.shape[:2] for m in maps], list(zip(*map(features.sides, size), strict=True))
        if found != right:
            raise DatasetError(
                f"{features.store.path(view_key(record, view))} holds maps of {found}, and {right} are those of "
                f"{record.image_id!r} ({size[0]}x{size[1]}); delete it, and it is computed again"
            )
    if not fits:
        raise DatasetError(
            f"features of image {record.image_id!r} ({size[0]}x{size[1]}) have shapes {[m.shape for m in maps]}, which "
            f"do not fit the maps {list(shapes)} of the canvas {name_canvas(canvas)}: they are of another trunk"
        )
    return tuple(pad_to_canvas(each, shape[:2], 0) for each, shape in zip(maps, shapes, strict=True))


def _blank(canvas: Canvas, features: CachedFeatures | None) -> np.ndarray | tuple[np.ndarray, ...]:
    if features is None:
        return np.zeros((*canvas, 3), np.uint8)
    return tuple(np.zeros(shape, np.float16) for shape in features.shapes[canvas])


def _stack_shots(pictures: list) -> np.ndarray | tuple[np.ndarray, ...]:
    if isinstance(pictures[0], tuple):
        return tuple(np.stack(maps) for maps in zip(*pictures, strict=True))
    return np.stack(pictures)
