"""The tasks that a mode can pose from each source, and the canvas that each of them needs."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from data_pipelines.canvas import Canvas, choose_canvas, scaled_size
from data_pipelines.counted import counted
from data_pipelines.datasets.record import DatasetError, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.partners import Partners, group_by_class, group_by_object, images_in_group
from data_pipelines.tasks import Tasks, count_tasks

logger = logging.getLogger(__name__)

MODES = ("interactive", "semantic", "video")
TRAINING_MODES = (*MODES, "views")
"""Mode views, where support and query are two views of one image, is for training alone."""


class Pool(NamedTuple):
    """One source, ready to pose tasks.

    Attributes:
        split: where the records are.
        tasks: its task index.
        rows: the tasks that can be posed in the mode.
        canvas: of each of these rows, as a position in the list of canvases.
        partners: which tasks can be the support of which; None where an image is its own support.
    """

    split: Split
    tasks: Tasks
    rows: Int32[np.ndarray, " m"]
    canvas: Int32[np.ndarray, " m"]
    partners: Partners | None


def make_pools(
    sources: Sequence[tuple[Split, Tasks]],
    mode: str,
    canvases: Sequence[Canvas],
    max_side: int,
    *,
    allow_self: bool = False,
    window: int = 0,
) -> tuple[Pool, ...]:
    """Prepares sources for a mode.

    Modes interactive and views take for each image the smallest canvas that holds it, video mode for each clip. In
    semantic mode support and query differ in size, so all images share the smallest canvas that holds every one. Of an
    image that is larger than the window no more than the window is seen.

    Raises:
        ValueError: unknown mode.
        DatasetError: a source cannot pose tasks in the mode, or an image fits no canvas.
    """
    if mode not in TRAINING_MODES:
        raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(TRAINING_MODES)}")
    sizes = [_canvas_sizes(tasks, mode, max_side) for _, tasks in sources]
    sizes = [np.minimum(each, window) if window else each for each in sizes]
    if mode == "semantic":
        common = np.max([each.max(0) for each in sizes], axis=0)
        sizes = [np.broadcast_to(common, each.shape) for each in sizes]
    pools = []
    for (split, tasks), each in zip(sources, sizes, strict=True):
        partners = _partners(split, tasks, mode)
        rows = np.arange(count_tasks(tasks), dtype=np.int32)
        if partners is not None and not allow_self:
            rows = _with_support(split, tasks, partners, mode)
        canvas = _choose_canvases(split, tasks, mode, each, rows, tuple(canvases))
        pools.append(Pool(split, tasks, rows, canvas, partners))
    return tuple(pools)


def _partners(split: Split, tasks: Tasks, mode: str) -> Partners | None:
    if mode == "semantic":
        if not tasks.class_id.all():
            raise DatasetError(f"{split.name} has no classes, which semantic mode needs; use interactive mode")
        return group_by_class(tasks)
    if mode == "video":
        if (tasks.video < 0).any():
            raise DatasetError(f"{split.name} holds stills, and video mode needs clips; use another mode")
        return group_by_object(tasks)
    return None


def _with_support(split: Split, tasks: Tasks, partners: Partners, mode: str) -> Int32[np.ndarray, " m"]:
    posed = images_in_group(partners) > 1
    if not posed.all():
        lone = f"{counted(len(np.unique(partners.group[~posed])), 'object')} seen in a single frame"
        if mode == "semantic":
            names = [split.class_names[number - 1] for number in np.unique(tasks.class_id[~posed]).tolist()]
            lone = f"{counted(len(names), 'class', 'classes')} with a single image ({', '.join(names)})"
        logger.info("%s: without support, and left out: %s", split.name, lone)
    if not posed.any():
        raise DatasetError(f"{split.name}: no task has support in another image, which {mode} mode needs")
    return np.flatnonzero(posed).astype(np.int32)


def _canvas_sizes(tasks: Tasks, mode: str, max_side: int) -> Int32[np.ndarray, "n 2"]:
    stored, which = _distinct(np.stack([tasks.height, tasks.width], 1))
    sizes = np.array([scaled_size(h, w, max_side) for h, w in stored.tolist()], np.int32)[which]
    if mode == "video" and (tasks.video >= 0).all():
        largest = np.zeros((tasks.video.max() + 1, 2), np.int32)
        np.maximum.at(largest, tasks.video, sizes)
        sizes = largest[tasks.video]
    return sizes


def _choose_canvases(
    split: Split,
    tasks: Tasks,
    mode: str,
    sizes: Int32[np.ndarray, "n 2"],
    rows: Int32[np.ndarray, " m"],
    canvases: tuple[Canvas, ...],
) -> Int32[np.ndarray, " m"]:
    distinct, which = _distinct(sizes[rows])
    example, chosen = np.zeros(len(distinct), np.int32), []
    example[which[::-1]] = np.arange(len(which) - 1, -1, -1, dtype=np.int32)  # the last that is written is the first
    for (height, width), first in zip(distinct.tolist(), example.tolist(), strict=True):
        name = "semantic mode: a canvas for every image"
        if mode != "semantic":
            image = to_record(split.records[int(tasks.record[rows[first]])])
            name = f"{split.name}: image {image.image_id!r}"
        chosen.append(canvases.index(choose_canvas(height, width, canvases, name=name)))
    return np.array(chosen, np.int32)[which]


def _distinct(sizes: Int32[np.ndarray, "n 2"]) -> tuple[Int32[np.ndarray, "k 2"], Int32[np.ndarray, " n"]]:
    """The sizes that there are, rising, and which of them each is; as np.unique, a hundred times as fast."""
    keys = (sizes[:, 0].astype(np.int64) << 32) + sizes[:, 1]
    distinct = np.unique(keys)
    return np.stack([distinct >> 32, distinct], 1).astype(np.int32), np.searchsorted(distinct, keys).astype(np.int32)
