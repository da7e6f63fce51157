"""Segmenting clips, and the files of each: every frame's, and a video of the overlays.

Where frames of a clip are annotated, guidance follows it from them, forward and backward
(`guided_jax.session.Session.propagate`). Where none is, one frame is segmented as other images are, and guidance
follows the clip from there. A model whose guidance cannot follow segments frame by frame.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.datasets.reading.images import read_upright, upright_size
from experiments.drawing.overlays import overlay
from experiments.evaluation.video_files import davis_palette
from experiments.segmenting.outputs import Segmented, file_of, write
from experiments.segmenting.plan import Plan, are_done
from experiments.segmenting.queries import Query
from experiments.segmenting.videos import write_video
from guided_jax.clips import Clip, open_clip
from guided_jax.session import Session
from guided_jax.session.marks import LabelMap

LOOKS = 8
"""Frames of a clip that are looked at to find the one that guidance shall follow it from."""


class OpenClip(NamedTuple):
    """A query that is a clip, and its frames."""

    query: Query
    frames: Clip

    def name_of(self, number: int) -> str:
        """The name of a frame's outputs, and of the image that it is in a session."""
        return f"{self.query.name}/{self.frames.names[number]}"

    def path_of(self, number: int) -> Path:
        """The file of a frame; of a video, the name of the frame below the path of the file."""
        return self.query.frames[number] if self.query.frames else self.query.path / self.frames.names[number]

    def suffix_of(self, number: int) -> str:
        """Of the file of a frame; that of its mask where the clip is a video."""
        return self.query.frames[number].suffix if self.query.frames else ".png"


Frame = tuple[OpenClip, int]
"""A clip and the number of one of its frames, from 0."""


def open_clips(queries: Sequence[Query]) -> dict[str, OpenClip]:
    """Opens the clips among queries, by name.

    Raises:
        DatasetError, ValueError: one cannot be read, or two of its frames have one name.
    """
    return {query.name: OpenClip(query, _open(query)) for query in queries if query.is_clip}


def _open(query: Query) -> Clip:
    if not query.frames:
        return open_clip(query.path)
    names = tuple(file.stem for file in query.frames)
    if twice := next((name for number, name in enumerate(names) if name in names[:number]), None):
        raise ValueError(f"{query.path}: two frames of this clip have the name {twice}; rename one of them")
    size = upright_size(query.frames[0])
    return Clip(str(query.path), names, size, None, lambda number: read_upright(query.frames[number]))


def find_frame(name: str, clips: Mapping[str, OpenClip]) -> Frame | None:
    """The frame that a name means: that of its outputs, with or without a suffix."""
    clip = clips.get(PurePosixPath(name).parent.as_posix())
    for frame in (PurePosixPath(name).name, PurePosixPath(name).stem):
        if clip is not None and frame in clip.frames.names:
            return clip, clip.frames.names.index(frame)
    return None


def frame_of_file(path: Path, clips: Mapping[str, OpenClip]) -> Frame | None:
    """The frame that an image file is."""
    resolved = path.resolve()
    for clip in clips.values():
        for number, file in enumerate(clip.query.frames):
            if file.name == path.name and file.resolve() == resolved:
                return clip, number
    return None


def is_clip_done(clip: OpenClip, plan: Plan) -> bool:
    """Whether all files of a clip are there, and none of them is older than the clip."""
    query = clip.query
    sources = query.frames or [query.path] * len(clip.frames)
    if "mp4" in plan.formats and not are_done([file_of(plan.out, "mp4", query.name)], query.path):
        return False
    files = (
        [file_of(plan.out, kind, clip.name_of(number)) for kind in plan.of_images] for number in range(len(sources))
    )
    return all(are_done(each, source) for each, source in zip(files, sources, strict=True))


def follow_clip(session: Session, clip: OpenClip, plan: Plan, advance: Callable[[], object]) -> None:
    """Segments a clip by guidance that follows it from its annotated frames.

    Args:
        session: that holds the clip under its name.
        clip: of which a frame is annotated with an object.
        plan: what is to be done.
        advance: is called after each frame.
    """
    _write_clip(clip, session.propagate(clip.query.name, start=0, direction="both"), plan, advance)


def segment_clip(session: Session, clip: OpenClip, plan: Plan, advance: Callable[[], object]) -> None:
    """Segments every frame of a clip on its own, by what guides the session; it holds the clip under its name."""
    labelled = ((number, session.mask(clip.name_of(number))) for number in range(len(clip.frames)))
    _write_clip(clip, labelled, plan, advance)


def annotate_first_frame(session: Session, clip: OpenClip) -> int | None:
    """Annotates the first frame that shows all objects with the mask that a session gives it; gives its number.

    A few frames all over the clip are looked at. Where none shows all objects, it is the first that shows the most. How
    sure the model is would be no better sign: it is the surest of small parts.

    Args:
        session: that annotated images guide, and that holds the clip under its name.
        clip: of which no frame is annotated.

    Returns:
        None where none of the frames shows an object; then nothing is annotated.
    """
    most, best = 0, None
    for number in np.unique(np.linspace(0, len(clip.frames) - 1, LOOKS).round().astype(int)).tolist():
        labels = session.mask(clip.name_of(number))
        if (shown := len(np.unique(labels[labels > 0]))) > most:
            most, best = shown, (number, labels)
        if most == len(session.objects):
            break
    if best is None:
        return None
    number, labels = best
    session.annotate(clip.name_of(number), labels)
    return number


def _write_clip(
    clip: OpenClip,
    labelled: Iterable[tuple[int, UInt8[np.ndarray, "h w"]]],
    plan: Plan,
    advance: Callable[[], object],
) -> None:
    """Writes the files of frames as they come, in any order, and then the video."""
    kept: dict[int, LabelMap] = {}
    for number, labels in labelled:
        name = clip.name_of(number)
        write(plan.out, plan.of_images, Segmented(name, f"{name}{clip.suffix_of(number)}", clip.frames[number], labels))
        if "mp4" in plan.formats:
            kept[number] = LabelMap.of(labels)
        advance()
    if "mp4" in plan.formats:
        path = file_of(plan.out, "mp4", clip.query.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        overlays = (
            overlay(clip.frames[number], kept[number].labels(), davis_palette()) for number in range(len(clip.frames))
        )
        write_video(path, overlays, clip.frames.size, clip.frames.rate)
