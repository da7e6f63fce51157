"""The best, the median and the worst objects of videos, as pictures: what was annotated, and a frame of median J."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import scale_labels
from data_pipelines.datasets.record import DatasetError
from data_pipelines.datasets.sources import Split
from data_pipelines.points import parse_counts
from data_pipelines.videos import (
    Video,
    annotate_video,
    list_phases,
    name_annotations,
    of_phase,
    read_frames,
    read_truth,
    scored_frames,
)
from experiments.drawing.episodes import plot_episodes
from experiments.evaluation.video_files import read_prediction
from experiments.evaluation.video_scores import NOTHING_SCORED
from experiments.evaluation.videos import Choice, open_videos
from experiments.reports.content import Block, FigureFolder, Picture, Text, per_label
from experiments.reports.found import Found
from experiments.reports.ranks import choose_cases, row_title
from experiments.reports.shapes import CASES, OF_A_MODEL, check_result
from experiments.runs.load import load_model
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import with_overrides
from guided_jax.episode import UNKNOWN, Episode
from guided_jax.video import VideoSegmentor


def video_case_blocks(
    label: str,
    found: Found,
    figures: FigureFolder,
    *,
    rows: int,
    points: str = "",
    where: Mapping[str, str] | None = None,
) -> list[Block]:
    """A picture of single objects, or a line that says why there is none.

    Args:
        label: of the result.
        found: a result of `experiments.video`.
        figures: for the picture.
        rows: of each kind.
        points: per label, by name; empty: the first of the result.
        where: fields of the configuration that say where the data are.
    """
    try:
        check_result(found.path, found.result, CASES["video"])
        return [_picture(label, found, figures, rows, points or next(iter(found.result["scores"])), where or {})]
    except (UserError, DatasetError, OSError) as error:
        return [Text(f"{label}: no pictures of single objects, for {error}")]


def _picture(
    label: str, found: Found, figures: FigureFolder, rows: int, points: str, where: Mapping[str, str]
) -> Picture:
    result, protocol = found.result, found.result["protocol"]
    if protocol.get("memory"):
        raise UserError("guidance followed the clips, so that no frame is segmented on its own; --save keeps the masks")
    if points not in result["scores"]:
        raise UserError(f"{found.path} has no score at {points} points, but at {', '.join(result['scores'])}")
    rows_of_first = [row for row in result["rows"] if row["points"] == points and row["draw"] == 0]
    ranked = [row for row in rows_of_first if row["j_and_f"] is not None]
    if not ranked:
        raise UserError(NOTHING_SCORED)
    ranked.sort(key=lambda row: row["j_and_f"], reverse=True)
    config, segment = _segmentor(found, where)
    names = protocol["names"] if isinstance(protocol["names"], list) else ()
    choice = Choice(protocol["source"], shots=protocol["shots"], names=tuple(names), every=protocol["every"])
    split, videos = open_videos(config, choice)
    by_name = {video.name: video for video in videos}
    counts = parse_counts(",".join(name for name in result["scores"] if name.isdigit() or name == "dense") or "dense")
    annotations = name_annotations(counts, protocol.get("draws", 1))
    wanted = parse_counts(points)[0] if points.isdigit() or points == "dense" else counts[0]
    episodes, maps, ious, titles = [], [], [], []
    for kind, chosen_rows in choose_cases(len(ranked), rows).items():
        for row in (ranked[i] for i in chosen_rows):
            video = by_name.get(row["video"])
            number = video.objects.index(row["object"]) + 1 if video and row["object"] in video.objects else 0
            if not number or len(row["j_by_frame"]) != len(scored_frames(video, number)):
                raise UserError(f"{split.name} is not what {found.path} was made of: {row['video']} is another")
            annotation = annotate_video(
                split,
                video,
                counts,
                seed=protocol.get("seed", config.seed),
                draws=protocol.get("draws", 1),
                max_side=config.data.max_side,
            )[annotations.index((wanted, 0))]
            scored = int(np.argsort(row["j_by_frame"])[len(row["j_by_frame"]) // 2])
            position = scored_frames(video, number)[scored]
            phase = next(each for each in list_phases(video) if position in each.frames)
            annotation = of_phase(annotation[None], phase)[0]
            shown = video.support[: phase.annotated]
            images = np.stack(list(read_frames(split, video, shown, max_side=config.data.max_side)))
            episodes.append(_episode(split, video, images, annotation, position, number, config.data.max_side))
            maps.append((segment(video, images, annotation, phase.way, position, split) == number).astype(np.uint8))
            ious.append(row["j_by_frame"][scored])
            lines = (f"{kind}:", row["video"], f"object {row['object']}, J&F {100 * row['j_and_f']:.1f}")
            titles.append(row_title(lines, images.shape[1:3]))
    path = figures.new("objects")
    plot_episodes(path, episodes, {"frame of median J": maps}, ious={"frame of median J": ious}, titles=titles)
    text = f"{label}: best, median and worst objects by J&F, {per_label(points)}, first draw"
    return Picture(path.name, text, photo=True)


def _segmentor(found: Found, where: Mapping[str, str]) -> tuple[Config, Callable[..., np.ndarray]]:
    protocol = found.result["protocol"]
    if "predictions" in protocol:
        folder = Path(protocol["predictions"])
        config = with_overrides(Config(), where)
        return config, lambda video, images, annotation, way, position, split: read_prediction(folder, video, position)
    check_result(found.path, found.result, OF_A_MODEL)
    trained = load_model(found.path.parent, step=protocol["step"])
    model = VideoSegmentor(trained, union=protocol["way"].startswith("union"), chunk=1)
    max_side = protocol["max_side"]

    def segment(
        video: Video, images: np.ndarray, annotation: np.ndarray, way: int, position: int, split: Split
    ) -> np.ndarray:
        guidance = model.guide(images, annotation[None], way=way, negatives_only=True)
        (labels,) = model.segment(guidance, read_frames(split, video, [position], max_side=max_side))
        return labels[0]

    return with_overrides(trained.config, {"data.max_side": max_side, **where}), segment


def _episode(
    split: Split,
    video: Video,
    images: UInt8[np.ndarray, "s h w 3"],
    annotation: UInt8[np.ndarray, "s h w"],
    position: int,
    number: int,
    max_side: int,
) -> Episode:
    """One object against the rest, for a picture."""

    def binary(labels: np.ndarray) -> np.ndarray:
        return np.where(labels == UNKNOWN, UNKNOWN, labels == number).astype(np.uint8)

    (frame,) = read_frames(split, video, [position], max_side=max_side)
    truth = scale_labels(read_truth(split, video, position), max_side)
    size = np.array(frame.shape[:2], np.int32)
    return Episode(
        query=frame,
        query_size=size,
        target=binary(truth),
        support=images,
        support_size=np.tile(size, (len(images), 1)),
        annotation=binary(annotation)[None],
        task_class=np.array(0, np.int32),
        index=np.array(0, np.uint32),
        real=np.array(True),
    )
