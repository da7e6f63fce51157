"""Video (paper 5.3): annotated frames guide once, then every frame is segmented from their guidance alone.

No frame tells another anything: nothing is propagated, and no parameter changes. That is the paper's protocol, and the
default. With `memory` guidance follows the clip (`guided_jax.video.following`), and no parameter changes either.

    video = VideoSegmentor(guided_jax.load(path), memory="forward")
    guidance = video.guide(images, annotation, way=3)
    for labels in video.segment(guidance, frames): ...
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, UInt8

from guided_jax.compiled import CompiledFunction, CompiledMethod
from guided_jax.episode import UNKNOWN
from guided_jax.episodic import takes_way
from guided_jax.guides.guidance import Task
from guided_jax.inputs import check_annotation, check_labels, check_rgb, check_size, check_way, check_whole, describe
from guided_jax.loaded_model import WithParams, model_and_params
from guided_jax.loading import load
from guided_jax.model_checks import check_mode
from guided_jax.model_config import geometry_of, places_annotation
from guided_jax.segmentor import Segmentor
from guided_jax.tuning.config import TuneConfig, check_tune
from guided_jax.video.alone import encode_frames, guide_frames, label_frames
from guided_jax.video.canvases import STEP, lay
from guided_jax.video.completing import complete_annotation, trunk_alone
from guided_jax.video.following import (
    ClipGuidance,
    ClipMemory,
    begin,
    check_memory,
    guide_clip,
    label_frame,
    score_both_ways,
    score_frame,
)
from guided_jax.video.tuned import VideoTuning, encode_frozen, fit_frames, label_by_fitted


class VideoGuidance(NamedTuple):
    """What the annotated frames of a video say.

    Attributes:
        tasks: leaves [a, o, ...]: for each annotation o tasks: one or, in a union, one for each positive label; under
            memory a `ClipGuidance`, whose t tasks are a x o; of a network that is fine-tuned its fitted parameters.
        number: the numbers a and o.
        size: height and width of the frames in pixels.
        canvas: height and width of the canvas that they are laid on, in pixels.
        positions: numbers of the annotated frames in the clip, from 0.
    """

    tasks: Task | ClipGuidance
    number: tuple[int, int]
    size: tuple[int, int]
    canvas: tuple[int, int]
    positions: tuple[int, ...]


class VideoSegmentor:
    """Segments videos, chunk by chunk, the frames of a chunk divided over the devices.

    With memory the frames of a chunk are encoded together, and then segmented one after the other.

    The encoder is compiled once a canvas, the head once a canvas and number of labels, annotations and shots.

    Attributes:
        chunk: number of frames that are segmented at a time.
        memory: whether guidance follows a clip, and which way.
    """

    def __init__(
        self,
        model: Segmentor | WithParams | None = None,
        params: dict | None = None,
        *,
        union: bool = False,
        memory: str = "none",
        chunk: int = 8,
        tune: TuneConfig | None = None,
        seed: int = 0,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Puts the parameters on the devices.

        Args:
            model: what `guided_jax.load` gives, or the network alone; None: the guide that comes with the package.
            params: of the network where it comes alone.
            union: several objects as a union of binary tasks, one against the rest; else all labels at once.
            memory: none: every frame is segmented from the annotated ones alone. forward: each frame joins the
                guidance of the next one, online. both: backward from the last annotated frame, too; all frames are read
                first, and their features kept. Under memory a spatial decoder completes the annotated frames, and the
                trunk's own features follow (`guided_jax.video.completing`).
            chunk: frames at a time; rounded up to a multiple of the devices.
            tune: fits the network, one that nothing guides, to the annotated frames, as the paper's baseline and OSVOS
                do, where its `steps` are above 0; None: no parameter changes.
            seed: of the pixels and views that the updates of `tune` see.
            devices: the frames of a chunk are divided over them; None: all of this process.

        Raises:
            ValueError: the model cannot segment another image than the annotated one, its guidance cannot follow a clip
                as asked, it cannot be fine-tuned as asked, or there are no parameters.
        """
        model, params = model_and_params(load() if model is None else model, params)
        check_mode(model.config, "video", "mode")
        completes = memory != "none" and places_annotation(model.config)
        self._complete = CompiledMethod(model, complete_annotation, "canvas", "way") if completes else None
        whole = params
        if completes:
            model, params = trunk_alone(model, params)
        check_memory(model.config, memory)
        self._tune = tune if tune and tune.steps else None
        if self._tune:
            check_tune(tune, model.config, flatten_dict(params, sep="/"), cached=False)
        if (chunk := check_whole(chunk, "chunk")) < 1:
            raise ValueError(f"chunk is {chunk}; at least 1 frame")
        self._model, self._union, self.memory = model, union, memory
        devices = devices or jax.local_devices()
        self.chunk = -(-chunk // len(devices)) * len(devices)
        mesh = jax.make_mesh((len(devices),), ("frames",), axis_types=(AxisType.Auto,), devices=devices)
        self._whole, self._split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("frames",)))
        self._params = jax.device_put({"params": params}, self._whole)
        self._completing_params = jax.device_put({"params": whole}, self._whole) if completes else None
        guide = guide_frames if memory == "none" else guide_clip
        self._guide = CompiledMethod(model, guide, "canvas", "way", "union")
        self._encode = CompiledMethod(model, encode_frames, "canvas")
        self._label = CompiledMethod(model, label_frames, "canvas", "number")
        self._score_frame = CompiledMethod(model, score_frame)
        self._label_frame = CompiledMethod(model, label_frame, "canvas", "tasks")
        if self._tune:
            how = VideoTuning(model, tune, seed)
            self._guide = CompiledFunction(partial(fit_frames, how), "canvas", "way", "union")
            self._encode = CompiledFunction(partial(encode_frozen, how), "canvas")
            self._label = CompiledFunction(partial(label_by_fitted, how), "canvas", "number")

    def compiled(self) -> int:
        """Number of programs compiled so far."""
        methods = self._complete, self._guide, self._encode, self._label, self._score_frame, self._label_frame
        return sum(each.programs for each in methods if each)

    def check_way(self, way: int) -> None:
        """Raises ValueError with the reason where the model cannot tell so many labels apart."""
        way = check_way(way)
        if not takes_way(self._model.config, 2 if self._union else way):
            other = "binary tasks" if self._union else f"{way} labels; a union of binary tasks may do"
            raise ValueError(f"the model has one head on {self._model.config.way} labels, and takes no {other}")

    def guide(
        self,
        images: UInt8[np.ndarray, "_ _ _ 3"],
        annotation: UInt8[np.ndarray, "_ _ _ _"],
        *,
        way: int,
        canvas: tuple[int, int] | None = None,
        negatives_only: bool = False,
        positions: Sequence[int] | None = None,
        fit: bool = True,
    ) -> VideoGuidance:
        """Guides by annotated frames, under each of their annotations.

        Args:
            images: the annotated frames [s, h, w, 3].
            annotation: [a, s, h, w]: 0 negative, 1 to way - 1 the objects, 255 where unannotated, dense or sparse.
            way: number of labels, the negative included.
            canvas: height and width; None: the size, rounded up to a multiple of `STEP`.
            negatives_only: says that annotations of 0 and 255 alone are meant: they show negatives and no object.
                Without it they are refused, for elsewhere such a map is the mask of an object, which is labelled 1
                here.
            positions: numbers of the annotated frames in the clip, from 0, which memory needs to know; None: they are
                its first ones.
            fit: False leaves a network that would be fine-tuned as it is, by the same program, so that its
                compilation can be had ahead.

        Raises:
            ValueError: the model takes no such number of labels, images or annotations are no uint8 arrays, they do
                not fit each other, no annotation shows an object (see `negatives_only`), or the positions are not a
                number a frame, each another.
        """
        way = check_way(way)
        images = check_rgb(images, "the annotated frames", "frames")
        wanted = "[annotations, frames, height, width]"
        annotation = check_labels(annotation, "the annotation", wanted, lambda shape: len(shape) == 4 and all(shape))
        config, size = self._model.config, images.shape[1:3]
        if annotation.shape[1:] != images.shape[:3]:
            raise ValueError(f"annotations of shape {annotation.shape} do not fit frames of shape {images.shape}")
        check_annotation(annotation, "the annotation", way, negatives_only=negatives_only)
        if min(size) < (least := geometry_of(config).minimum_size):
            raise ValueError(f"frames of {size[0]}x{size[1]} pixels; the model's grid needs sides of {least} or more")
        self.check_way(way)
        positions = _check_positions(range(len(images)) if positions is None else positions, len(images))
        rounded = tuple(-(-side // STEP) * STEP for side in size)
        canvas = rounded if canvas is None else check_size(canvas, "canvas")
        if min(np.subtract(canvas, size)) < 0:
            raise ValueError(f"a canvas of {canvas} does not hold frames of {size}")
        images = lay(images, canvas, 0)
        annotation = lay(annotation.reshape(-1, *size), canvas, UNKNOWN).reshape(*annotation.shape[:2], *canvas)
        sizes = np.tile(np.array(size, np.int32), (len(images), 1))
        arrays = jax.device_put((images, annotation, sizes), self._whole)
        if self._complete:
            filled = self._complete(self._completing_params, *arrays, canvas=canvas, way=way)
            arrays = arrays[0], filled, arrays[2]
        union = self._union and way > 2
        if self._tune:
            arrays += (np.int32(self._tune.steps if fit else 0),)
        tasks = self._guide(self._params, *arrays, canvas=canvas, way=way, union=union)
        return VideoGuidance(tasks, (len(annotation), way - 1 if union else 1), size, canvas, positions)

    def segment(
        self,
        guidance: VideoGuidance,
        frames: Iterable[UInt8[np.ndarray, "_ _ 3"]],
        clip: ClipMemory | None = None,
    ) -> Iterator[UInt8[np.ndarray, "a h w"]]:
        """Yields the label maps of each frame, one an annotation, as soon as a chunk is done.

        While the devices are at work on a chunk, the next one is read, and its transfer started.

        Args:
            guidance: of `guide`.
            frames: RGB, 0 to 255, at the size of the annotated ones; under memory in order of time, annotated ones too.
            clip: under memory, of a clip that is segmented in several goes, each with guidance of its own: what was
                remembered before, and is changed to what is remembered after; the guidance may have more labels and
                annotated frames than that of the go before. None: the frames are the whole clip.

        Raises:
            ValueError: the first argument is no guidance, there are no frames, or one is no RGB image of that size.
        """
        if not isinstance(guidance, VideoGuidance):
            raise ValueError(f"the guidance is {describe(guidance)}; it must be what guide gives, before the frames")
        if not isinstance(frames, Iterable):
            raise ValueError(f"the frames are {describe(frames)}; they must be RGB images, one after the other")
        if self.memory != "none":
            yield from self._follow(guidance, frames, clip or ClipMemory())
            return
        under_way: deque[tuple[Array, int]] = deque()
        for images in self._chunks(guidance, frames):
            under_way.append(self._start(guidance, images))
            if len(under_way) > 1:
                yield from _fetch(*under_way.popleft(), guidance.size)
        while under_way:
            yield from _fetch(*under_way.popleft(), guidance.size)

    def _chunks(self, guidance, frames):
        numbered = enumerate(frames)
        while pairs := list(itertools.islice(numbered, self.chunk)):
            yield np.stack([_check_frame(frame, number, guidance.size) for number, frame in pairs])

    def _start(self, guidance, images):
        """Dispatches a chunk."""
        query, sizes = self._start_encoding(guidance, images)
        static = {"canvas": guidance.canvas, "number": guidance.number}
        labels = self._label(self._params, query, sizes, guidance.tasks, **static)
        labels.copy_to_host_async()
        return labels, len(images)

    def _start_encoding(self, guidance, images):
        """Dispatches the encoder on a chunk; the last one of a video is filled up with its last frame."""
        filling = np.broadcast_to(images[-1], (self.chunk - len(images), *images.shape[1:]))
        canvases = lay(np.concatenate([images, filling]), guidance.canvas, 0)
        sizes = np.tile(np.array(guidance.size, np.int32), (self.chunk, 1))
        canvases, sizes = jax.device_put((canvases, sizes), self._split)
        return self._encode(self._params, canvases, sizes, canvas=guidance.canvas), sizes

    def _follow(self, guidance, frames, clip):
        """Yields the labels of frames whose guidance follows the clip."""
        goes_on = clip.state is not None
        clip.state = begin(guidance.tasks, clip.state, guidance.number[1])
        if self.memory == "both":
            yield from self._follow_both_ways(guidance, frames, clip, goes_on)
            return
        for images, query in self._encoded(guidance, frames):
            for i, image in enumerate(images):
                scores, state = self._score(guidance, query, i, clip.frame, clip.state)
                if clip.frame >= min(guidance.positions):  # before it there is nothing to follow
                    clip.state = state
                clip.frame += 1
                yield self._label_scores(guidance, scores, image)

    def _follow_both_ways(self, guidance, frames, clip, goes_on):
        begun, images, queries = clip.frame, [], []
        for chunk, query in self._encoded(guidance, frames):
            images += list(chunk)
            queries.append(query)
        numbers = range(begun, begun + len(images))

        def score(number, state):
            chunk, i = divmod(number - begun, self.chunk)
            return self._score(guidance, queries[chunk], i, number, state)

        annotated = sorted(set(guidance.positions) & set(numbers))
        goes_on = goes_on and begun > min(guidance.positions)
        scores, clip.state = score_both_ways(score, numbers, annotated, clip.state, goes_on=goes_on)
        clip.frame = numbers.stop
        for image, each in zip(images, scores, strict=True):
            yield self._label_scores(guidance, each, image)

    def _encoded(self, guidance, frames):
        """Yields the frames of each chunk, and their features; the next chunk is read while these are computed."""
        under_way: deque[tuple[np.ndarray, Array]] = deque()
        for images in self._chunks(guidance, frames):
            query, _ = self._start_encoding(guidance, images)
            under_way.append((images, jax.device_put(query, self._whole)))
            if len(under_way) > 1:
                yield under_way.popleft()
        yield from under_way

    def _score(self, guidance, query, i, number, state):
        positions = guidance.positions
        shot = positions.index(number) if number in positions else -1
        return self._score_frame(self._params, query, np.int32(i), guidance.tasks, state, np.int32(shot))

    def _label_scores(self, guidance, scores, image):
        arrays = lay(image[None], guidance.canvas, 0), np.array([guidance.size], np.int32)
        arrays = jax.device_put(arrays, self._whole)
        static = {"canvas": guidance.canvas, "tasks": guidance.number[1]}
        labels = np.asarray(self._label_frame(self._params, scores, *arrays, **static))
        return np.ascontiguousarray(labels[:, : guidance.size[0], : guidance.size[1]])


def _check_frame(frame, number: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    frame = check_rgb(frame, f"frame {number}")
    if frame.shape[:2] != size:
        raise ValueError(
            f"frame {number} has {'x'.join(map(str, frame.shape[:2]))} pixels (height x width), the annotated frames "
            f"{'x'.join(map(str, size))}: a video has one size"
        )
    return frame


def _check_positions(positions: Sequence[int], frames: int) -> tuple[int, ...]:
    positions = tuple(check_whole(each, "the position of an annotated frame") for each in positions)
    if len(set(positions)) != frames or len(positions) != frames or min(positions) < 0:
        raise ValueError(f"positions={positions}: must be {frames} numbers from 0 on, one an annotated frame")
    return positions


def _fetch(labels, number, size):
    maps = np.asarray(labels)[:, :number, : size[0], : size[1]]
    # Copies, so that a map that is kept does not keep its chunk.
    return [np.ascontiguousarray(maps[:, i]) for i in range(number)]
