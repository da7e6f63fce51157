"""Which tasks can be each other's support: other images of the class, other frames of the object."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from data_pipelines.tasks import Tasks


class Partners(NamedTuple):
    """Tasks sorted into groups of one meaning, and within a group into blocks of one image.

    Attributes:
        order: rows of the tasks, sorted by group, then by image (in a clip: by frame).
        block_start: where each block starts in `order`, and the end.
        group_start: where each group starts among the blocks, and the end.
        block: block of each task.
        group: group of each task.
    """

    order: Int32[np.ndarray, " n"]
    block_start: Int32[np.ndarray, " blocks_and_one"]
    group_start: Int32[np.ndarray, " groups_and_one"]
    block: Int32[np.ndarray, " n"]
    group: Int32[np.ndarray, " n"]


def group_by_class(tasks: Tasks) -> Partners:
    """Semantic mode: one group a class."""
    return _sort(tasks, np.stack([tasks.class_id]))


def group_by_object(tasks: Tasks) -> Partners:
    """Video mode: one group an object of a clip."""
    return _sort(tasks, np.stack([tasks.video, tasks.class_id, tasks.instance]))


def images_in_group(partners: Partners) -> Int32[np.ndarray, " n"]:
    """The number of images of each task's group, its own included."""
    return np.diff(partners.group_start)[partners.group]


def draw_support(
    rng: np.random.Generator, partners: Partners, row: int, shots: int, *, allow_self: bool = False
) -> list[int]:
    """Draws support for a task: rows of its group, uniformly over the other images, then over an image's tasks.

    Args:
        rng: advanced by the call.
        partners: the groups.
        row: the query's task; its group has another image (or `allow_self`).
        shots: how many; without replacement where there are as many images, with replacement otherwise.
        allow_self: lets the query's own image be drawn too (as the reference does).
    """
    first, last = partners.group_start[partners.group[row]], partners.group_start[partners.group[row] + 1]
    images = last - first - (not allow_self)
    blocks = first + rng.choice(images, shots, replace=shots > images)
    if not allow_self:
        blocks += blocks >= partners.block[row]
    starts, ends = partners.block_start[blocks], partners.block_start[blocks + 1]
    return partners.order[rng.integers(starts, ends)].tolist()


def first_support(partners: Partners, row: int, shots: int) -> list[int]:
    """The tasks of the first `shots` images of a task's group: the first frames that show the object."""
    first, last = partners.group_start[partners.group[row]], partners.group_start[partners.group[row] + 1]
    return partners.order[partners.block_start[first : min(first + shots, last)]].tolist()


def in_first(partners: Partners, shots: int) -> Bool[np.ndarray, " n"]:
    """Whether each task lies in one of the first `shots` images of its group."""
    return partners.block - partners.group_start[partners.group] < shots


def _sort(tasks: Tasks, keys: Int32[np.ndarray, "k n"]) -> Partners:
    order = np.lexsort((tasks.record, tasks.frame, *keys[::-1]))
    keys, record = keys[:, order], tasks.record[order]
    new_group = np.ones(len(order), bool)
    new_group[1:] = (keys[:, 1:] != keys[:, :-1]).any(0)
    new_block = new_group.copy()
    new_block[1:] |= record[1:] != record[:-1]
    block, group = np.empty((2, len(order)), np.int32)
    block[order] = np.cumsum(new_block) - 1
    group[order] = np.cumsum(new_group) - 1
    block_start = np.append(np.flatnonzero(new_block), len(order))
    group_start = np.append(np.flatnonzero(new_group[new_block]), len(block_start) - 1)
    return Partners(order.astype(np.int32), block_start.astype(np.int32), group_start.astype(np.int32), block, group)
