"""Videos of a split: their frames in order of time, which of them are annotated, and which are scored."""

import itertools
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import scale_image, scale_labels
from data_pipelines.datasets.record import DatasetError, Record, decode_image, decode_layer, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.points import DENSE, nested_points
from data_pipelines.streams import Stream, generator
from guided_jax.episode import UNKNOWN

AHEAD = 16
"""Frames that are decoded ahead of the one that is wanted."""
THREADS = 8


class Video(NamedTuple):
    """One video; positions are those of its frames, from 0.

    Attributes:
        name: of the clip.
        rows: of its frames among the split's records, in order of time.
        frames: names of the frames' files, without suffix.
        height: in pixels.
        width: in pixels.
        objects: ids, in the masks, of the labels 1, 2, ...: by their start, then by id.
        starts: position of the frame where each of them is first annotated; it is neither segmented nor scored before.
        shots: how many frames are annotated from the beginning, with all that they show.
        support: positions of these frames, then of those where an object starts later, annotated with that alone.
        scored: positions of the frames to score; none where only the annotated frames have a mask.
    """

    name: str
    rows: tuple[int, ...]
    frames: tuple[str, ...]
    height: int
    width: int
    objects: tuple[int, ...]
    starts: tuple[int, ...]
    shots: int
    support: tuple[int, ...]
    scored: tuple[int, ...]


class Phase(NamedTuple):
    """Frames of a video through which the same objects are followed.

    Attributes:
        frames: their positions.
        way: labels, the negative one included.
        annotated: how many of the video's annotated frames there are so far.
    """

    frames: range
    way: int
    annotated: int


def list_phases(video: Video) -> list[Phase]:
    """The phases of a video, in order of time: a new one begins where an object starts, as in YouTube-VOS."""
    first = video.support[0]
    bounds = [0, *sorted({start for start in video.starts if start > first}), len(video.rows)]
    return [
        Phase(
            range(begin, end),
            1 + sum(start <= max(begin, first) for start in video.starts),
            video.shots + sum(position <= begin for position in video.support[video.shots :]),
        )
        for begin, end in itertools.pairwise(bounds)
    ]


def of_phase(annotation: UInt8[np.ndarray, "a s h w"], phase: Phase) -> UInt8[np.ndarray, "a s2 h w"]:
    """What is annotated of a video in a phase: the frames so far, and the objects that have started."""
    known = annotation[:, : phase.annotated]
    return np.where(known < phase.way, known, np.uint8(UNKNOWN))


def scored_frames(video: Video, label: int) -> tuple[int, ...]:
    """Positions of the frames in which an object, by its label, is scored: those after its start."""
    return tuple(position for position in video.scored if position > video.starts[label - 1])


def list_videos(split: Split, shots: int = 1, *, every: int = 1, names: Sequence[str] = ()) -> list[Video]:
    """The videos of a split, in its order; masks are decoded only where a frame shows no object.

    The first `shots` frames that show an object are annotated. All other frames after the first of these that have a
    mask are scored, but the last one: with one shot the frames 2 to N - 1, DAVIS's rule. A frame without a mask is all
    void, and not scored. An object that comes later starts where it first shows, is annotated in that frame, and scored
    from the next one on (YouTube-VOS).

    Args:
        split: of clips.
        shots: annotated frames of each video.
        every: takes every so many frames, from the first.
        names: of the videos to take; empty: all.

    Raises:
        DatasetError: stills; a name that is none of the split's; a video of several sizes, with too few frames, or
            without an object.
    """
    if shots < 1 or every < 1:
        raise ValueError(f"shots is {shots} and every {every}; each must be 1 or more")
    rows: dict[str, list[tuple[int, int]]] = {}
    for row in range(len(split.records)):
        record = to_record(split.records[row])
        if not record.video:
            raise DatasetError(f"{split.name} holds stills; videos are davis:SPLIT or frames@PATH:all")
        rows.setdefault(record.video, []).append((record.frame, row))
    if unknown := [name for name in names if name not in rows]:
        raise DatasetError(f"{split.name} has no video {unknown[0]!r}; there are: {', '.join(rows)}")
    return [
        _describe(split, name, [row for _, row in sorted(frames)][::every], shots)
        for name, frames in rows.items()
        if not names or name in names
    ]


