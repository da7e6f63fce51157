"""The task index: which image holds which class, instance or object."""

import hashlib
import logging
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from data_pipelines.datasets.mixture import UNITS
from data_pipelines.datasets.record import DatasetError, Record, Segment, decode_layer, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.disk import replacing
from guided_jax.episode import UNKNOWN

logger = logging.getLogger(__name__)

INDEX_VERSION = 2
"""Raised when the meaning of the stored columns changes, so that older files are built anew."""

MAPPED = 2**24
"""Bytes of an index above which it is mapped and not read."""

CHUNK = 2**16
"""Rows that are collected as Python's numbers, which take ten times the memory of an array's."""


class Task(NamedTuple):
    """One task: a class region or an instance of one image. See `Tasks` for the fields."""

    record: int
    class_id: int
    instance: int
    height: int
    width: int
    area: int
    video: int
    frame: int


class Tasks(NamedTuple):
    """All tasks of a split, one row each, ordered by record, then class, then instance.

    Attributes:
        record: row of the image among the split's records.
        class_id: 1-based class, 0 where the data set has none.
        instance: 1-based instance or object, 0 where the task is the class's whole region.
        height: of the stored image, in pixels.
        width: of the stored image, in pixels.
        area: of the task, in pixels. Where a class region is a union of overlapping instances, the sum of theirs.
        video: number of the clip, by order of first appearance; -1 for stills.
        frame: number of the frame in its clip, from 0.
    """

    record: Int32[np.ndarray, " n"]
    class_id: Int32[np.ndarray, " n"]
    instance: Int32[np.ndarray, " n"]
    height: Int32[np.ndarray, " n"]
    width: Int32[np.ndarray, " n"]
    area: Int32[np.ndarray, " n"]
    video: Int32[np.ndarray, " n"]
    frame: Int32[np.ndarray, " n"]


def count_tasks(tasks: Tasks) -> int:
    """The number of rows (a NamedTuple's own `len` is its number of columns)."""
    return len(tasks.record)


def get_task(tasks: Tasks, row: int) -> Task:
    """One row of the index."""
    return Task(*(int(column[row]) for column in tasks))


def select_tasks(tasks: Tasks, rows: Bool[np.ndarray, " n"] | Int32[np.ndarray, " m"]) -> Tasks:
    """The rows of a mask, or of given numbers, in that order."""
    return Tasks(*(column[rows] for column in tasks))


def list_tasks(split: Split, unit: str, *, min_area: int = 0) -> Tasks:
    """Lists the tasks of a split from its records' metadata; no mask is decoded.

    The list is kept beside the built data set, so that it is made once.

    Args:
        split: an opened split.
        unit: 'class': all of a class in an image (the segment of the whole class or, where the image has only
            instances of it, their union); 'instance': one instance or object.
        min_area: leaves out tasks smaller than this many pixels of the stored image.

    Raises:
        ValueError: unknown unit.
        DatasetError: no task is left.
    """
    if unit not in UNITS:
        raise ValueError(f"unit is {unit!r}; it must be one of {', '.join(UNITS)}")
    cache = _cache_path(split, unit)
    tasks = _read_cache(cache)
    if tasks is None:
        tasks = _scan(split, unit)
        write_index(split, unit, tasks)
    if not count_tasks(tasks):
        if unit == "instance" and count_tasks(_scan(split, "class")):
            raise DatasetError(f"{split.name} has no instances (unit 'class' takes its class regions)")
        raise DatasetError(f"{split.name}: no mask of its {len(split.records)} images shows anything but 0 and void")
    kept = select_tasks(tasks, tasks.area >= min_area) if min_area else tasks
    if not count_tasks(kept):
        raise DatasetError(f"{split.name}: min_area={min_area} leaves none of {count_tasks(tasks)} tasks; lower it")
    return kept


def segments_of(record: Record, task: Task) -> list[Segment]:
    """The segments that make up a task; several where it is the union of a class's instances."""
    return _segments(record.segments, task.class_id, task.instance)


