"""Video (paper 5.3): annotated frames guide once, then every frame is segmented from their guidance alone.

No frame tells another anything: nothing is propagated, and no parameter changes.

    video = VideoSegmentor(guided_jax.load(path))
    guidance = video.guide(images, annotation, way=3)
    for labels in video.segment(guidance, frames): ...
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Int32, PyTree, UInt8

from guided_jax.compiled import CompiledMethod
from guided_jax.episode import UNKNOWN
from guided_jax.episodic import takes_way
from guided_jax.guides.guidance import Task
from guided_jax.inference.labels import predict_labels
from guided_jax.inference.union import binary_tasks, union_logits
from guided_jax.inputs import check_annotation, check_labels, check_rgb, check_size, check_way, check_whole, describe
from guided_jax.loaded_model import WithParams, model_and_params
from guided_jax.model_config import check_mode, geometry_of
from guided_jax.segmentor import Segmentor

STEP = 32
"""Canvases are multiples of so many pixels, so that videos of about the same size share a compilation."""


class VideoGuidance(NamedTuple):
    """What the annotated frames of a video say.

    Attributes:
        tasks: leaves [a, o, ...]: for each annotation o tasks: one or, in a union, one for each positive label.
        number: the numbers a and o.
        size: height and width of the frames in pixels.
        canvas: height and width of the canvas that they are laid on, in pixels.
    """

    tasks: Task
    number: tuple[int, int]
    size: tuple[int, int]
    canvas: tuple[int, int]


class VideoSegmentor:
    """Segments videos, chunk by chunk, the frames of a chunk divided over the devices.

    The encoder is compiled once a canvas, the head once a canvas and number of labels, annotations and shots.

    Attributes:
        chunk: number of frames that are segmented at a time.
    """

    def __init__(
        self,
        model: Segmentor | WithParams,
        params: dict | None = None,
        *,
        union: bool = False,
        chunk: int = 8,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Puts the parameters on the devices.

        Args:
            model: what `guided_jax.load` gives, or the network alone.
            params: of the network where it comes alone.
            union: several objects as a union of binary tasks, one against the rest; else all labels at once.
            chunk: frames at a time; rounded up to a multiple of the devices.
            devices: the frames of a chunk are divided over them; None: all of this process.

        Raises:
            ValueError: the model cannot segment another image than the annotated one, or there are no parameters.
        """
        model, params = model_and_params(model, params)
        check_mode(model.config, "video", "mode")
        if (chunk := check_whole(chunk, "chunk")) < 1:
            raise ValueError(f"chunk is {chunk}; at least 1 frame")
        self._model, self._union = model, union
        devices = devices or jax.local_devices()
        self.chunk = -(-chunk // len(devices)) * len(devices)
        mesh = jax.make_mesh((len(devices),), ("frames",), axis_types=(AxisType.Auto,), devices=devices)
        self._whole, self._split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("frames",)))
        self._params = jax.device_put({"params": params}, self._whole)
        self._guide = CompiledMethod(model, _guide_annotations, "canvas", "way", "union")
        self._encode = CompiledMethod(model, _encode_frames, "canvas")
        self._label = CompiledMethod(model, _label_frames, "canvas", "number")

    def compiled(self) -> int:
        """Number of programs compiled so far."""
        return sum(each.programs for each in (self._guide, self._encode, self._label))

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

        Raises:
            ValueError: the model takes no such number of labels, images or annotations are no uint8 arrays, they do
                not fit each other, or no annotation shows an object (see `negatives_only`).
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
        rounded = tuple(-(-side // STEP) * STEP for side in size)
        canvas = rounded if canvas is None else check_size(canvas, "canvas")
        if min(np.subtract(canvas, size)) < 0:
            raise ValueError(f"a canvas of {canvas} does not hold frames of {size}")
        images = _lay(images, canvas, 0)
        annotation = _lay(annotation.reshape(-1, *size), canvas, UNKNOWN).reshape(*annotation.shape[:2], *canvas)
        sizes = np.tile(np.array(size, np.int32), (len(images), 1))
        arrays = jax.device_put((images, annotation, sizes), self._whole)
        union = self._union and way > 2
        tasks = self._guide(self._params, *arrays, canvas=canvas, way=way, union=union)
        return VideoGuidance(tasks, (len(annotation), way - 1 if union else 1), size, canvas)

    def segment(
        self, guidance: VideoGuidance, frames: Iterable[UInt8[np.ndarray, "_ _ 3"]]
    ) -> Iterator[UInt8[np.ndarray, "a h w"]]:
        """Yields the label maps of each frame, one an annotation, as soon as a chunk is done.

        While the devices are at work on a chunk, the next one is read, and its transfer started.

        Args:
            guidance: of `guide`.
            frames: RGB, 0 to 255, at the size of the annotated ones.

        Raises:
            ValueError: the first argument is no guidance, there are no frames, or one is no RGB image of that size.
        """
        if not isinstance(guidance, VideoGuidance):
            raise ValueError(f"the guidance is {describe(guidance)}; it must be what guide gives, before the frames")
        if not isinstance(frames, Iterable):
            raise ValueError(f"the frames are {describe(frames)}; they must be RGB images, one after the other")
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
        """Dispatches a chunk; the last one of a video is filled up with its last frame."""
        filling = np.broadcast_to(images[-1], (self.chunk - len(images), *images.shape[1:]))
        canvases = _lay(np.concatenate([images, filling]), guidance.canvas, 0)
        sizes = np.tile(np.array(guidance.size, np.int32), (self.chunk, 1))
        canvases, sizes = jax.device_put((canvases, sizes), self._split)
        query = self._encode(self._params, canvases, sizes, canvas=guidance.canvas)
        static = {"canvas": guidance.canvas, "number": guidance.number}
        labels = self._label(self._params, query, sizes, guidance.tasks, **static)
        labels.copy_to_host_async()
        return labels, len(images)


def _check_frame(frame, number: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    frame = check_rgb(frame, f"frame {number}")
    if frame.shape[:2] != size:
        raise ValueError(
            f"frame {number} has {'x'.join(map(str, frame.shape[:2]))} pixels (height x width), the annotated frames "
            f"{'x'.join(map(str, size))}: a video has one size"
        )
    return frame


def _fetch(labels, number, size):
    maps = np.asarray(labels)[:, :number, : size[0], : size[1]]
    # Copies, so that a map that is kept does not keep its chunk.
    return [np.ascontiguousarray(maps[:, i]) for i in range(number)]


def _lay(arrays: np.ndarray, canvas: tuple[int, int], fill: int) -> np.ndarray:
    """Lays arrays [n, h, w, ...] at the top left of canvases filled with `fill`."""
    laid = np.full((len(arrays), *canvas, *arrays.shape[3:]), fill, arrays.dtype)
    laid[:, : arrays.shape[1], : arrays.shape[2]] = arrays
    return laid


def _guide_annotations(
    module: Segmentor,
    images: UInt8[Array, "s h w 3"],
    annotation: UInt8[Array, "a s h w"],
    sizes: Int32[Array, "s 2"],
    *,
    canvas: tuple[int, int],
    way: int,
    union: bool,
) -> Task:
    """The tasks of each annotation, with leaves [a, o, ...]."""
    annotation = jnp.stack(binary_tasks(annotation, way) if union else [annotation], 1)
    shots = jax.tree.map(lambda leaf: leaf[None], module.observe(images, canvas, sizes))

    def guide(labels):
        task = module.merge(module.guide_observed(shots, labels[None], 2 if union else way))
        return jax.tree.map(lambda leaf: leaf[0], task)

    tasks = jax.lax.map(guide, annotation.reshape(-1, *annotation.shape[2:]))
    return jax.tree.map(lambda leaf: leaf.reshape(*annotation.shape[:2], *leaf.shape[1:]), tasks)


def _encode_frames(
    module: Segmentor, images: UInt8[Array, "t h w 3"], sizes: Int32[Array, "t 2"], *, canvas: tuple[int, int]
) -> PyTree:
    return module.query_observed(module.observe(images, canvas, sizes))


def _label_frames(
    module: Segmentor,
    query: PyTree,
    sizes: Int32[Array, "t 2"],
    tasks: Task,
    *,
    canvas: tuple[int, int],
    number: tuple[int, int],
) -> UInt8[Array, "a t h w"]:
    """Label maps of frames under each annotation, one annotation and one of its tasks at a time."""

    def segment(task):
        task = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(sizes), *leaf.shape)), task)
        return module.segment(query, task, canvas, sizes)

    def label(of_annotation):
        if number[1] == 1:
            return predict_labels(segment(jax.tree.map(lambda leaf: leaf[0], of_annotation)))
        return predict_labels(union_logits(_map(segment, of_annotation, number[1])))

    return _map(label, tasks, number[0])


def _map(function, tree: PyTree, length: int) -> PyTree:
    """`jax.lax.map` over so many entries of a tree, which may have no leaves: the task of an unguided model."""
    return jax.lax.scan(lambda _, each: (None, function(each)), None, tree, length)[1]
