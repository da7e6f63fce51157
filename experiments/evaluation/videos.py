"""Evaluations on videos: of a model, from the guidance of the first frame, and of masks from elsewhere."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.sources import Split
from data_pipelines.points import DENSE, name_count
from data_pipelines.videos import Video, list_videos, name_annotations
from experiments.evaluation.mask_folders import claim_folder
from experiments.evaluation.video_files import check_predictions, read_prediction, write_masks
from experiments.evaluation.video_scores import (
    RULES,
    Scored,
    mean_of_draws,
    object_rows,
    score_labels,
    summarise,
    video_row,
)
from experiments.evaluation.video_timer import Timer
from experiments.runs.data import build_source, the_only
from experiments.runs.load import Trained
from experiments.runs.workdir import environment
from experiments.settings.config import Config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.fields import to_dict
from experiments.settings.hosts import by_hosts, together
from guided_jax.video import VideoSegmentor

GUIDANCE = {
    "none": "of the annotated frames alone; every frame on its own",
    "forward": "of the annotated frames and, online, of the frame before with its own prediction",
    "both": "of the annotated frames and of the frame before with its own prediction, forward and backward from them",
}
"""What guides a frame, by the memory."""

TUNED = "none; the network is fitted to the annotated frames, and segments every frame on its own"


class Choice(NamedTuple):
    """What the command line asks for.

    Attributes:
        source: of the videos.
        points: numbers of points per label and annotated frame, each an annotation of its own.
        draws: how often the points are drawn.
        shots: number of annotated frames.
        multi: how several objects are told apart: softmax or union.
        names: of the videos; empty: all.
        every: takes every n-th frame.
        save: folder for the masks; None: they are not saved.
        chunk: frames that are segmented at a time; 0: as many as suit the device.
        best: takes the best checkpoint, not the newest.
        memory: whether guidance follows the clip, and which way: none, forward or both.
    """

    source: str = "davis:val"
    points: tuple[int, ...] = (DENSE,)
    draws: int = 1
    shots: int = 1
    multi: str = "softmax"
    names: tuple[str, ...] = ()
    every: int = 1
    save: Path | None = None
    chunk: int = 0
    best: bool = False
    memory: str = "none"


def open_videos(config: Config, choice: Choice) -> tuple[Split, list[Video]]:
    """Opens the source, building it where that is not done yet.

    Raises:
        DatasetError: what is wrong with the source or its videos.
    """
    source = the_only(parse_sources(choice.source), f"--source={choice.source}")
    split = build_source(config, source)
    return split, list_videos(split, choice.shots, every=choice.every, names=choice.names)


def evaluate_model(trained: Trained, config: Config, choice: Choice) -> dict[str, Any]:
    """Segments and scores all videos; returns the result as JSON.

    Args:
        trained: the model.
        config: its configuration, with the data and the seed of this evaluation.
        choice: of videos and annotations.

    Raises:
        UserError: what is wrong with the model, the source or the folder for masks, before any frame is segmented.
    """
    with together(), user_mistakes():
        if choice.save and jax.process_index() == 0:
            chosen = {name: value for name, value in choice._asdict().items() if name not in ("save", "chunk")}
            claim_folder(choice.save, {**chosen, "step": trained.step, "config": to_dict(config)}, "--save")
        video_model = VideoSegmentor(
            trained,
            union=choice.multi == "union",
            memory=choice.memory,
            chunk=choice.chunk or (4 if jax.default_backend() == "cpu" else 16),
            tune=config.tune,
            seed=config.seed,
        )
        split, videos = open_videos(config, choice)
        try:
            for video in videos:
                video_model.check_way(len(video.objects) + 1)
        except ValueError as error:
            raise UserError(f"--multi={choice.multi}: {error}") from error
    annotations = name_annotations(choice.points, choice.draws)
    timer, bar = Timer(), tqdm(desc="videos", total=len(videos), disable=None, leave=False)

    def evaluate(video: Video) -> tuple[dict[str, float], list[Scored]]:
        maps, scored = timer.segment(video_model, split, video, config, choice.points, choice.draws), []
        for a, (count, draw) in enumerate(annotations):
            if choice.save:
                folder = choice.save / _folder(count, draw, choice) if len(annotations) > 1 else choice.save
                write_masks(folder, video, [labels[a] for labels in maps])
            scored.append(score_labels(split, video, lambda position, a=a: maps[position][a]))
        bar.update()
        return timer.rows[-1], scored

    with bar:
        timer.rows, scored = map(list, zip(*by_hosts(evaluate, videos), strict=True))
    rows = [
        row
        for video, of_video in zip(videos, scored, strict=True)
        for each, (count, draw) in zip(of_video, annotations, strict=True)
        for row in object_rows(video, each, points=name_count(count), draw=draw)
    ]
    by_annotation = [
        {video.name: of_video[a] for video, of_video in zip(videos, scored, strict=True)}
        for a in range(len(annotations))
    ]
    scores = {
        name_count(count): mean_of_draws(
            [summarise(by_annotation[a]) for a, (of, _) in enumerate(annotations) if of == count]
        )
        for count in choice.points
    }
    protocol = {
        **_protocol(split, videos, choice),
        "shots": choice.shots,
        "points": "per label and annotated frame, every pixel of a label with fewer; smaller numbers are subsets of "
        "larger ones",
        "draws": choice.draws,
        "way": "softmax over all labels"
        if choice.multi == "softmax"
        else "union of binary tasks, one against the rest",
        "guidance": TUNED if config.tune.steps else GUIDANCE[choice.memory],
        **({"tuning": dataclasses.asdict(config.tune)} if config.tune.steps else {}),
        **({} if choice.memory == "none" else {"memory": choice.memory}),
        "max_side": config.data.max_side,
        "seed": config.seed,
        "step": trained.step,
        "checkpoint": "best" if choice.best else "newest",
        "trained_on": config.data.train,
    }
    return {
        "name": config.name,
        "protocol": protocol,
        "scores": scores,
        "speed": timer.summary(sum(len(video.rows) for video in videos), len(annotations), video_model.chunk),
        "rows": rows,
        "videos": [video_row(video, **times) for video, times in zip(videos, timer.rows, strict=True)],
        "about": {"model": dataclasses.asdict(config.model), "command": sys.argv, **environment()},
    }


def evaluate_masks(folder: Path, config: Config, choice: Choice) -> dict[str, Any]:
    """Scores a folder of masks; returns the result as JSON.

    Raises:
        UserError: a folder or a mask is missing or wrong, naming the file and what is wrong.
    """
    with user_mistakes():
        split, videos = open_videos(config, choice)
    check_predictions(folder, videos)
    if not any(video.scored for video in videos):
        raise UserError(f"--source={choice.source}: only annotated frames have a true mask, so no mask can be scored")
    scored, rows = {}, []
    for video in tqdm(videos, desc="videos", disable=None, leave=False):
        scored[video.name] = score_labels(
            split, video, lambda position, video=video: read_prediction(folder, video, position)
        )
        rows += object_rows(video, scored[video.name], points="masks", draw=0)
    return {
        "name": folder.resolve().name,
        "protocol": {**_protocol(split, videos, choice), "shots": choice.shots, "predictions": str(folder)},
        "scores": {"masks": mean_of_draws([summarise(scored)])},
        "rows": rows,
        "videos": [video_row(video) for video in videos],
        "about": {"command": sys.argv, **environment()},
    }


def _protocol(split: Split, videos: Sequence[Video], choice: Choice) -> dict[str, Any]:
    return {
        "task": "video objects",
        "data": split.name,
        "source": choice.source,
        "data_version": split.version,
        "videos": len(videos),
        "objects": sum(len(video.objects) for video in videos),
        "frames": sum(len(video.rows) for video in videos),
        "frames_scored": sum(len(video.scored) for video in videos),
        "names": list(choice.names) or "all",
        "every": choice.every,
        **RULES,
    }


def _folder(count: int, draw: int, choice: Choice) -> str:
    if count == DENSE:
        return "dense"
    return f"{count}-points-draw-{draw}" if choice.draws > 1 else f"{count}-points"
