"""Simulated annotators of a video, whose frames are encoded once: random dots, and corrections (paper 5.4)."""

import itertools
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import scale_labels
from data_pipelines.datasets.sources import Split
from data_pipelines.points import nested_points
from data_pipelines.streams import Stream, generator
from data_pipelines.videos import Video, read_frames, read_truth
from experiments.settings.config import Config
from guided_jax.episode import UNKNOWN, Click
from guided_jax.scoring.clicks import next_click
from guided_jax.scoring.davis import region_similarity
from guided_jax.session import Session


class AnnotatorOptions(NamedTuple):
    """What the annotators of a video do, and on which frames.

    Attributes:
        workdir: of the run, or of the result; None: neither.
        source: of the videos.
        frames: numbers of annotated frames S, ascending.
        points: numbers of points P per label and annotated frame, ascending.
        budget: most dots per label, S x P; 0: no limit.
        draws: how often frames and points are drawn.
        corrections: number of dots that the correcting annotator puts.
        videos: names of the videos to take; empty: all.
        every: takes every n-th frame.
    """

    workdir: Path | None
    source: str
    frames: tuple[int, ...]
    points: tuple[int, ...]
    budget: int
    draws: int
    corrections: int
    videos: tuple[str, ...]
    every: int

    def cells(self) -> list[tuple[int, int]]:
        """The pairs (S, P) within the budget."""
        pairs = itertools.product(self.frames, self.points)
        return [(s, p) for s, p in pairs if not self.budget or s * p <= self.budget]


class Accuracy(NamedTuple):
    """How well one object is segmented over the scored frames of its video.

    Attributes:
        counts: true positive, false positive and false negative pixels.
        j: mean over frames of the region similarity J, in [0, 1].
    """

    counts: tuple[int, int, int]
    j: float


class ObjectResult(NamedTuple):
    """One object of one video.

    Attributes:
        video: its name.
        label: of the object, from 1.
        scored: number of frames that have a mask.
        grid: for every (S, P) the accuracy under each draw.
        corrected: accuracy after each correction.
        dots: frame, row, column and label of each correction.
    """

    video: str
    label: int
    scored: int
    grid: dict[tuple[int, int], list[Accuracy]]
    corrected: list[Accuracy]
    dots: list[tuple[int, int, int, int]]


class Times(NamedTuple):
    """Times in milliseconds.

    Attributes:
        encode: of encoding a frame.
        update: from an annotation to the mask of its frame.
        frame: from there to the mask of any other frame.
    """

    encode: list[float]
    update: list[float]
    frame: list[float]


def run_video(
    session: Session, split: Split, video: Video, config: Config, asked: AnnotatorOptions, times: Times
) -> list[ObjectResult]:
    """Encodes the frames of a video once, then runs both annotators on each of its objects."""
    max_side = config.data.max_side
    for frame, image in enumerate(read_frames(split, video, max_side=max_side)):
        times.encode.append(_timed(lambda frame=frame, image=image: session.add(frame, image))[0])
    truths = [scale_labels(read_truth(split, video, frame), max_side) for frame in session.names]
    scored = [frame for frame, truth in enumerate(truths) if (truth != UNKNOWN).any()]
    results = []
    for label in range(1, len(video.objects) + 1):
        targets = [
            np.where(truth == UNKNOWN, truth, (truth == label).astype(np.uint8)).astype(np.uint8) for truth in truths
        ]
        if not any((target == 1).any() for target in targets):  # lost by scaling down
            continue
        assess = _assessor(session, targets, scored, times)
        grid = {cell: [] for cell in asked.cells()}
        for draw in range(asked.draws):
            for cell, accuracy in annotate_at_random(session, video, label, targets, config.seed, draw, asked, assess):
                grid[cell].append(accuracy)
        corrected, dots = correct(session, targets, scored, asked.corrections, assess)
        results.append(ObjectResult(video.name, label, len(scored), grid, corrected, dots))
    return results


Assess = Callable[[], tuple[Accuracy, list[np.ndarray]]]
"""Segments the scored frames from the annotations that the session holds: their accuracy, and the masks."""


