"""Label maps as PNG with the palette of DAVIS."""

import functools
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

COLOURS = 22
"""Of DAVIS's palette: VOC's, its brightest channel 191; the rest are greys."""


@functools.cache
def davis_palette() -> list[int]:
    """The palette of DAVIS: red, green and blue of each of 256 values, one after the other."""
    palette = []
    for value in range(256):
        if value >= COLOURS:
            palette += [value] * 3
            continue
        for channel in range(3):
            # Bits 0 to 2 set 128 in red, green and blue, bits 3 to 5 set 64.
            level = 128 * (value >> channel & 1) + 64 * (value >> (channel + 3) & 1)
            palette.append(min(level, 191))
    return palette


def to_png(labels: UInt8[np.ndarray, "h w"], palette: Sequence[int] | None = None) -> bytes:
    """A label map as a PNG of indices.

    Args:
        labels: of the pixels.
        palette: red, green and blue of each of 256 values, one after the other; None: DAVIS's.
    """
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(davis_palette() if palette is None else list(palette))  # makes it an image of indices
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
