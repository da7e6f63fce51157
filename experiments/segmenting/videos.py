"""Video files of frames, written whole or not at all."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_pipelines.disk import replacing
from guided_jax.masks.video import encode_video


def write_video(
    path: Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], size: tuple[int, int], rate: float | None
) -> None:
    """Writes RGB frames of one size as H.264 in MP4.

    Args:
        path: of the file.
        frames: one at least.
        size: height and width of the frames.
        rate: frames a second; None: that of `guided_jax.masks.video`.
    """
    with replacing(path) as file:
        encode_video(file, frames, size, rate)
