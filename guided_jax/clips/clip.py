"""What a clip is, wherever its frames lie."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from jaxtyping import UInt8

from guided_jax.inputs import check_rgb, check_whole


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of one size: `len(clip)` of them, `clip[number]` from 0 on, each read when it is asked for.

    Attributes:
        title: what the clip is called in messages.
        names: of the frames, in their order, each another.
        size: height and width of the frames in pixels.
        rate: frames a second; None where nothing tells.
        read: gives a frame by its number, RGB uint8 [h, w, 3], each time the same.
    """

    title: str
    names: tuple[str, ...]
    size: tuple[int, int]
    rate: float | None
    read: Callable[[int], UInt8[np.ndarray, "h w 3"]]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: SupportsIndex) -> UInt8[np.ndarray, "h w 3"]:
        """A frame, RGB, 0 to 255.

        Raises:
            IndexError: there is no such frame.
            ValueError: the number is no whole number, or the frame cannot be read or has another size.
        """
        number = check_whole(number, f"{self.title}: the number of a frame")
        if not 0 <= number < len(self):
            raise IndexError(f"{self.title}: there is no frame {number}; they are 0 to {len(self) - 1}")
        what = f"{self.title}: frame {number} ({self.names[number]})"
        frame = check_rgb(self.read(number), what)
        if frame.shape[:2] != self.size:
            (h, w), (height, width) = frame.shape[:2], self.size
            raise ValueError(
                f"{what} has {h}x{w} pixels (height x width), the first one {height}x{width}: a clip has one size"
            )
        return frame


def number_names(number: int) -> tuple[str, ...]:
    """Names of frames that have none: 00000, 00001 and so on."""
    digits = max(5, len(str(number - 1)))
    return tuple(f"{each:0{digits}d}" for each in range(number))
