"""Predicted masks of an evaluation's tasks as files: written by a run, read again to be scored without the model.

    DIR/index.json              the configuration, and what each mask is of (our own folders)
    DIR/POINTS/NAME.png         a mask a task and number of points per label: 1, 5, dense
    DIR/draw-1/POINTS/NAME.png  of several draws of support and points

A mask is a PNG of one byte a pixel, with a palette or grey, as large as the query image: 0 is negative, 1 the task. In
a mask that holds 0 and 255 alone, 255 is the task. NAME is `IMAGE__CLASS`, `IMAGE__CLASS_INSTANCE` or
`IMAGE__INSTANCE`; the episodes of a published protocol have their number before it, as `0007-IMAGE__CLASS`. Masks may
also lie in DIR itself, as DIR/NAME.png. Then the number of points that they were guided by is not known, and in the
result `masks` stands for it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from jaxtyping import Int, Integer, UInt8

from data_pipelines.datasets.reading.files import read_mask
from data_pipelines.datasets.record import DatasetError
from data_pipelines.evaluation import EvaluationEpisodes, TaskName
from data_pipelines.points import name_count
from data_pipelines.safe_paths import inside, safe_path
from experiments.evaluation.mask_folders import claim_folder
from experiments.evaluation.task_rows import real_episodes
from experiments.evaluation.video_files import write_mask
from experiments.runs.data import count_draws
from experiments.runs.workdir import FREE
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import flatten, to_dict
from experiments.settings.json_files import read_json, write_json
from experiments.settings.shapes import find_fault
from guided_jax.episode import UNKNOWN
from guided_jax.scoring.few_shot import count_labels

INDEX = "index.json"
INDEX_SHAPE = {
    "config": dict,
    "points": [str],
    "tasks": list,
    "protocol": {"step": (int, NoneType), "seen_in_training": (str, list)},
    "about": dict,
}
FLAT = "masks"
"""Stands for the number of points of masks that lie in the folder itself, where it is not known."""

UNUSED = {"eval.save": "", "weights": "", "start_from": "", "train.cache_features": False}
"""Fields that do not matter once the masks are there: neither the weights nor the folder that they were written to."""


def mask_name(task: TaskName, number: int | None = None) -> str:
    """The file name of a task's mask, without folder; an image id with slashes stays in its folders.

    Args:
        task: what the mask is of.
        number: of its episode, where the same task may come in several.
    """
    what = "_".join(filter(None, [task.class_name, str(task.instance or "")]))
    name = f"{task.image_id}__{what}" if what else task.image_id
    root = Path("/")  # in which every name lies
    safe = safe_path(root, name if number is None else f"{number:04d}-{name}", ".png")
    return safe.relative_to(root).as_posix()


def name_masks(episodes: EvaluationEpisodes) -> dict[int, str]:
    """The file name of each task's mask by the number of its episode."""
    names = {
        episodes.number(i): mask_name(episodes.task(i), episodes.number(i) if episodes.planned else None)
        for i in real_episodes(episodes)
    }
    if len(set(names.values())) < len(names):  # an image id that occurs twice, say
        names = {episodes.number(i): mask_name(episodes.task(i), episodes.number(i)) for i in real_episodes(episodes)}
    return names


def draw_folder(folder: Path, draw: int, draws: int) -> Path:
    """Where the masks of a draw are."""
    return folder / f"draw-{draw}" if draws > 1 else folder


def claim_predictions(config: Config) -> None:
    """Makes the folder `eval.save` that of the masks of an evaluation, see `claim_folder`; without an index so far."""
    folder, values = Path(config.eval.save), flatten(to_dict(config))
    claim_folder(folder, {name: value for name, value in values.items() if name not in FREE}, "eval.save")
    (folder / INDEX).unlink(missing_ok=True)


def mask_writer(folder: Path, episodes: EvaluationEpisodes) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that writes the masks of a batch, from its tasks' numbers and its label maps on the canvas."""
    names = name_masks(episodes)
    sizes = {episodes.number(i): episodes.size(i) for i in real_episodes(episodes)}
    points = [name_count(count) for count in episodes.counts]

    def write(numbers: Integer[np.ndarray, " b"], labels: UInt8[np.ndarray, "b a h w"]) -> None:
        for number, maps in zip(numbers.tolist(), labels, strict=True):
            height, width = sizes[number]
            for name, mask in zip(points, maps, strict=True):
                path = inside(folder, f"{name}/{names[number]}")
                path.parent.mkdir(parents=True, exist_ok=True)
                write_mask(path, mask[:height, :width])

    return write