def _assessor(session: Session, targets: list[np.ndarray], scored: list[int], times: Times) -> Assess:
    """The assessment of one object."""

    def assess():
        masks = []
        for frame in scored:
            took, mask = _timed(lambda frame=frame: session.mask(frame))
            if masks:  # the first one includes the guidance
                times.frame.append(took)
            masks.append(mask)
        return measure(masks, [targets[frame] for frame in scored]), masks

    return assess


def measure(masks: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Accuracy:
    """Counts of positive IU, which leave out void, and the mean J, where void is background (as DAVIS has it)."""
    counts, similarities = np.zeros(3, np.int64), []
    for mask, target in zip(masks, targets, strict=True):
        taken, wanted, known = mask == 1, target == 1, target != UNKNOWN
        counts += [
            np.count_nonzero(taken & wanted),
            np.count_nonzero(taken & known & ~wanted),
            np.count_nonzero(wanted & ~taken),
        ]
        similarities.append(region_similarity(taken, wanted))
    return Accuracy(tuple(counts.tolist()), float(np.mean(similarities)))


def annotate_at_random(
    session: Session,
    video: Video,
    label: int,
    targets: list[UInt8[np.ndarray, "h w"]],
    seed: int,
    draw: int,
    asked: AnnotatorOptions,
    assess: Assess,
) -> Iterator[tuple[tuple[int, int], Accuracy]]:
    """Yields the accuracy under random dots for each (S, P).

    For a P the frames are annotated one after the other, so that S frames take up what S - 1 had. Frames are drawn from
    those that show the object; with fewer of these than S, all of them are annotated.
    """
    name = zlib.crc32(video.name.encode())
    shown = [frame for frame, target in enumerate(targets) if (target == 1).any()]
    order = generator(seed, Stream.ANNOTATOR, name, label, draw).permutation(shown)[: asked.frames[-1]].tolist()
    dots = {}
    for frame in order:
        rng = generator(seed, Stream.ANNOTATOR, name, label, draw, frame)
        dots[frame] = nested_points(rng, targets[frame], asked.points)
    cells = asked.cells()
    for number, points in enumerate(asked.points):
        session.clear()
        for shots, frame in enumerate(order, 1):
            session.annotate(frame, dots[frame][number])
            last = shots == len(order)
            for s in asked.frames:
                if (s == shots or (last and s > shots)) and (s, points) in cells:
                    yield (s, points), assess()[0]
    session.clear()


def correct(
    session: Session, targets: list[UInt8[np.ndarray, "h w"]], scored: list[int], dots: int, assess: Assess
) -> tuple[list[Accuracy], list[tuple[int, int, int, int]]]:
    """Puts one dot at a time, by the click rule, on the frame of lowest J (of equal ones the first).

    It starts from empty masks. Frames whose wrong pixels all have a dot are passed over, and where all frames are such
    it ends early.

    Returns:
        The accuracy after each dot; frame, row, column and label of each dot.
    """
    session.clear()
    masks = [np.zeros_like(targets[frame]) for frame in scored]
    made: dict[int, list[Click]] = {frame: [] for frame in scored}
    accuracies, placed = [], []
    for _ in range(dots):
        js = [region_similarity(mask == 1, targets[frame] == 1) for mask, frame in zip(masks, scored, strict=True)]
        for i in np.argsort(js, kind="stable").tolist():
            frame = scored[i]
            click = next_click(masks[i], targets[frame], made[frame])
            if click is not None:
                break
        else:
            break
        made[frame].append(click)
        session.click(frame, *click)
        placed.append((frame, *click))
        accuracy, masks = assess()
        accuracies.append(accuracy)
    session.clear()
    return accuracies, placed


def measure_update(session: Session, times: Times, updates: int = 10) -> None:
    """Measures the milliseconds from a dot on the middle frame to that frame's mask on the host."""
    frame = session.names[len(session.names) // 2]
    height, width = session.mask(frame).shape
    for i in range(updates):

        def update(i=i):
            session.click(frame, (7 * i) % height, (11 * i) % width, i % 2)
            return session.mask(frame)

        times.update.append(_timed(update)[0])
    session.clear()


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return 1000 * (time.perf_counter() - began), result
