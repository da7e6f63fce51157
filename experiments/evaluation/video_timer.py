"""Segments videos by their annotated frames, and keeps how long that took."""

import time
from collections.abc import Sequence
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import UInt8

from data_pipelines.datasets.sources import Split
from data_pipelines.videos import Phase, Video, annotate_video, list_phases, of_phase, read_frames
from experiments.settings.config import Config
from experiments.settings.errors import user_mistakes
from guided_jax.video import ClipMemory, VideoGuidance, VideoSegmentor

TIMED_CHUNKS = 3
"""Chunks of frames that lie in memory, for the speed without reading, after one that warms up."""


class Timer:
    """Segments videos, and measures how long that takes, compilation left out.

    Attributes:
        rows: of each video `seconds`, from reading the annotated frames to the last label map, and the part of them
            that the guidance takes, `guide_seconds`; both summed over the video's phases.
        from_memory: frames a second without reading, under one annotation, on the first video; None before it.
    """

    def __init__(self):
        self.rows: list[dict[str, float]] = []
        self.from_memory: float | None = None
        self._warm: set[tuple] = set()

    def segment(
        self,
        model: VideoSegmentor,
        split: Split,
        video: Video,
        config: Config,
        points: Sequence[int],
        draws: int,
    ) -> list[UInt8[np.ndarray, "a h w"]]:
        """The label maps of every frame of a video, at its own size.

        Args:
            model: on the devices.
            split: of the video.
            video: to segment.
            config: with data and seed.
            points: numbers of points per label and annotated frame, each an annotation of its own.
            draws: how often the points are drawn.
        """
        max_side = config.data.max_side
        annotation = annotate_video(split, video, points, seed=config.seed, draws=draws, max_side=max_side)

        def guide(phase: Phase, of: slice = slice(None), *, fit: bool = False) -> VideoGuidance:
            positions = video.support[: phase.annotated]
            images = np.stack(list(read_frames(split, video, positions, max_side=max_side)))
            known = of_phase(annotation[of], phase)
            return model.guide(images, known, way=phase.way, negatives_only=True, positions=positions, fit=fit)

        phases, clip = list_phases(video), ClipMemory()
        maps, seconds, guide_seconds = [], 0.0, 0.0
        for phase in phases:
            with user_mistakes():
                guidance = guide(phase)
            shapes = (guidance.canvas, annotation.shape[0], phase.annotated, phase.way)
            if shapes not in self._warm:
                self._warm.add(shapes)
                list(model.segment(guidance, [np.zeros((*guidance.size, 3), np.uint8)]))
            started = time.perf_counter()
            guidance = jax.block_until_ready(guide(phase, fit=True))
            guided = time.perf_counter()
            maps += model.segment(guidance, read_frames(split, video, phase.frames, max_side=max_side), clip)
            seconds += time.perf_counter() - started
            guide_seconds += guided - started
        self.rows.append({"seconds": seconds, "guide_seconds": guide_seconds})
        if self.from_memory is None:
            self.from_memory = frames_per_second(
                model, guide(phases[0], slice(1)), next(read_frames(split, video, [0], max_side=max_side))
            )
        return maps if not max_side else [_own_size(each, video) for each in maps]

    def summary(self, frames: int, annotations: int, chunk: int) -> dict[str, Any]:
        """The speed over all videos, with so many frames; where hosts share them, that of one host."""
        seconds = [row["seconds"] for row in self.rows]
        segmenting = sum(row["seconds"] - row["guide_seconds"] for row in self.rows)
        return {
            "seconds_per_video": sum(seconds) / len(seconds),
            "frames_per_second": frames / segmenting,
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
