"""Clicks as a user of interactive segmentation is imagined to make them (Xu et al. 2016, DIOS, section 3.2).

Positive clicks lie inside the object, away from its boundary and from each other. Negative ones are drawn by one of
three strategies: at random in a band around the object, on the other objects of the image, or around the object, each
as far as possible from the object and from those before. The numbers and distances are those of the publication.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from guided_jax.episode import UNKNOWN

POSITIVES = 5
"""Most positive clicks; one at least."""

IN_BAND, ON_OBJECT, AROUND = 10, 5, 10
"""Negative clicks of the three strategies: most in the band, most on each other object, and all around."""

STEP = 10
"""Least distance between two clicks of a draw in pixels."""

MARGIN = 5
"""Least distance of a click from the object's boundary in pixels, on either side."""

BAND = 40
"""Greatest distance of a negative click from the object, where it is not on another one."""


def draw_clicks(
    rng: np.random.Generator, target: UInt8[np.ndarray, "h w"], objects: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """Annotates an object by clicks; an object without a pixel so far inside is clicked on where it is deepest.

    Args:
        rng: advanced by the call.
        target: 1 the object, 0 the rest, 255 void, which is never clicked on.
        objects: the other objects of the image, numbered from 1; 0 where there is none.

    Returns:
        The annotation: 1 and 0 on the clicked pixels, 255 elsewhere.
    """
    annotation = np.full(target.shape, UNKNOWN, np.uint8)
    _click(rng, annotation, target == 1, int(rng.integers(1, POSITIVES, endpoint=True)), 1)
    around = _distance_to(target == 1)
    band = (target == 0) & (around > MARGIN) & (around <= BAND)
    strategy = int(rng.integers(3))
    if strategy == 0:
        _scatter(rng, annotation, band, int(rng.integers(0, IN_BAND, endpoint=True)), 0)
    elif strategy == 1:
        for number in np.unique(objects[(objects > 0) & (target == 0)]):
            region = (objects == number) & (target == 0)
            _click(rng, annotation, region, int(rng.integers(0, ON_OBJECT, endpoint=True)), 0)
    else:
        _surround(rng, annotation, band, around)
    return annotation


def _click(rng, annotation, region: Bool[np.ndarray, "h w"], number: int, label: int) -> None:
    """Clicks inside a region, away from its boundary; the image's border is none."""
    if not number or not region.any():
        return
    depth = _distance_to(~region)
    inside = depth > MARGIN
    _scatter(rng, annotation, inside if inside.any() else depth == depth.max(), number, label)


def _scatter(rng, annotation, region: Bool[np.ndarray, "h w"], number: int, label: int) -> None:
    """Clicks at random in a region, each `STEP` pixels away from the others, as long as there is room."""
    free = region.copy()
    for _ in range(number):
        places = np.flatnonzero(free)
        if not len(places):
            return
        row, column = divmod(int(rng.choice(places)), free.shape[1])
        annotation[row, column] = label
        free &= _distance_from(row, column, free.shape) > STEP


def _surround(rng, annotation, band: Bool[np.ndarray, "h w"], around: Float32[np.ndarray, "h w"]) -> None:
    """Clicks at random in the band, then each time farthest from the object and from the clicks so far."""
    places = np.flatnonzero(band)
    if not len(places):
        return
    row, column = divmod(int(rng.choice(places)), band.shape[1])
    nearest = around.copy()
    for _ in range(AROUND):
        annotation[row, column] = 0
        nearest = np.minimum(nearest, _distance_from(row, column, band.shape))
        row, column = divmod(int(np.argmax(np.where(band, nearest, -1))), band.shape[1])
        if nearest[row, column] <= 0:
            return


def _distance_to(region: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Distance of each pixel to the nearest one of a region; far beyond every image where there is none."""
    if not region.any():
        return np.full(region.shape, sum(region.shape), np.float32)
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _distance_from(row: int, column: int, shape: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    rows, columns = np.arange(shape[0], dtype=np.float32), np.arange(shape[1], dtype=np.float32)
    return np.hypot(rows[:, None] - row, columns[None] - column)