def task_target(record: Record, task: Task, *, others: int = 0) -> UInt8[np.ndarray, "h w"]:
    """Rasterises a task: 1 its pixels, 0 everything else, 255 what is void in any layer that it uses.

    Args:
        record: the task's own record.
        task: one of the record's.
        others: value of the pixels of all other segments: 0, or 255 where they are unknown (the support of a video
            says nothing about the other objects).
    """
    chosen = segments_of(record, task)
    rest = [segment for segment in record.segments if segment not in chosen] if others else []
    layers = {i: decode_layer(record.layers[i]) for i in {segment.layer for segment in (*chosen, *rest)}}
    target = np.zeros((record.height, record.width), np.uint8)
    for segment in rest:
        target[layers[segment.layer] == segment.value] = others
    for segment in chosen:
        target[layers[segment.layer] == segment.value] = 1
    for index in {segment.layer for segment in chosen}:
        target[layers[index] == UNKNOWN] = UNKNOWN
    return target


def other_objects(record: Record, task: Task) -> UInt8[np.ndarray, "h w"]:
    """Numbers the segments of an image that are not the task's, from 1; 0 elsewhere. Of more than 255 the rest is 0."""
    chosen = segments_of(record, task)
    rest = [segment for segment in record.segments if segment not in chosen][:255]
    layers = {i: decode_layer(record.layers[i]) for i in {segment.layer for segment in rest}}
    objects = np.zeros((record.height, record.width), np.uint8)
    for number, segment in enumerate(rest, 1):
        objects[layers[segment.layer] == segment.value] = number
    return objects


def _segments(segments: tuple[Segment, ...], class_id: int, instance: int) -> list[Segment]:
    if instance:
        return [s for s in segments if s.instance == instance and s.class_id == class_id]
    of_class = [s for s in segments if s.class_id == class_id]
    return [s for s in of_class if s.instance == 0] or of_class


def _scan(split: Split, unit: str) -> Tasks:
    tables, rows, videos = [], [], {}
    for number in range(len(split.records)):
        record = to_record(split.records[number])
        video = videos.setdefault(record.video, len(videos)) if record.video else -1
        if unit == "instance":
            keys = {(s.class_id, s.instance) for s in record.segments if s.instance}
        else:
            keys = {(s.class_id, 0) for s in record.segments}
        for key in sorted(keys):
            area = sum(s.area for s in _segments(record.segments, *key))
            rows.append((number, *key, record.height, record.width, area, video, record.frame))
        if len(rows) >= CHUNK:
            tables, rows = [*tables, _table(rows)], []
    return Tasks(*np.ascontiguousarray(np.concatenate([*tables, _table(rows)]).T))


def _table(rows: list[tuple[int, ...]]) -> Int32[np.ndarray, "n 8"]:
    return np.array(rows, np.int32).reshape(len(rows), len(Tasks._fields))


def _cache_path(split: Split, unit: str) -> Path:
    # A slice such as train[:50%] is no file name, and two of them may read alike once cleaned: hence the hash.
    words = re.sub(r"[^A-Za-z0-9]+", "_", split.name).strip("_")
    told = f"{split.name}\n{split.version}\n{len(split.records)}\n{INDEX_VERSION}"
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return Path(split.directory) / f"tasks-{words}-{unit}-{digest}.npy"


def _read_cache(path: Path) -> Tasks | None:
    """The columns, mapped: what of them is read comes from the disk, and processes of a machine share it."""
    try:
        table = np.load(path, mmap_mode="r" if path.stat().st_size > MAPPED else None).view(np.ndarray)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        table = None
    if table is None or table.dtype != np.int32 or table.shape[:1] != (len(Tasks._fields),) or table.ndim != 2:
        logger.warning("%s cannot be read; the task index is made anew", path)
        return None
    return Tasks(*table)


def write_index(split: Split, unit: str, tasks: Tasks) -> None:
    """Keeps the tasks of a split beside its records, where `list_tasks` finds them."""
    try:
        with replacing(_cache_path(split, unit)) as file:
            np.save(file, np.stack(tasks))
    except OSError as error:  # a data set on a read-only disk still works, it is only listed again each time
        logger.warning("the task index is not kept: %s", error)
