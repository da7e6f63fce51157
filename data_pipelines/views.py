"""Views of a stored image: in its own size or scaled down, mirrored, or a random crop of it."""

import hashlib
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import scale_image, scale_labels, scaled_size
from data_pipelines.datasets.record import Record, decode_image

CROP_AREA, CROP_ASPECT = (0.25, 1.0), (3 / 4, 4 / 3)
"""Ranges of a crop's area, relative to the image's, and of its aspect ratio, relative to the image's."""


class View(NamedTuple):
    """How a stored image is shown.

    Attributes:
        max_side: the longer side is scaled down to it; 0 keeps the size.
        mirrored: whether left and right are exchanged.
        crop: 0 shows the whole image; n from 1 on the n-th random crop of it, resized to the size of the whole.
    """

    max_side: int = 0
    mirrored: bool = False
    crop: int = 0


WINDOW_STEP = 32
"""Windows begin at multiples of so many pixels, where the maps of a trunk with up to five stages have whole cells."""


class Window(NamedTuple):
    """The part of a shown image that an episode sees: from (top, left), at most `side` pixels high and wide."""

    top: int
    left: int
    side: int


def draw_window(rng: np.random.Generator, target: UInt8[np.ndarray, "h w"], side: int) -> Window:
    """A window that shows a pixel of the task, drawn evenly, at any place in it; any window where there is none."""
    shown = np.flatnonzero(target == 1)
    pixel = int(shown[rng.integers(len(shown))]) if len(shown) else int(rng.integers(target.size))
    corner = []
    for at, extent in zip(divmod(pixel, target.shape[1]), target.shape, strict=True):
        last = -(-max(0, extent - side) // WINDOW_STEP)
        first = max(0, -(-(at - side + 1) // WINDOW_STEP))
        corner.append(WINDOW_STEP * int(rng.integers(first, min(last, at // WINDOW_STEP) + 1)))
    return Window(*corner, side)


def cut(array: np.ndarray, window: Window) -> np.ndarray:
    """What a window shows of an array [h, w, ...]."""
    return array[window.top : window.top + window.side, window.left : window.left + window.side]


class Crop(NamedTuple):
    """A part of an image, in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool


def view_image(record: Record, view: View) -> UInt8[np.ndarray, "h w 3"]:
    """The image of a record as a view shows it."""
    image = scale_image(decode_image(record.image), view.max_side)
    return _show(image, record, view, cv2.INTER_LINEAR)


def view_labels(labels: UInt8[np.ndarray, "h w"], record: Record, view: View) -> UInt8[np.ndarray, "h2 w2"]:
    """A label map of a record's image as a view shows it."""
    return _show(scale_labels(labels, view.max_side), record, view, cv2.INTER_NEAREST_EXACT)


def view_key(record: Record, view: View) -> str:
    """The name of a view's features: hash of the image's encoded bytes and of all that is done to it."""
    size = record.height, record.width
    scaled = view.max_side if scaled_size(*size, view.max_side) != size else 0
    digest = hashlib.sha256(record.image)
    digest.update(f"\nmax_side={scaled} mirrored={int(view.mirrored)}".encode())
    if view.crop:
        digest.update(f" crop={view.crop} area={CROP_AREA} aspect={CROP_ASPECT}".encode())
    return digest.hexdigest()


def crop_of(record: Record, view: View) -> Crop:
    """Where the crop of a view lies on the scaled image; a function of the image's bytes and the crop's number alone.

    Area and aspect ratio are drawn as Inception's random resized crop draws them (Szegedy et al., *Going Deeper with
    Convolutions*, 2015, section 6), half of the crops are mirrored.
    """
    height, width = scaled_size(record.height, record.width, view.max_side)
    seed = hashlib.sha256(record.image).digest()[:8]
    rng = np.random.default_rng([int.from_bytes(seed, "little"), view.crop])
    area, aspect = rng.uniform(*CROP_AREA), np.exp(rng.uniform(*np.log(CROP_ASPECT)))
    rows = min(height, max(1, round(height * float(np.sqrt(area / aspect)))))
    columns = min(width, max(1, round(width * float(np.sqrt(area * aspect)))))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    return Crop(top, left, rows, columns, bool(rng.random() < 0.5))


def _show(array: np.ndarray, record: Record, view: View, interpolation: int) -> np.ndarray:
    mirrored = view.mirrored
    if view.crop:
        size, crop = array.shape[:2], crop_of(record, view)
        array = array[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        array = cv2.resize(array, size[::-1], interpolation=interpolation)
        mirrored = mirrored != crop.mirrored
    return np.ascontiguousarray(array[:, ::-1]) if mirrored else array