def write_index(folder: Path, config: Config, result: dict[str, Any], draws: Sequence[EvaluationEpisodes]) -> None:
    """Writes what the masks of a folder are of: configuration, protocol, model, and every task with its file name."""
    tasks = [
        [
            {"file": names[episodes.number(i)], **episodes.task(i)._asdict(), "size": list(episodes.size(i))}
            for i in real_episodes(episodes)
        ]
        for episodes in draws
        for names in [name_masks(episodes)]
    ]
    index = {"config": to_dict(config), "points": list(result["scores"]), "tasks": tasks}
    write_json(folder / INDEX, {**index, "protocol": result["protocol"], "about": result["about"]})


def find_points(folder: Path, config: Config, episodes: EvaluationEpisodes) -> list[str]:
    """The numbers of points of which a folder has masks, by name: those of the evaluation, or `masks`.

    Raises:
        UserError: there is no such folder, or it holds no mask of the evaluation's tasks.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    first = draw_folder(folder, 0, count_draws(config.eval))
    points = [name_count(count) for count in episodes.counts]
    if there := [name for name in points if (first / name).is_dir()]:
        return there
    if not first.is_dir():
        raise UserError(f"{first}: no such folder; with eval.draws={count_draws(config.eval)} each draw has one")
    names = list(name_masks(episodes).values())
    if any((first / name).is_file() for name in names):
        return [FLAT]
    raise UserError(
        f"{first}: holds no mask of the {len(names)} tasks; the first is expected as {first / points[0] / names[0]} or "
        f"{first / names[0]}"
    )


def read_prediction(path: Path, size: tuple[int, int], way: int) -> UInt8[np.ndarray, "h w"]:
    """Reads a mask as labels.

    Args:
        path: of the file.
        size: height and width of the query.
        way: number of labels of the model, which are 0 to `way` - 1.

    Raises:
        UserError: naming the file and what is wrong with it: missing, broken, coloured, of another size or label.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file, for the mask of a task")
    try:
        mask = read_mask(path)
    except DatasetError as error:
        raise UserError(str(error)) from error
    if mask.ndim == 3:
        raise UserError(f"{path}: is an RGB image; a mask holds labels, as a palette or grey PNG")
    if mask.shape != size:
        raise UserError(
            f"{path}: is {mask.shape[0]}x{mask.shape[1]} pixels (height x width), the query is {size[0]}x{size[1]}"
        )
    labels = np.unique(mask).tolist()
    if labels[-1] == UNKNOWN and set(labels) <= {0, UNKNOWN}:
        return (mask == UNKNOWN).astype(np.uint8)
    if labels[-1] >= way:
        raise UserError(f"{path}: has the label {labels[-1]}; they are 0 (negative) to {way - 1}")
    return mask


def count_masks(
    folder: Path, episodes: EvaluationEpisodes, points: Sequence[str], way: int = 2
) -> tuple[Int[np.ndarray, "n a 6"], Int[np.ndarray, " n"]]:
    """Counts the masks of one draw: the outcomes of each task and number of points, and the tasks' classes.

    Raises:
        UserError: as `read_prediction`; missing files are looked for first.
    """
    names, tasks = name_masks(episodes), real_episodes(episodes)
    files = [
        [folder / name / names[episodes.number(i)] if name != FLAT else folder / names[episodes.number(i)]
         for name in points]
        for i in tasks
    ]  # fmt: skip
    everything = [path for row in files for path in row]
    if missing := [path for path in everything if not path.is_file()]:
        raise UserError(
            f"{missing[0]}: no such file; {len(missing)} of the {len(everything)} masks under {folder} are missing"
        )
    counts = np.zeros((len(tasks), len(points), 6), np.int64)
    for row, i, paths in zip(counts, tasks, files, strict=True):
        truth = episodes.truth(i)
        for a, path in enumerate(paths):
            row[a] = count_labels(read_prediction(path, truth.shape, way), truth)
    return counts, np.array([episodes.class_id(i) for i in tasks])


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index of a folder; None where it has none.

    Raises:
        UserError: it is broken.
    """
    path = folder / INDEX
    if not path.is_file():
        return None
    index = read_json(path)
    if fault := find_fault(index, INDEX_SHAPE):
        raise UserError(f"{path}: is not an index of predictions ({fault})")
    return {name: index[name] for name in INDEX_SHAPE}
