"""Puts an episode together: shows its images, annotates them, and lays everything on its canvas."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import Canvas, name_canvas, pad_to_canvas, scaled_size
from data_pipelines.datasets.record import DatasetError, Record, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.features.store import FeatureStore, Maps
from data_pipelines.tasks import Task, other_objects, task_target
from data_pipelines.views import View, Window, cut, view_image, view_key, view_labels
from guided_jax.episode import UNKNOWN, Episode

Annotate = Callable[..., UInt8[np.ndarray, "a h w"]]
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
    objects: bool = False,
    place: Callable[[UInt8[np.ndarray, "h w"]], Window] | None = None,
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
        annotate: called once per support image, on its target at the size shown; with `objects` on where the image's
            other objects are, too.
        shots: S; shots without a task are blank canvases without annotation.
        others: value of all other segments in the support: 0, or 255 for unknown.
        index: the episode's number.
        objects: whether `annotate` needs the other objects of the image, numbered from 1; only where the query is the
            support.
        place: gives the window that is seen of an image, by its target; None: the images are seen whole.
    """
    read = functools.cache(lambda row: to_record(split.records[row]))
    view, target = _labels(read(query.task.record), query)
    window = place and place(target)
    target = cut(target, window) if window else target
    fields = {
        "query": _picture(read(query.task.record), view, canvas, features, window),
        "query_size": np.array(target.shape, np.int32),
        "target": pad_to_canvas(target, canvas, UNKNOWN),
        "task_class": np.array(query.task.class_id, np.int32),
        "index": np.array(index, np.uint32),
        "real": np.array(True),
    }
    if support is None:
        beside = [_other_objects(read(query.task.record), query.task, view, window)] if objects else []
        annotations, pictures, sizes = [annotate(target, *beside)], None, None
    else:
        records = [read(each.task.record) for each in support]
        views, targets = zip(*(_labels(*each, others) for each in zip(records, support, strict=True)), strict=True)
        windows = [place and place(each) for each in targets]
        targets = [cut(*each) if each[1] else each[0] for each in zip(targets, windows, strict=True)]
        annotations = [annotate(each) for each in targets]
        shown = zip(records, views, windows, strict=True)
        pictures = [_picture(record, view, canvas, features, window) for record, view, window in shown]
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


def _other_objects(record: Record, task: Task, view: View, window: Window | None) -> UInt8[np.ndarray, "h w"]:
    labels = view_labels(other_objects(record, task), record, view)
    return cut(labels, window) if window else labels


def _picture(
    record: Record, view: View, canvas: Canvas, features: CachedFeatures | None, window: Window | None
) -> np.ndarray | tuple[np.ndarray, ...]:
    if features is None:
        image = view_image(record, view)
        return pad_to_canvas(cut(image, window) if window else image, canvas, 0)
    whole, shapes = features.store.read(view_key(record, view)), features.shapes[canvas]
    maps = _cut_maps(whole, window, features.sides) if window else whole
    fits = len(maps) == len(shapes) and all(
        m.shape[0] <= s[0] and m.shape[1] <= s[1] and m.shape[2] == s[2] for m, s in zip(maps, shapes, strict=False)
    )
    size = scaled_size(record.height, record.width, view.max_side)
    if fits and features.sides is not None:
        found, right = [m.shape[:2] for m in whole], list(zip(*map(features.sides, size), strict=True))
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


def _cut_maps(maps: Maps, window: Window, sides: Callable[[int], Sequence[int]]) -> Maps:
    """What a window shows of an image's maps; it begins where the cells of all of them do."""
    tops, lefts, extents = (sides(pixels) for pixels in window)
    return tuple(
        each[top : top + extent, left : left + extent]
        for each, top, left, extent in zip(maps, tops, lefts, extents, strict=True)
    )


def _blank(canvas: Canvas, features: CachedFeatures | None) -> np.ndarray | tuple[np.ndarray, ...]:
    if features is None:
        return np.zeros((*canvas, 3), np.uint8)
    return tuple(np.zeros(shape, np.float16) for shape in features.shapes[canvas])


def _stack_shots(pictures: list) -> np.ndarray | tuple[np.ndarray, ...]:
    if isinstance(pictures[0], tuple):
        return tuple(np.stack(maps) for maps in zip(*pictures, strict=True))
    return np.stack(pictures)
