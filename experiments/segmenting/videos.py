"""Video files of frames: H.264 in MP4, which browsers and players show, by PyAV."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from data_pipelines.disk import replacing

RATE = 24.0
"""Frames a second of a clip that does not tell its own, as a folder of images."""

FINEST_RATE = 10_000
"""The greatest denominator of a rate, in frames a second: NTSC's 30000/1001 is kept."""


def write_video(
    path: Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], size: tuple[int, int], rate: float | None
) -> None:
    """Writes RGB frames of one size as a video, whole or not at all.

    Args:
        path: of the file.
        frames: one at least.
        size: height and width of the frames; where one is odd, the last row or column is repeated: H.264 halves both.
        rate: frames a second; None: `RATE`.
    """
    bottom, right = (side % 2 for side in size)
    with replacing(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate or RATE).limit_denominator(FINEST_RATE))
        stream.height, stream.width, stream.pix_fmt = size[0] + bottom, size[1] + right, "yuv420p"
        for frame in frames:
            even = cv2.copyMakeBorder(frame, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
