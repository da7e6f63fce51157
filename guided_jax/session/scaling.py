"""Large images: a session may look at a smaller one, and gives its masks at the image's own size.

A network knows things at the sizes that it was trained at, and its cost grows with the pixels. So an image is scaled
down to a greatest side, marks are taken to the pixels there that hold them, and scores are interpolated back.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from guided_jax.episode import Click
from guided_jax.session.edits import Marks
from guided_jax.session.marks import LabelMap, Point, Scribble

Size = tuple[int, int]
"""Height and width in pixels."""


def shown_size(size: Size, max_side: int) -> Size:
    """The size at which an image is looked at: its longer side is at most `max_side` pixels; 0 is its own."""
    longer = max(size)
    if not 0 < max_side < longer:
        return size
    height, width = (max(1, round(side * max_side / longer)) for side in size)
    return height, width


def shrink(image: UInt8[np.ndarray, "h w 3"], size: Size) -> UInt8[np.ndarray, "h2 w2 3"]:
    """An image at a smaller size, averaged over areas; at its own it is the same array."""
    return image if image.shape[:2] == size else cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def shrink_marks(marks: Marks, size: Size, shown: Size) -> Marks:
    """Marks on an image as they lie on a smaller one; clicks and corners of scribbles in the pixel that holds them."""
    if size == shown:
        return marks

    def place(point: Point) -> Point:
        row, column = (at * new // old for at, old, new in zip(point, size, shown, strict=True))
        return row, column

    def shrunk(mark):
        match mark:
            case Click():
                return Click(*place(mark[:2]), mark.label)
            case Scribble():
                width = max(1, round(mark.width * max(shown) / max(size)))
                return Scribble(tuple(place(point) for point in mark.points), mark.label, width)
            case LabelMap():
                return LabelMap.of(cv2.resize(mark.labels(), shown[::-1], interpolation=cv2.INTER_NEAREST_EXACT))

    return tuple(shrunk(mark) for mark in marks)


def enlarge(planes: Float[np.ndarray, "*k h w"], size: Size) -> Float[np.ndarray, "*k h2 w2"]:
    """Planes at a larger size, interpolated linearly; at their own they are the same array."""
    *lead, height, width = planes.shape
    if (height, width) == size:
        return planes
    flat = planes.reshape(-1, height, width)
    enlarged = [cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in flat]
    return np.stack(enlarged).reshape(*lead, *size)
