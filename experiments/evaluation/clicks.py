"""Clicking on every object of a source, and the result of it: its protocol and rows, its table, its masks."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from data_pipelines.canvas import choose_bucket, parse_buckets, scale_image, scale_labels, scaled_size
from data_pipelines.datasets.record import decode_image, to_record
from data_pipelines.disk import replacing
from data_pipelines.streams import Stream, generator
from data_pipelines.tasks import Task, Tasks, count_tasks, get_task, task_target
from experiments.runs.data import OpenSource
from experiments.runs.load import Trained
from experiments.runs.workdir import environment
from experiments.settings.config import Config
from experiments.settings.fields import to_dict
from guided_jax.scoring.clicks import Click, Clicked, click_score, noc, simulate_clicks
from guided_jax.session import Session

SHOWN = (1, 2, 3, 5, 10, 15, 20)
RULE = (
    "of the missed and the wrongly taken pixels, void left out and the frame padded by 1, the deepest by exact "
    "Euclidean distance, pixels clicked before left out; positive if the missed region is strictly deeper, else "
    "negative; the first in row-major order; from an empty mask"
)


class Asked(NamedTuple):
    """What the command line asks for.

    Attributes:
        workdir: of the run.
        targets: of the IoU, in per cent.
        clicks: an object at most.
        limit: number of objects; 0: all.
        save: folder for masks, or None.
    """

    workdir: Path
    targets: tuple[int, ...]
    clicks: int
    limit: int
    save: Path | None


class Object(NamedTuple):
    """An object that was clicked on.

    Attributes:
        image: its id in the data set.
        name: `CLASS-INSTANCE`, as far as there are any.
        clicked: clicks and IoUs.
        update_ms: time of each click, from the click to the mask on the host.
        encode_ms: time of the image's encoding where this object was the first on it, else 0.
        mask: the last one.
    """

    image: str
    name: str
    clicked: Clicked
    update_ms: list[float]
    encode_ms: float
    mask: UInt8[np.ndarray, "h w"]


def choose_tasks(tasks: Tasks, limit: int, seed: int) -> list[Task]:
    """The tasks, or some of them that the seed draws, by image."""
    rows = np.arange(count_tasks(tasks))
    if 0 < limit < len(rows):
        rows = np.sort(generator(seed, Stream.CLICKS).permutation(rows)[:limit])
    return sorted((get_task(tasks, row) for row in rows.tolist()), key=lambda task: task.record)


def click_objects(trained: Trained, config: Config, opened: OpenSource, asked: Asked) -> Iterator[Object]:
    """Clicks on every object; those of an image share its encoding.

    Raises:
        DatasetError: no canvas holds an image.
    """
    buckets, max_side = parse_buckets(config.data.buckets), config.data.max_side
    tasks = choose_tasks(opened.tasks, asked.limit, config.seed)
    for task in tasks:  # before any of them is clicked on
        name = f"{opened.split.name}: image {to_record(opened.split.records[task.record]).image_id!r}"
        choose_bucket(*scaled_size(task.height, task.width, max_side), buckets, name=name)
    session, warm, now = Session(trained.model, trained.params, canvases=buckets), set(), None
    for task in tqdm(tasks, desc="objects", disable=None, leave=False):
        record = to_record(opened.split.records[task.record])
        target = scale_labels(task_target(record, task), max_side)
        if not (target == 1).any():  # lost by scaling down
            continue
        bucket, encode_ms = choose_bucket(*target.shape, buckets), 0.0
        if bucket not in warm:
            _warm(session.fresh(), bucket, asked.clicks)
            warm.add(bucket)
        if task.record != now:
            image = scale_image(decode_image(record.image), max_side)
            if now is not None:
                session.remove(now)
            now, began = task.record, time.perf_counter()
            session.add(now, image)
            encode_ms = 1000 * (time.perf_counter() - began)
        clicked, times = _click(session, now, target, asked.clicks)
        name = name_object(opened, task)
        yield Object(record.image_id, name, clicked, times, encode_ms, session.mask(now))


def name_object(opened: OpenSource, task: Task) -> str:
    """`CLASS-INSTANCE`, as far as there are any; one of a kind in its image."""
    class_name = opened.split.class_names[task.class_id - 1] if task.class_id else ""
    return "-".join(filter(None, [class_name, str(task.instance or "")]))


def _click(session: Session, name: int, target: UInt8[np.ndarray, "h w"], limit: int) -> tuple[Clicked, list[float]]:
    session.clear(name)
    times = []

    def segment(clicks: list[Click]) -> UInt8[np.ndarray, "h w"]:
        began = time.perf_counter()
        session.click(name, clicks[-1].row, clicks[-1].column, int(clicks[-1].positive))
        mask = session.mask(name)
        times.append(1000 * (time.perf_counter() - began))
        return mask

    return simulate_clicks(segment, target, limit=limit), times


def _warm(session: Session, bucket: tuple[int, int], clicks: int) -> None:
    """Compiles what a canvas needs, so that no click is timed with it."""
    session.add("blank", np.zeros((*bucket, 3), np.uint8))
    for i in range(clicks):
        session.click("blank", i // bucket[1], i % bucket[1], 1)
    session.mask("blank")


def report(
    trained: Trained,
    config: Config,
    opened: OpenSource,
    objects: Sequence[Object],
    asked: Asked,
    *,
    seen: Sequence[str] | None,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The result as JSON: the scores, the protocol that gave them, and each object's clicks and IoUs.

    Args:
        trained: the model.
        config: with the data and the evaluation that were asked for.
        opened: whose objects.
        objects: that were clicked on.
        asked: what for.
        seen: evaluated classes that the model was trained on; None: unknown.
        about: what else the result says of itself.
    """
    targets = [target / 100 for target in asked.targets]
    scores = click_score([each.clicked.ious for each in objects], targets, asked.clicks)
    protocol = {
        "task": "clicks",
        "data": opened.split.name,
        "source": config.eval.source,
        "data_version": opened.split.version,
        "unit": opened.source.unit,
        "classes": config.eval.classes,
        "seen_in_training": "unknown" if seen is None else list(seen),
        "forced": config.eval.force_seen and (seen is None or bool(seen)),
        "lists": config.eval.lists,
        "objects": scores.objects,
        "limit": asked.limit,
        "clicks": asked.clicks,
        "click_rule": RULE,
        "noc": "first click with an IoU of at least the target, else the limit; at_limit counts NoC == limit",
        "mean_iou": "after k clicks, mean over objects; where no wrong pixel is left it stays",
        "threshold": "the greatest logit, of two labels a probability above 0.5",
        "void": "pixels of label 255 are left out",
        "aids": "none at test time: no zoom, no flip, no previous mask",
        "max_side": config.data.max_side,
        "min_area": config.eval.min_area,
        "seed": config.seed,
        "step": trained.step,
    }
    updates = [each for one in objects for each in one.update_ms]
    encodes = [each.encode_ms for each in objects if each.encode_ms]
    masks = {"masks": _from_workdir(asked.save, asked.workdir)} if asked.save else {}
    return {
        "name": trained.config.name,
        "protocol": protocol,
        **masks,
        "scores": {
            "noc": {str(percent): scores.noc[t] for percent, t in zip(asked.targets, targets, strict=True)},
            "at_limit": {str(percent): scores.at_limit[t] for percent, t in zip(asked.targets, targets, strict=True)},
            "mean_iou": scores.mean_iou,
        },
        "objects": [
            {
                "image": each.image,
                "object": each.name,
                "clicks": [[click.row, click.column, int(click.positive)] for click in each.clicked.clicks],
                "ious": each.clicked.ious,
                "noc": {str(p): noc(each.clicked.ious, p / 100, asked.clicks) for p in asked.targets},
            }
            for each in objects
        ],
        "times": {
            "click_ms_median": float(np.median(updates)),
            "click_ms_mean": float(np.mean(updates)),
            "click_ms_mean_with_encoding": float((sum(updates) + sum(encodes)) / len(updates)),
            "encode_ms_median": float(np.median(encodes)),
            "of": "from the click to the uint8 mask on the host; compiling, reading images and the user left out",
        },
        "about": {"config": to_dict(config), **about, **environment()},
    }


