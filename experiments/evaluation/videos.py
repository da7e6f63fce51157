"""Evaluations on videos: of a model, frame by frame from the guidance of the first, and of masks from elsewhere."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from data_pipelines.datasets.sources import Split, open_source, parse_sources
from data_pipelines.points import DENSE, name_count
from data_pipelines.videos import (
    Phase,
    Video,
    annotate_video,
    list_phases,
    list_videos,
    name_annotations,
    of_phase,
    read_frames,
)
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
from experiments.runs.load import Trained
from experiments.runs.workdir import environment
from experiments.settings.checks import check_new
from experiments.settings.command_line import user_mistakes
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from guided_jax.video import VideoGuidance, VideoSegmentor

TIMED_CHUNKS = 3
"""Chunks from memory, for the speed without reading; a first one warms up."""


class Choice(NamedTuple):
    """What the command line asks for.

    Attributes:
        source: of the videos.
        points: per label and annotated frame, of each annotation.
        draws: of the points.
        shots: annotated frames.
        multi: softmax or union.
        names: of the videos; empty: all.
        every: takes every so many frames.
        save: folder for the masks, or None.
        chunk: frames at a time.
        best: the best checkpoint, not the newest.
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


def open_videos(config: Config, choice: Choice) -> tuple[Split, list[Video]]:
    """Opens the source, building it where that is not done yet.

    Raises:
        UserError: what is wrong with the source or its videos.
    """
    sources = parse_sources(choice.source)
    if len(sources) > 1:
        raise UserError(f"--source={choice.source}: one source was expected")
    split = open_source(
        sources[0],
        Path(config.data.root),
        Path(config.data.prepared) / "datasets",
        skip_broken=config.data.skip_broken,
    )
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
    if choice.save:
        check_new(choice.save, "--save")
    with user_mistakes():
        video_model = VideoSegmentor(
            trained.model,
            trained.params,
            union=choice.multi == "union",
            chunk=choice.chunk or (4 if jax.default_backend() == "cpu" else 16),
        )
        split, videos = open_videos(config, choice)
        try:
            for video in videos:
                video_model.check_way(len(video.objects) + 1)
        except ValueError as error:
            raise UserError(f"--multi={choice.multi}: {error}") from error
    annotations = name_annotations(choice.points, choice.draws)
    scored: list[dict[str, Scored]] = [{} for _ in annotations]
    rows, about_videos, timer = [], [], Timer()
    for video in tqdm(videos, desc="videos", disable=None, leave=False):
        maps = timer.segment(video_model, split, video, config, choice)
        about_videos.append(video_row(video, **timer.rows[-1]))
        for a, (count, draw) in enumerate(annotations):
            if choice.save:
                folder = choice.save / _folder(count, draw, choice) if len(annotations) > 1 else choice.save
                write_masks(folder, video, [labels[a] for labels in maps])
            scored[a][video.name] = score_labels(split, video, lambda position, a=a, maps=maps: maps[position][a])
            rows += object_rows(video, scored[a][video.name], points=name_count(count), draw=draw)
    scores = {
        name_count(count): mean_of_draws([summarise(scored[a]) for a, (of, _) in enumerate(annotations) if of == count])
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
        "guidance": "of the annotated frames alone; every frame on its own",
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
        "speed": timer.summary(len(annotations), video_model.chunk),
        "rows": rows,
        "videos": about_videos,
        "about": {"model": dataclasses.asdict(config.model), "command": sys.argv, **environment()},
    }


class Timer:
    """Segments videos, and keeps how long that took, without compilation.

    Attributes:
        rows: of each video: seconds from the first annotated frame's reading to the last label map, reading included.
        from_memory: frames a second without reading, under one annotation, on the first video; None before it.
        frames: segmented in all.
    """

    def __init__(self):
        self.rows: list[dict[str, float]] = []
        self.from_memory: float | None = None
        self.frames = 0
        self._warm: set[tuple] = set()

    def segment(
        self, model: VideoSegmentor, split: Split, video: Video, config: Config, choice: Choice
    ) -> list[UInt8[np.ndarray, "a h w"]]:
        """The label maps of every frame of a video, at its own size.

        Args:
            model: on the devices.
            split: of the video.
            video: to segment.
            config: with data and seed.
            choice: of annotations.
        """
        max_side = config.data.max_side
        annotation = annotate_video(
            split, video, choice.points, seed=config.seed, draws=choice.draws, max_side=max_side
        )

        def guide(phase: Phase, of: slice = slice(None)) -> VideoGuidance:
            positions = video.support[: phase.annotated]
            images = np.stack(list(read_frames(split, video, positions, max_side=max_side)))
            return model.guide(images, of_phase(annotation[of], phase), way=phase.way)

        phases = list_phases(video)
        maps, seconds, guide_seconds = [], 0.0, 0.0
        for phase in phases:
            with user_mistakes():
                guidance = guide(phase)
            shapes = (guidance.canvas, annotation.shape[0], phase.annotated, phase.way)
            if shapes not in self._warm:
                self._warm.add(shapes)
                list(model.segment(guidance, [np.zeros((*guidance.size, 3), np.uint8)]))
            started = time.perf_counter()
            guidance = jax.block_until_ready(guide(phase))
            guided = time.perf_counter()
            maps += model.segment(guidance, read_frames(split, video, phase.frames, max_side=max_side))
            seconds += time.perf_counter() - started
            guide_seconds += guided - started
        self.frames += len(maps)
        self.rows.append({"seconds": seconds, "guide_seconds": guide_seconds})
        if self.from_memory is None:
            self.from_memory = frames_per_second(
                model, guide(phases[0], slice(1)), next(read_frames(split, video, [0], max_side=max_side))
            )
        return maps if not max_side else [_own_size(each, video) for each in maps]

    def summary(self, annotations: int, chunk: int) -> dict[str, Any]:
        """The speed over all videos."""
        seconds = [row["seconds"] for row in self.rows]
        segmenting = sum(row["seconds"] - row["guide_seconds"] for row in self.rows)
        return {
            "seconds_per_video": sum(seconds) / len(seconds),
            "frames_per_second": self.frames / segmenting,
            "frames_per_second_without_reading": self.from_memory,
            "annotations": annotations,
            "chunk": chunk,
            "what": "seconds from reading the annotated frames to the last label map on the host, all annotations in "
            "one pass, without compilation; frames_per_second with the reading of the frames, decoded in threads; "
            "without reading: frames that lie in memory, one annotation, transfers included",
        }


def frames_per_second(
    model: VideoSegmentor, guidance: VideoGuidance, frame: UInt8[np.ndarray, "h w 3"], chunks: int = TIMED_CHUNKS
) -> float:
    """Speed on frames that lie in memory, transfers of frames and label maps included."""
    list(model.segment(guidance, [frame]))
    started = time.perf_counter()
    for _ in model.segment(guidance, [frame] * (model.chunk * chunks)):
        pass
    return model.chunk * chunks / (time.perf_counter() - started)


def _own_size(maps: UInt8[np.ndarray, "a h w"], video: Video) -> UInt8[np.ndarray, "a h2 w2"]:
    size = (video.width, video.height)
    return np.stack([cv2.resize(each, size, interpolation=cv2.INTER_NEAREST_EXACT) for each in maps])


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
