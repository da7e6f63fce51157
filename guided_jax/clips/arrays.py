"""Clips of arrays: as they lie in memory, or of a generator, whose frames are kept in a temporary folder."""

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guided_jax.clips.clip import Clip, number_names
from guided_jax.clips.images import read_image, write_image
from guided_jax.inputs import check_rgb


def clip_of_arrays(frames: Sequence[Any] | np.ndarray, title: str) -> Clip:
    """A clip of images that stay where they are.

    Raises:
        ValueError: there are none, or they are no RGB images of one size.
    """
    if isinstance(frames, np.ndarray):
        frames = check_rgb(frames, f"{title}: the array of frames", "frames")
    if not len(frames):
        raise _no_frames(title)
    size = check_rgb(frames[0], f"{title}: frame 0").shape[:2]
    clip = Clip(title, number_names(len(frames)), size, None, lambda number: frames[number])
    if not isinstance(frames, np.ndarray):
        for _ in clip:  # nothing is copied: each is looked at
            pass
    return clip


def store_frames(frames: Iterable[Any], title: str) -> Clip:
    """Reads images to their end, one at a time, and keeps them as PNG in a temporary folder.

    The folder is removed when the clip is forgotten, at the latest when Python ends.

    Raises:
        ValueError: there are none, one is no RGB image of the size of the first, or they cannot be written.
    """
    folder = _Folder()
    size, number = None, 0
    for number, frame in enumerate(frames, 1):
        name = f"{title}: frame {number - 1}"
        frame = check_rgb(frame, name)
        if frame.shape[:2] != (size := size or frame.shape[:2]):
            (h, w), (height, width) = frame.shape[:2], size
            raise ValueError(f"{name} has {h}x{w} pixels, the first one {height}x{width}: a clip has one size")
        write_image(_file(folder, number - 1), frame)
    if size is None:
        raise _no_frames(title)
    return Clip(title, number_names(number), size, None, lambda each: read_image(_file(folder, each)))


class _Folder:
    """A temporary folder that is removed when nothing refers to this, at the latest when Python ends."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="guided_jax_clip_"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _file(folder: _Folder, number: int) -> Path:
    return folder.path / f"{number}.png"


def _no_frames(title: str) -> ValueError:
    return ValueError(f"{title}: there are no frames; it needs one at least")
