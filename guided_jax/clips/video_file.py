"""A clip in a video file, by PyAV: each frame by itself, to the exact one.

The packets of the file tell the time of every frame without decoding any. A frame is reached from the last key frame
before it, and known again by its time. Where packets do not tell, all frames are decoded once to count them, and each
is then reached by counting from the first.
"""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import UInt8

from guided_jax.clips.clip import Clip, number_names

KEPT = 64 << 20
"""Bytes of decoded frames that are kept, as the decoder gives them: going backward costs no more than forward."""

TIMED = ("mov", "matroska")
"""Formats in which each frame has a time of its own, that of MP4 and that of WebM among them; PyAV's names."""


class Index(NamedTuple):
    """Where the frames of a video lie.

    Attributes:
        times: of the frames in units of the stream, ascending; None: they are known by counting alone.
        keys: numbers of the frames that can be decoded by themselves, ascending, from 0 on.
        number: of frames.
        rate: frames a second; None where the file does not tell.
    """

    times: list[int] | None
    keys: list[int]
    number: int
    rate: float | None


def clip_of_video(path: Path, title: str) -> Clip:
    """A clip of the first video stream of a file.

    Raises:
        ValueError: the file is no video, or cannot be decoded.
    """
    try:
        index = _read_index(path, title)
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{title}: is not a video that can be decoded ({_reason(error)})") from None
    if not index.number:
        raise ValueError(f"{title}: there are no frames; it needs one at least")
    video = _Video(path, title, index)
    return Clip(title, number_names(index.number), video.read(0).shape[:2], index.rate, video.read)


class _Video:
    """An open video, its decoder, and the frames that were decoded last. May be read by several threads."""

    def __init__(self, path: Path, title: str, index: Index):
        self._path, self._title, self._index = path, title, index
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._container = None
        self._frames: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next: int | None = None  # the frame that `_frames` gives next, or one after it; None: `_frames` is spent

    def read(self, number: int) -> UInt8[np.ndarray, "h w 3"]:
        """A frame, upright."""
        with self._lock:
            frame = self._kept.get(number)
            if frame is None:
                frame = self._decode(number)
            else:
                self._kept.move_to_end(number)
            image = frame.to_ndarray(format="rgb24")
            return np.ascontiguousarray(np.rot90(image, frame.rotation // 90)) if frame.rotation else image

    def _decode(self, number: int) -> av.VideoFrame:
        reason = "it is missing"
        for start in self._starts(number):
            try:
                if start is not None:
                    self._go(start)
                for at, frame in self._frames:
                    self._next = at + 1
                    self._keep(at, frame)
                    if at == number:
                        return frame
                    if at > number:
                        break
            except (av.FFmpegError, OSError) as error:
                reason = _reason(error)
            self._next = None
        raise ValueError(f"{self._title}: frame {number} cannot be decoded ({reason})")

    def _starts(self, number: int) -> Iterator[int | None]:
        """Where decoding may start: where it is (None) if no key frame is nearer; at key frames, farther and farther.

        Frames after a key frame may need those before it.
        """
        keys = self._index.keys
        last = bisect_right(keys, number) - 1
        if self._next is not None and keys[last] <= self._next <= number:
            yield None
        yield from dict.fromkeys((keys[last], keys[max(0, last - 1)], keys[max(0, last - 3)], 0))

    def _go(self, start: int) -> None:
        """Makes a key frame the next one that is decoded, or one before it."""
        if self._container is None or start == 0:
            if self._container is not None:
                self._container.close()
            self._container = av.open(str(self._path))
        stream = self._container.streams.video[0]
        if start:
            self._container.seek(self._index.times[start], stream=stream, backward=True)
        self._frames = self._numbered(self._container.decode(stream))
        self._next = start

    def _numbered(self, frames: Iterator[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        times = self._index.times
        if times is None:
            yield from enumerate(frames)
            return
        for frame in frames:
            number = bisect_right(times, frame.pts) - 1 if frame.pts is not None else -1
            if number >= 0 and times[number] == frame.pts:
                yield number, frame

    def _keep(self, number: int, frame: av.VideoFrame) -> None:
        self._kept[number] = frame
        self._kept.move_to_end(number)
        size = sum(plane.buffer_size for plane in frame.planes)
        while len(self._kept) > max(1, KEPT // size):
            self._kept.popitem(last=False)


def _read_index(path: Path, title: str) -> Index:
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError(f"{title}: holds no video, sound or subtitles alone")
        stream = container.streams.video[0]
        rate = stream.average_rate
        rate = float(rate) if rate else None
        packets = [
            (each.pts, each.is_keyframe) for each in container.demux(stream) if each.size and not each.is_discard
        ]
        form = container.format.name.partition(",")[0]
        # AVI knows no order but that of decoding, and VP8 has packets that show nothing.
        timed = form in TIMED or (form == "avi" and all(key for _, key in packets))
        timed = timed and stream.codec_context.name != "vp8"
    times = sorted(time for time, _ in packets if time is not None)
    if timed and len(set(times)) == len(packets):
        keys = [number for number, (_, key) in enumerate(sorted(packets)) if key]
        return Index(times, sorted({0, *keys}), len(times), rate)
    with av.open(str(path)) as container:
        number = sum(1 for _ in container.decode(video=0))
    return Index(None, [0], number, rate)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
