"""DAVIS, in the layouts of 2016 (one object) and 2017 (several), at 480p."""

import functools
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.reading.files import (
    check_listed,
    check_same_size,
    find_lists,
    is_hidden,
    natural_key,
    read_labels,
    read_list,
    require,
)
from data_pipelines.datasets.reading.images import read_image
from data_pipelines.datasets.record import DatasetError, Record, encode_layer, find_segments
from data_pipelines.datasets.shards import Lazy
from data_pipelines.safe_paths import join
from guided_jax.episode import UNKNOWN

REMEDY = (
    "download DAVIS-2017-trainval-480p.zip from https://davischallenge.org/davis2017/code.html and unpack it so that "
    "{path} holds JPEGImages/480p, Annotations/480p and ImageSets"
)
YEARS = ("2016", "2017")
FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")


class Frame(NamedTuple):
    """One frame of a clip, as files; the mask is None in a clip of which the first frame alone is annotated."""

    video: str
    number: int
    image: Path
    mask: Path | None


class Davis(RecordBuilder):
    """DAVIS: the objects of each clip, under the same instance id in all of its frames.

    The path is the folder `DAVIS`. Splits are the lists of `ImageSets/2016` and `ImageSets/2017`, named with their
    year (`train2016`, `val2017`); `train` and `val` mean those of 2017 where there are any, else of 2016. A line
    names a clip (2017), or an image and its mask (2016). Where 255 is the only positive value in all masks
    of a clip, as in 2016, it is object 1; else it is void. Where the first frame alone has a mask, all others
    are void.
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "davis"

    def _class_names(self) -> list[str]:
        return []

    def _split_names(self) -> list[str]:
        return list(self._lists())

    def _records(self, split: str) -> Lazy:
        listing = self._lists()[split]
        frames = [frame for clip in list_clips(self.path, listing) for frame in clip]
        remedy = REMEDY.format(path=self.path)
        check_listed((file for frame in frames for file in (frame.image, frame.mask) if file), listing, remedy)
        frames = self.sound(_read_mask, frames)
        masks = {}
        for frame in frames:
            masks.setdefault(frame.video, []).append(frame.mask)
        drawn = {video: tuple(filter(None, files)) for video, files in masks.items()}
        return Lazy([(frame, drawn[frame.video]) for frame in frames], functools.partial(_read, Binary()), _files)

    def _inputs(self, split: str) -> list[Path]:
        return [self._lists()[split]]

    def _lists(self) -> dict[str, Path]:
        remedy = REMEDY.format(path=self.path)
        folder = require(self.path / "ImageSets", remedy)
        by_year = {year: find_lists(folder / year) for year in YEARS}
        dated = {f"{name}{year}": file for year, lists in by_year.items() for name, file in lists.items()}
        if not dated:
            raise DatasetError(f"{folder} holds no list such as 2017/train.txt; {remedy}")
        return {**by_year["2016"], **by_year["2017"], **dated}


def list_clips(root: Path, listing: Path) -> list[list[Frame]]:
    """The frames of each clip in a list, in order of time; files need not exist.

    Args:
        root: the folder `DAVIS`.
        listing: lines with the name of a clip, or with the paths of an image and its mask.
    """
    clips = {}
    for line in read_list(listing):
        image, *rest = line.split()
        if rest:
            video = PurePosixPath(image).parent.name
            if len(rest) > 1:
                raise DatasetError(f"{listing}: {line!r} is neither a clip nor the paths of an image and its mask")
            clips.setdefault(video, []).append((join(root, image.lstrip("/")), join(root, rest[0].lstrip("/"))))
        else:
            image = PurePosixPath(image).as_posix()  # `bear/` is `bear`
            folder = require(join(root / "JPEGImages" / "480p", image), REMEDY.format(path=root))
            masks = root / "Annotations" / "480p" / image
            clips[image] = _pair_frames(image, folder, masks)
    return [
        [
            Frame(video, number, *files)
            for number, files in enumerate(sorted(pairs, key=lambda p: natural_key(p[0].name)))
        ]
        for video, pairs in clips.items()
    ]


def _pair_frames(clip: str, folder: Path, masks: Path) -> list[tuple[Path, Path | None]]:
    """The frames of a clip with their masks; None where the first frame alone is annotated, as in test-dev."""
    frames = _by_stem(folder, FRAME_SUFFIXES)
    drawn = _by_stem(masks, (".png",)) if masks.is_dir() else {}
    if not frames:
        raise DatasetError(f"{folder} holds no frame ({', '.join(FRAME_SUFFIXES)}); or take {clip} off the list")
    if lonely := sorted(drawn.keys() - frames.keys()):
        first = drawn[lonely[0]]
        raise DatasetError(f"{first} has no frame in {folder}; {len(lonely)} of {len(drawn)} masks have none")
    first = min(frames, key=natural_key)
    if len(frames) > 1 and list(drawn) == [first]:
        return [(file, drawn.get(name)) for name, file in frames.items()]
    return [(file, drawn.get(name, masks / f"{name}.png")) for name, file in frames.items()]


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    files = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in suffixes and not is_hidden(Path(file.name)):
            if file.stem in files:
                raise DatasetError(f"{files[file.stem]} and {file} have the same name; remove one of them")
            files[file.stem] = file
    return files


def _read_mask(frame: Frame) -> None:
    if frame.mask is not None:
        read_labels(frame.mask)


class Binary(dict[str, bool]):
    """Whether clips are binary, as far as that was found out; it tells no `make` from another, and so not in `repr`."""

    def __repr__(self) -> str:
        return "Binary()"


def _read(binary: Binary, item: tuple[Frame, tuple[Path, ...]]) -> Record:
    frame, masks = item
    if frame.video not in binary:
        binary[frame.video] = is_binary(masks)
    return read_frame(frame, binary=binary[frame.video])


def _files(item: tuple[Frame, tuple[Path, ...]]) -> list[Path]:
    frame, masks = item
    return [frame.image, *masks]


def is_binary(masks: tuple[Path, ...]) -> bool:
    """Whether 255 is the only positive value in all masks of a clip."""
    values = np.zeros(256, bool)
    for mask in masks:
        values |= np.bincount(read_labels(mask).ravel(), minlength=256) > 0
    return bool(values[UNKNOWN] and not values[1:UNKNOWN].any())


def read_frame(frame: Frame, *, binary: bool) -> Record:
    """Reads one frame with the objects in it.

    Args:
        frame: its files.
        binary: whether 255 stands for object 1, and not for void.
    """
    image, size = read_image(frame.image)
    layer = np.full(size, UNKNOWN, np.uint8) if frame.mask is None else read_labels(frame.mask)
    if frame.mask is not None:
        check_same_size(frame.image, size, frame.mask, layer.shape)
    if binary and frame.mask is not None:
        layer = (layer == UNKNOWN).astype(np.uint8)
    segments = find_segments(layer, 0, dict.fromkeys(range(1, UNKNOWN), 0), instances=True)
    return Record(
        image_id=f"{frame.video}/{frame.image.stem}",
        video=frame.video,
        frame=frame.number,
        height=size[0],
        width=size[1],
        image=image,
        layers=(encode_layer(layer),),
        segments=tuple(segments),
    )
