"""Clicks on every object of a source, by the rule of a simulated user, and saves the last masks."""

import itertools
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from data_pipelines.canvas import choose_canvas, parse_canvases, scale_image, scale_labels, scaled_size
from data_pipelines.datasets.record import decode_image, to_record
from data_pipelines.disk import replacing
from data_pipelines.safe_paths import safe_path
from data_pipelines.streams import Stream, generator
from data_pipelines.tasks import Task, Tasks, count_tasks, get_task, task_target
from experiments.runs.data import OpenSource
from experiments.runs.load import Trained
from experiments.settings.config import Config
from experiments.settings.errors import user_mistakes
from experiments.settings.hosts import by_hosts, together
from guided_jax.episode import Click
from guided_jax.scoring.clicks import Clicked, simulate_clicks
from guided_jax.session import Session


class ClickOptions(NamedTuple):
    """How objects are clicked on.

    Attributes:
        workdir: of the run, or of the result; None: neither.
        targets: IoU targets, in per cent.
        clicks: an object at most.
        limit: number of objects; 0: all.
        save: folder for the last masks; None: they are not saved.
        guided_filter: whether masks follow the edges of the image.
    """

    workdir: Path | None
    targets: tuple[int, ...]
    clicks: int
    limit: int
    save: Path | None
    guided_filter: bool = False


class Object(NamedTuple):
    """An object that was clicked on.

    Attributes:
        image: its id in the data set.
        name: see `name_object`.
        clicked: clicks and IoUs.
        update_ms: milliseconds from each click to its mask on the host.
        encode_ms: milliseconds of encoding the image, at its first object; 0 at the others.
    """

    image: str
    name: str
    clicked: Clicked
    update_ms: list[float]
    encode_ms: float


def choose_tasks(tasks: Tasks, limit: int, seed: int) -> list[Task]:
    """All tasks, or as many as `limit` (0: all), drawn by the seed; sorted by image."""
    rows = np.arange(count_tasks(tasks))
    if 0 < limit < len(rows):
        rows = np.sort(generator(seed, Stream.CLICKS).permutation(rows)[:limit])
    return sorted((get_task(tasks, row) for row in rows.tolist()), key=lambda task: task.record)


def click_objects(trained: Trained, config: Config, opened: OpenSource, asked: ClickOptions) -> list[Object]:
    """Clicks on every object, and saves the last masks; the objects of an image share its encoding, and its process.

    Raises:
        UserError: no canvas holds an image.
    """
    canvases, max_side = parse_canvases(config.data.buckets), config.data.max_side
    tasks = choose_tasks(opened.tasks, asked.limit, config.seed)
    with together(), user_mistakes():
        for task in tasks:  # before any of them is clicked on
            name = f"{opened.split.name}: image {to_record(opened.split.records[task.record]).image_id!r}"
            choose_canvas(*scaled_size(task.height, task.width, max_side), canvases, name=name)
    session = Session(trained, canvases=canvases, max_side=0, guided_filter=asked.guided_filter)
    warm, bar = set(), tqdm(desc="objects", total=len(tasks), disable=None, leave=False)

    @user_mistakes()
    def click_image(row: int, tasks: list[Task]) -> list[Object]:
        record, encode_ms, objects = to_record(opened.split.records[row]), 0.0, []
        for task in tasks:
            bar.update()
            target = scale_labels(task_target(record, task), max_side)
            if not (target == 1).any():  # lost by scaling down
                continue
            canvas = choose_canvas(*target.shape, canvases)
            if canvas not in warm:
                _warm(session.fresh(), canvas, asked.clicks)
                warm.add(canvas)
            if row not in session.names:
                image, began = scale_image(decode_image(record.image), max_side), time.perf_counter()
                session.add(row, image)
                encode_ms = 1000 * (time.perf_counter() - began)
            clicked, times = _click(session, row, target, asked.clicks)
            each = Object(record.image_id, name_object(opened, task), clicked, times, 0.0 if objects else encode_ms)
            objects.append(each)
            if asked.save:
                save_mask(asked.save, each, session.mask(row))
        if objects:
            session.remove(row)
        return objects

    images = [(row, list(of_image)) for row, of_image in itertools.groupby(tasks, key=lambda task: task.record)]
    with bar:
        return list(itertools.chain.from_iterable(by_hosts(lambda image: click_image(*image), images)))


def name_object(opened: OpenSource, task: Task) -> str:
    """`CLASS-INSTANCE`, or the one of them that the task has; no other object of the image has this name."""
    class_name = opened.split.class_names[task.class_id - 1] if task.class_id else ""
    return "-".join(filter(None, [class_name, str(task.instance or "")]))


def _click(session: Session, name: int, target: UInt8[np.ndarray, "h w"], limit: int) -> tuple[Clicked, list[float]]:
    session.clear(name)
    times = []

    def segment(clicks: list[Click]) -> UInt8[np.ndarray, "h w"]:
        began = time.perf_counter()
        session.click(name, *clicks[-1])
        mask = session.mask(name)
        times.append(1000 * (time.perf_counter() - began))
        return mask

    return simulate_clicks(segment, target, limit=limit), times


def _warm(session: Session, canvas: tuple[int, int], clicks: int) -> None:
    """Compiles what a canvas needs, so that no click is timed with it."""
    session.add("blank", np.zeros((*canvas, 3), np.uint8))
    for i in range(clicks):
        session.click("blank", i // canvas[1], i % canvas[1], 1)
    session.mask("blank")


def mask_path(folder: Path, image: str, name: str) -> Path:
    """Where the last mask of an object is saved, as `folder/IMAGE/OBJECT.png`."""
    return safe_path(folder, f"{image}/{name or 'object'}", ".png")


def save_mask(folder: Path, each: Object, mask: UInt8[np.ndarray, "h w"]) -> None:
    """Writes the mask of an object after its last click, 0 negative and 1 positive, see `mask_path`."""
    path = mask_path(folder, each.image, each.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(cv2.imencode(".png", mask)[1])