def _from_workdir(folder: Path, workdir: Path) -> str:
    """A folder as it is found from the workdir, where it lies in there; else as given."""
    inside = folder.resolve().is_relative_to(workdir.resolve())
    return str(folder.resolve().relative_to(workdir.resolve()) if inside else folder)


def describe(result: dict[str, Any]) -> str:
    """The result as a table for a terminal."""
    scores, times, clicks = result["scores"], result["times"], result["protocol"]["clicks"]
    lines = [f"{result['protocol']['data']}: {result['protocol']['objects']} objects, {clicks} clicks at most"]
    lines.append(f"{'IoU target':>22}" + "".join(f"{f'{percent} %':>8}" for percent in scores["noc"]))
    lines.append(f"{'clicks (NoC)':>22}" + "".join(f"{each:>8.2f}" for each in scores["noc"].values()))
    lines.append(f"{f'objects >= {clicks}':>22}" + "".join(f"{each:>8}" for each in scores["at_limit"].values()))
    shown = [number for number in SHOWN if number <= clicks]
    lines.append(f"{'clicks':>22}" + "".join(f"{number:>8}" for number in shown))
    lines.append(f"{'mean IoU x 100':>22}" + "".join(f"{100 * scores['mean_iou'][k - 1]:>8.1f}" for k in shown))
    lines.append(
        f"a click takes {times['click_ms_median']:.1f} ms; {times['click_ms_mean_with_encoding']:.1f} ms on average "
        f"with the encoding of the images ({times['encode_ms_median']:.0f} ms each)"
    )
    return "\n".join(lines)


def mask_path(folder: Path, image: str, name: str) -> Path:
    """Where the last mask of an object is saved."""
    return folder / image / f"{name or 'object'}.png"


def save_mask(folder: Path, each: Object) -> None:
    """Writes the last mask of an object as `folder/IMAGE/OBJECT.png`."""
    path = mask_path(folder, each.image, each.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(cv2.imencode(".png", each.mask)[1])
