"""The best, the median and the worst objects of clicks: the clicks on the image, the last mask and the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import scale_image, scale_labels
from data_pipelines.datasets.record import DatasetError, decode_image, to_record
from data_pipelines.tasks import task_target
from experiments.drawing.episodes import plot_episodes
from experiments.evaluation.clicks import choose_tasks, mask_path, name_object
from experiments.reports.cases import case_config
from experiments.reports.content import Block, FigureFolder, Picture, Text
from experiments.reports.found import Found
from experiments.reports.ranks import choose_cases, row_title
from experiments.reports.shapes import CASES, check_result
from experiments.runs.data import open_sources
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from guided_jax.episode import UNKNOWN, Episode
from guided_jax.scoring.clicks import click_iou, extend, noc

SAME_IOU = 1e-6


class Ranked(NamedTuple):
    """An object with what it is ranked by.

    Attributes:
        row: of the result: image, object, clicks, ious.
        noc: number of clicks, mean over the targets of the result.
        mean_iou: over the clicks; where no wrong pixel was left it stays.
    """

    row: Mapping[str, Any]
    noc: float
    mean_iou: float


def rank_objects(result: Mapping[str, Any]) -> list[Ranked]:
    """The objects of a result of clicks from best to worst: fewest clicks, among like ones the greatest mean IoU."""
    limit, targets = result["protocol"]["clicks"], [int(name) / 100 for name in result["scores"]["noc"]]
    ranked = [
        Ranked(
            row,
            float(np.mean([noc(row["ious"], target, limit) for target in targets])),
            float(extend(row["ious"], limit).mean()),
        )
        for row in result["objects"]
    ]
    return sorted(ranked, key=lambda each: (each.noc, -each.mean_iou))


def click_case_blocks(
    label: str, found: Found, figures: FigureFolder, *, rows: int, where: Mapping[str, str] | None = None
) -> list[Block]:
    """A picture of single objects, or a line that says why there is none.

    Args:
        label: of the result.
        found: a result of `experiments.clicks`.
        figures: for the picture.
        rows: of each kind.
        where: fields of the configuration that say where the data are.
    """
    try:
        check_result(found.path, found.result, CASES["clicks"])
        return _picture(label, found, figures, rows, where or {})
    except (UserError, DatasetError, OSError) as error:
        return [Text(f"{label}: no pictures of single objects, for {error}")]


def _picture(label: str, found: Found, figures: FigureFolder, rows: int, where: Mapping[str, str]) -> list[Block]:
    ranked = rank_objects(found.result)
    chosen = [(kind, ranked[i]) for kind, chosen_rows in choose_cases(len(ranked), rows).items() for i in chosen_rows]
    episodes = _episodes(found, [each.row for _, each in chosen], where)
    titles = [
        row_title((f"{kind}: {each.row['object'] or 'object'}", each.row["image"]), episode.target.shape)
        for (kind, each), episode in zip(chosen, episodes, strict=True)
    ]
    maps, ious, told = {}, {}, "the masks were not saved (experiments.clicks --save=DIR)"
    if folder := find_masks(found):
        masks = [_read(folder, each.row, episode) for (_, each), episode in zip(chosen, episodes, strict=True)]
        maps, ious = {"last mask": masks}, {"last mask": [each.row["ious"][-1] for _, each in chosen]}
        told = "the mask is that after the last of them"
    path = figures.new("objects")
    plot_episodes(path, episodes, maps, ious=ious, titles=titles)
    text = f"{label}: best, median and worst objects by NoC, then mean IoU, with all of their clicks; {told}"
    return [Picture(path.name, text, photo=True)]


def find_masks(found: Found) -> Path | None:
    """The folder of the saved masks; None where none were saved.

    Raises:
        UserError: it is no longer there.
    """
    if not (saved := found.result.get("masks")):
        return None
    folder = next((each for each in (found.path.parent / saved, Path(saved)) if each.is_dir()), None)
    if folder is None:
        raise UserError(f"the masks are no longer in {saved}")
    return folder


def _read(folder: Path, row: Mapping[str, Any], episode: Episode) -> UInt8[np.ndarray, "h w"]:
    path = mask_path(folder, row["image"], row["object"])
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if mask is None:
        raise UserError(f"{path} is missing, or no image")
    same = mask.shape == episode.target.shape
    if not same or abs(click_iou(mask, episode.target) - row["ious"][-1]) > SAME_IOU:
        raise UserError(f"{path} is not of this result: it has another size, or another IoU")
    return mask


def _episodes(found: Found, rows: Sequence[Mapping[str, Any]], where: Mapping[str, str]) -> list[Episode]:
    config = _config(found, where)
    (opened,) = open_sources(config, "eval")
    wanted: dict[tuple[str, str], Episode | None] = {(row["image"], row["object"]): None for row in rows}
    clicks = {(row["image"], row["object"]): row["clicks"] for row in rows}
    for task in choose_tasks(opened.tasks, found.result["protocol"]["limit"], config.seed):
        record = to_record(opened.split.records[task.record])
        key = record.image_id, name_object(opened, task)
        if key in wanted:
            image = scale_image(decode_image(record.image), config.data.max_side)
            target = scale_labels(task_target(record, task), config.data.max_side)
            wanted[key] = _episode(image, target, clicks[key])
    if missing := [key for key, episode in wanted.items() if episode is None]:
        raise UserError(f"{opened.split.name} has no object {' '.join(missing[0])!r}; are these the same data?")
    return list(wanted.values())


def _config(found: Found, where: Mapping[str, str]) -> Config:
    protocol = found.result["protocol"]
    asked = {
        **{f"eval.{name}": protocol[name] for name in ("source", "classes", "lists", "min_area")},
        "data.max_side": protocol["max_side"],
        "seed": protocol["seed"],
    }
    return case_config(found, {**asked, **where})


def _episode(
    image: UInt8[np.ndarray, "h w 3"], target: UInt8[np.ndarray, "h w"], clicks: Sequence[Sequence[int]]
) -> Episode:
    annotation = np.full((1, 1, *target.shape), UNKNOWN, np.uint8)
    for row, column, positive in clicks:
        annotation[0, 0, row, column] = positive
    return Episode(
        query=image,
        query_size=np.array(target.shape, np.int32),
        target=target,
        support=None,
        support_size=None,
        annotation=annotation,
        task_class=np.array(0, np.int32),
        index=np.array(0, np.uint32),
        real=np.array(True),
    )
