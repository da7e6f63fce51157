"""The annotated images: which file of annotations belongs to which image, and all of them read and checked."""

import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.counted import counted
from data_pipelines.datasets.reading.images import open_image, read_orientation, read_upright
from experiments.segmenting.annotation_files import AnnotationFile, Entry, is_mask, read_annotation_files
from experiments.segmenting.clips import Frame, OpenClip, find_frame, frame_of_file
from experiments.segmenting.shapes import Marked, Size
from guided_jax.session.marks import labels_of

SHOWN = 5
"""Names in a message, at most."""


class Support(NamedTuple):
    """An annotated image.

    Attributes:
        path: of the image; of a frame of a video, the name of the frame below the path of the video.
        image: RGB, as viewers show it.
        annotation: the file.
        marked: its marks.
        frame: that it is, of a clip that is to be segmented; "" for none. It is the name of its outputs.
    """

    path: Path
    image: UInt8[np.ndarray, "h w 3"]
    annotation: Path
    marked: Marked
    frame: str = ""

    @property
    def shows_object(self) -> bool:
        """Whether an object is marked on it, and not background alone."""
        return any(labels_of(mark) - {0} for mark in self.marked.marks)


def read_supports(
    images: Sequence[Path],
    annotations: Sequence[Path],
    masks: str = "",
    clips: Mapping[str, OpenClip] = types.MappingProxyType({}),
) -> list[Support]:
    """Reads images and their annotations.

    As many of one as of the other belong together in their order; a file that knows several images is asked for the
    one of that name. Else images are looked for by their names in all the files, and where no image is given, the
    files say where theirs lie, or name frames of the clips.

    Args:
        images: paths of annotated images.
        annotations: paths of files of annotations.
        masks: how masks are read, see `read_annotation_files`.
        clips: that are to be segmented, by name.

    Raises:
        DatasetError, ValueError: what does not belong together, is missing or not sound; which, in one line.
    """
    if len(images) != len(annotations):
        _check_no_mask(images, annotations)
    files = read_annotation_files(annotations, masks)
    for file in files:
        if not file.images:
            raise ValueError(f"{file.path}: annotates no image")
    supports = [_read(*pair, clips) for pair in _pair(images, files, clips)]
    if not any(support.shows_object for support in supports):
        raise ValueError(f"{supports[0].annotation}: marks no object, but background alone; mark what is to be found")
    return supports


def _check_no_mask(images: Sequence[Path], annotations: Sequence[Path]) -> None:
    if mask := next((path for path in annotations if is_mask(path)), None):
        raise ValueError(
            f"{mask}: a mask does not tell its image; give --support and --annotation in pairs, as many of one as of "
            f"the other, not {len(images)} and {len(annotations)}"
        )


Pair = tuple[Path | Frame, AnnotationFile, Entry]


def _pair(images: Sequence[Path], files: Sequence[AnnotationFile], clips: Mapping[str, OpenClip]) -> Iterator[Pair]:
    if len(images) == len(files):
        for image, file in zip(images, files, strict=True):
            yield image, file, _entry_at(image, file, images)
        return
    for image in images:
        there = [(file, name) for file in files for name in _named(image, file)]
        if not there:
            raise ValueError(f"--support={image}: no file annotates it; {'; '.join(map(_tell, files))}")
        yield from ((image, file, file.images[name]) for file, name in there)
    for file in files:
        for name, entry in file.images.items():
            if frame := find_frame(str(name), clips):
                yield frame, file, entry
            elif not images:
                yield _find(name, file), file, entry


def _entry_at(image: Path, file: AnnotationFile, images: Sequence[Path]) -> Entry:
    """What a file says of the image that it is given with. The one image of a file may have another name there."""
    if found := _named(image, file):
        return file.images[found[0]]
    (first, entry), *more = file.images.items()
    if not file.names_images or not (more or any(_named(other, file) for other in images)):
        return entry
    raise ValueError(f"--support={image}: {_tell(file)}, and not this image" + (f", as {first}" if more else ""))


def _named(image: Path, file: AnnotationFile) -> list[str | int]:
    """The name that a file has for an image: the end of its path, else the name of its file, else that without suffix.

    Raises:
        ValueError: several names may be meant.
    """
    if not file.names_images:
        return []
    names = [name for name in file.images if isinstance(name, str)]
    whole = image.absolute()
    tests = (
        lambda name: PurePosixPath(name).parts == whole.parts[-len(PurePosixPath(name).parts) :],
        lambda name: PurePosixPath(name).name == image.name,
        lambda name: name == image.stem,
    )
    for test in tests:
        found = [name for name in names if test(name)]
        if len(found) > 1:
            raise ValueError(f"{file.path}: both {found[0]} and {found[1]} may be --support={image}; rename the image")
        if found:
            return found
    return []


def _find(name: str | int, file: AnnotationFile) -> Path:
    """The image of a name that a file has, relative to the file, or beside it."""
    beside = file.path.parent
    places = [beside / str(name), beside / PurePosixPath(str(name)).name]
    for place in places:
        if place.is_file():
            return place
    raise ValueError(f"{file.path}: annotates {name}, and there is no {places[0]}; name the image by --support=FILE")


def _tell(file: AnnotationFile) -> str:
    names = list(map(str, file.images))
    more = f" and {counted(len(names) - SHOWN, 'other')}" if len(names) > SHOWN else ""
    return f"{file.path} annotates {', '.join(names[:SHOWN])}{more}"


def _read(source: Path | Frame, file: AnnotationFile, entry: Entry, clips: Mapping[str, OpenClip]) -> Support:
    frame = frame_of_file(source, clips) if isinstance(source, Path) else source
    if frame is None:
        path, image, name = source, read_upright(source), ""
    else:
        clip, number = frame
        path, image, name = clip.path_of(number), clip.frames[number], clip.name_of(number)
    size = image.shape[:2]
    if entry.size not in (None, size):
        raise ValueError(
            f"{file.path}: is for an image of {entry.size[0]}x{entry.size[1]} pixels (height x width), and {path} has "
            f"{size[0]}x{size[1]}{_turned(path, size, entry.size)}"
        )
    return Support(path, image, file.path, entry.marks(size), name)


def _turned(path: Path, size: Size, drawn: Size) -> str:
    if size != tuple(drawn[::-1]) or not path.is_file():
        return ""
    with open_image(path) as image:
        orientation = read_orientation(image)
    if orientation < 5:
        return ""
    return f" as viewers turn it by its EXIF tag (orientation {orientation}); annotate it as they show it"
