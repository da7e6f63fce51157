"""Clicks: the simulated user of interactive segmentation, and the number of clicks it needs (NoC).

The user (Xu et al., Deep interactive object selection, CVPR 2016, in the form of Sofiiuk et al., RITM, 2021, its
`Clicker`, which later work shares): of the missed and of the wrongly taken pixels, void ones left out and the frame
padded by one pixel, the one farthest from the edge of its region by exact distance, pixels clicked before left out. The
click is positive if the missed region reaches strictly deeper, else negative; the first pixel in row-major order wins.
That is the largest *inscribed distance*, not the largest region. It starts from an empty mask.

NoC@t: the number of the first click after which the IoU is at least t, or the limit (20) where none is; its mean over
objects. Objects "at the limit" (the field's ">=20") have NoC = limit: those that fail and those that take every click.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from guided_jax.episode import UNKNOWN, Click
from guided_jax.inputs import describe
from guided_jax.scoring.inputs import as_ious, as_labels, check_limit, check_mask, check_masks, check_share

LIMIT = 20
"""Clicks on an object at most, unless another number is given."""

TARGETS = (0.80, 0.85, 0.90)
"""IoUs whose number of clicks is counted, unless others are given."""


def next_click(
    prediction: Bool[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"],
    target: UInt8[np.ndarray, "h w"],
    clicks: Sequence[Click] = (),
) -> Click | None:
    """Where the simulated user clicks next: label 1 on the object, label 0 off it.

    Args:
        prediction: mask so far, zero where negative.
        target: 0 negative, 255 void, anything else the object.
        clicks: those made before; their pixels are not clicked again.

    Returns:
        The click, or None where no wrong pixel is left to click. (RITM's code then makes a negative click at the top
        left pixel, whatever lies there.)

    Raises:
        ValueError: the masks are not uint8 or bool, or not of one size.
    """
    prediction, target = as_labels(("prediction", "target"), prediction, target)
    taken = prediction > 0
    wanted = (target > 0) & (target != UNKNOWN)
    missed, wrong = _deepest(wanted & ~taken, clicks), _deepest(taken & (target == 0), clicks)
    depth, row, column = missed if missed[0] > wrong[0] else wrong
    return Click(row, column, int(missed[0] > wrong[0])) if depth else None


def _deepest(region: Bool[np.ndarray, "h w"], clicks: Sequence[Click]) -> tuple[float, int, int]:
    """Distance to the edge, row and column of the deepest pixel; distance 0 where there is none."""
    left, top, width, height = cv2.boundingRect(region.view(np.uint8))
    if not width:
        return 0.0, 0, 0
    # A ring of one pixel about the box of the region holds a nearest pixel outside it.
    inside = np.pad(region[top : top + height, left : left + width].view(np.uint8), 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # Squares of distances are whole numbers. OpenCV's last bit follows the alignment of the memory: of equally deep
    # pixels chance would choose.
    depth = np.rint(np.square(depth, dtype=np.float64))
    for click in clicks:
        row, column = click.row - top, click.column - left
        if 0 <= row < height and 0 <= column < width:
            depth[row, column] = 0
    row, column = divmod(int(depth.argmax()), width)
    return math.sqrt(depth[row, column]), top + row, left + column


def click_iou(
    prediction: Bool[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "h w"]
) -> float:
    """Intersection over union of a mask and the object, void pixels left out; 1 where both are empty.

    Raises:
        ValueError: the masks are not uint8 or bool, or not of one size.
    """
    prediction, target = as_labels(("mask", "target"), prediction, target)
    known = target != UNKNOWN
    taken, wanted = (prediction > 0) & known, (target > 0) & known
    union = np.count_nonzero(taken | wanted)
    return float(np.count_nonzero(taken & wanted) / union) if union else 1.0


class Clicked(NamedTuple):
    """What a simulated user did.

    Attributes:
        clicks: in their order.
        ious: intersection over union of the mask after each click, in [0, 1].
    """

    clicks: list[Click]
    ious: list[float]


def simulate_clicks(
    segment: Callable[[list[Click]], np.ndarray],
    target: UInt8[np.ndarray, "h w"],
    *,
    limit: int = LIMIT,
    stop_at: float | None = None,
) -> Clicked:
    """Clicks until the limit, the IoU `stop_at`, or until no wrong pixel is left.

    Args:
        segment: from the clicks so far to a mask [h, w], uint8 or bool, zero where negative.
        target: 0 negative, 255 void, anything else the object.
        limit: greatest number of clicks.
        stop_at: IoU in [0, 1] at which the user stops; None: none, for the whole curve of the IoU over clicks.

    Raises:
        ValueError: the target has no object, the limit is below 1, `stop_at` is no IoU, or a mask is not uint8 or
            bool, or of another size.
    """
    limit = check_limit(limit)
    if stop_at is not None:
        check_share(stop_at, "stop_at")
    if not callable(segment):
        raise ValueError(f"segment is {describe(segment)}; it must be a function from the clicks to a mask")
    check_mask(target, "target")
    target = np.asarray(target).astype(np.uint8, copy=False)
    if not np.any((target > 0) & (target != UNKNOWN)):
        raise ValueError("the target has no object to click on: all of it is 0 or 255")
    clicks, ious = [], []
    mask = np.zeros(target.shape, np.uint8)
    while len(clicks) < limit:
        click = next_click(mask, target, clicks)
        if click is None:
            break
        clicks.append(click)
        mask = segment(list(clicks))
        check_masks(("mask", "target"), mask, target)
        ious.append(click_iou(mask, target))
        if stop_at is not None and ious[-1] >= stop_at:
            break
    return Clicked(clicks, ious)


def noc(ious: Sequence[float] | Float[np.ndarray, " n"], target: float, limit: int = LIMIT) -> int:
    """Number of the first click with an IoU of at least `target`, or `limit` if none of the first `limit` has it.

    Args:
        ious: IoU after each click, in [0, 1]; clicking may have stopped early.
        target: IoU to reach, in [0, 1].
        limit: greatest number of clicks.

    Raises:
        ValueError: an IoU is not in [0, 1], or the limit is below 1.
    """
    check_share(target, "target")
    limit = check_limit(limit)
    reached = np.flatnonzero(as_ious(ious)[:limit] >= target)
    return int(reached[0]) + 1 if len(reached) else limit


def extend(ious: Sequence[float] | Float[np.ndarray, " n"], limit: int = LIMIT) -> Float[np.ndarray, " limit"]:
    """The IoU after each of `limit` clicks; after the last click that was made it stays.

    Raises:
        ValueError: there is no IoU or one not in [0, 1], or the limit is below 1.
    """
    limit = check_limit(limit)
    ious = as_ious(ious)[:limit]
    if not len(ious):
        raise ValueError("ious is empty; it needs the IoU after at least one click")
    return np.pad(ious, (0, limit - len(ious)), mode="edge")


class ClickScore(NamedTuple):
    """Scores of a set of objects.

    Attributes:
        noc: mean number of clicks, by target IoU.
        at_limit: number of objects whose NoC is the limit, by target IoU.
        mean_iou: mean IoU after 1, 2, ... clicks; an object on which clicking stopped early counts with its last IoU.
        objects: number of objects.
    """

    noc: dict[float, float]
    at_limit: dict[float, int]
    mean_iou: list[float]
    objects: int


def click_score(ious: Sequence[Sequence[float]], targets: Sequence[float] = TARGETS, limit: int = LIMIT) -> ClickScore:
    """Scores objects from their IoUs after each click.

    Args:
        ious: of each object, at least one each. For a curve that does not stop at a target, `simulate_clicks` without
            `stop_at`; NoC is the same either way.
        targets: IoUs to reach, in [0, 1].
        limit: greatest number of clicks.

    Raises:
        ValueError: there is no object, one without a click, or a share that is not in [0, 1].
    """
    ious = [as_ious(each, f"ious of object {i}") for i, each in enumerate(ious)]
    if not len(ious) or not all(len(each) for each in ious):
        raise ValueError("every object needs the IoU after at least one click, and there must be an object")
    numbers = {target: np.array([noc(each, target, limit) for each in ious]) for target in targets}
    return ClickScore(
        noc={target: float(each.mean()) for target, each in numbers.items()},
        at_limit={target: int((each == limit).sum()) for target, each in numbers.items()},
        mean_iou=np.mean([extend(each, limit) for each in ious], axis=0).tolist(),
        objects=len(ious),
    )