def _describe(split: Split, name: str, rows: list[int], shots: int) -> Video:
    records = [to_record(split.records[row]) for row in rows]
    size = records[0].height, records[0].width
    for record in records:
        if (record.height, record.width) != size:
            raise DatasetError(
                f"{split.name}: the video {name} has frames of {size[0]}x{size[1]} and of "
                f"{record.height}x{record.width} pixels (height x width, {record.image_id}); all must have one size"
            )
    shown = [i for i, record in enumerate(records) if record.segments]
    if len(shown) < shots:
        raise DatasetError(f"{split.name}: the video {name} shows an object in {len(shown)} frames, not in {shots}")
    support = tuple(shown[:shots])
    starts: dict[int, int] = {}
    for position in shown:
        for segment in records[position].segments:
            starts.setdefault(segment.value, position)
    objects = sorted(starts, key=lambda value: (starts[value], value))
    late = sorted({start for start in starts.values() if start not in support})
    masked = [i for i in range(support[0] + 1, len(records)) if _has_mask(records[i])]
    scored = tuple(i for i in masked[:-1] if i not in support)
    if not scored and not set(masked) <= set(support):
        raise DatasetError(
            f"{split.name}: the video {name} has {len(masked) + 1} frames with a mask, and none is left to score: the "
            f"annotated ones ({shots}) and the last one never are"
        )
    stems = tuple(record.image_id.rsplit("/", 1)[-1] for record in records)
    begun = tuple(starts[value] for value in objects)
    return Video(name, tuple(rows), stems, *size, tuple(objects), begun, shots, (*support, *late), scored)


def _has_mask(record: Record) -> bool:
    return bool(record.segments) or bool((decode_layer(record.layers[0]) != UNKNOWN).any())


def read_truth(split: Split, video: Video, position: int) -> UInt8[np.ndarray, "h w"]:
    """True labels of a frame: 0 negative, 1 to K the video's objects, 255 void."""
    layer = decode_layer(to_record(split.records[video.rows[position]]).layers[0])
    table = np.zeros(256, np.uint8)
    table[UNKNOWN] = UNKNOWN
    table[list(video.objects)] = np.arange(1, len(video.objects) + 1)
    return table[layer]


def _given(split: Split, video: Video, shot: int) -> UInt8[np.ndarray, "h w"]:
    """What is known of an annotated frame: all of it, or only the objects that start there."""
    position = video.support[shot]
    labels = read_truth(split, video, position)
    if shot < video.shots:
        return labels
    begun = [label for label, start in enumerate(video.starts, start=1) if start == position]
    return np.where(np.isin(labels, begun), labels, np.uint8(UNKNOWN))


def annotate_video(
    split: Split, video: Video, counts: Sequence[int], *, seed: int, draws: int = 1, max_side: int = 0
) -> UInt8[np.ndarray, "a s h w"]:
    """Annotations of a video's annotated frames: each count of points under each draw, counts first.

    The points follow from (seed, name of the video, frame, draw) alone; smaller counts are subsets of larger ones. A
    label with fewer pixels has every one annotated. What a phase may know of it: `of_phase`.

    Args:
        split: where the records are.
        video: of the split.
        counts: points per label and frame, or DENSE: the whole mask.
        seed: of the points.
        draws: of each count; a dense annotation is drawn once, as the first.
        max_side: frames are scaled down to this longer side in pixels; 0 keeps their size.

    Returns:
        [A, S, h, w] in the order of `name_annotations`; 255 where unannotated.
    """
    targets = [scale_labels(_given(split, video, shot), max_side) for shot in range(len(video.support))]
    key = zlib.crc32(video.name.encode())
    drawn = []
    for draw in range(draws):
        shots = [
            nested_points(generator(seed, Stream.VIDEO, key, position, draw), target, counts)
            for position, target in zip(video.support, targets, strict=True)
        ]
        drawn.append(np.stack(shots, 1))
    return np.stack([drawn[draw][counts.index(count)] for count, draw in name_annotations(counts, draws)])


def name_annotations(counts: Sequence[int], draws: int) -> list[tuple[int, int]]:
    """Count and draw of each annotation."""
    return [(count, draw) for count in counts for draw in range(1 if count == DENSE else draws)]


def read_frames(
    split: Split, video: Video, positions: Sequence[int] | None = None, *, max_side: int = 0
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames of a video, decoded ahead in threads.

    Args:
        split: where the records are.
        video: of the split.
        positions: of the frames; None: all.
        max_side: they are scaled down to this longer side in pixels; 0 keeps their size.
    """
    rows = video.rows if positions is None else [video.rows[position] for position in positions]
    ahead = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        for row in rows:
            encoded = to_record(split.records[row]).image
            ahead.append(threads.submit(lambda data: scale_image(decode_image(data), max_side), encoded))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
