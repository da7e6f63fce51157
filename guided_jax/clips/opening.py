"""Opens a clip, whatever its frames come in."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from guided_jax.clips.arrays import clip_of_arrays, store_frames
from guided_jax.clips.clip import Clip
from guided_jax.clips.folder import clip_of_folder
from guided_jax.inputs import describe, is_array


def open_clip(frames: Any, *, title: str = "") -> Clip:
    """Opens a clip; no frame but the first is read, unless only reading tells how many there are.

    Args:
        frames: one of

            * a folder of images, in the order of their names, numbers in them by value;
            * a video file, of which an index is made; a frame is then decoded when it is asked for, to the exact one;
            * uint8 [frames, height, width, 3], of numpy or JAX, or a list or tuple of such images. They are not
              copied, so that they must not change, and a `numpy.memmap` stays on disk;
            * any other iterable of images, as a generator. It is read to its end now, an image at a time, and kept as
              PNG, which loses nothing, in a temporary folder that goes with the clip (`TMPDIR` says where);
            * a `Clip`, which is given back.
        title: what the clip is called in messages; empty: its path, or `the clip`.

    Raises:
        ValueError: there is no such folder or file, it holds no frames or none that can be read, or this is nothing of
            the above.
    """
    if isinstance(frames, Clip):
        return frames
    if isinstance(frames, str | Path):
        path, title = Path(frames), title or str(frames)
        if path.is_dir():
            return clip_of_folder(path, title)
        if not path.is_file():
            raise ValueError(f"{title}: there is no such folder of frames or video file")
        from guided_jax.clips.video_file import clip_of_video  # PyAV is loaded where a video is read alone

        return clip_of_video(path, title)
    title = title or "the clip"
    if is_array(frames) or isinstance(frames, list | tuple):
        return clip_of_arrays(np.asarray(frames) if is_array(frames) else frames, title)
    if isinstance(frames, Iterable):
        return store_frames(frames, title)
    raise ValueError(
        f"the frames of a clip are {describe(frames)}; they must be a folder, a video file, RGB images, or a generator "
        "of them"
    )
