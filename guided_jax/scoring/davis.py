"""DAVIS: region similarity J and boundary accuracy F of video objects, as the official evaluation of 2017 counts them.

Perazzi et al., A benchmark dataset and evaluation methodology for video object segmentation, CVPR 2016; Pont-Tuset et
al., The 2017 DAVIS challenge, with the code of the semi-supervised track (davis2017-evaluation):

- J: intersection over union of an object in a frame; 1 where both masks are empty.
- F: harmonic mean of the precision and recall of the boundary pixels, where one matches if a boundary pixel of the
  other mask lies within a disk of radius ceil(0.008 * diagonal) (8 pixels at 480x854). No boundary in the prediction
  alone: precision 1, recall 0; in the truth alone: precision 0, recall 1 (F is 0 for either); in neither: F is 1.
- The first frame is given and the last one left out: frames [1:-1] are scored.
- The objects are 1 to the highest id of the first frame; void (255) of the truth is background. A prediction may lack
  objects, an id that is no object is an error. Ids are not matched.
- Mean, recall (share of frames above 0.5) and decay (mean of the first quarter of the frames less that of the last)
  over the frames of an object, then the mean over all *objects*, not sequences. J&F is the mean of the two means.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8

from guided_jax.episode import UNKNOWN
from guided_jax.inputs import check_size, check_whole, describe
from guided_jax.scoring.inputs import as_bools, as_labels, check_mask

TOLERANCE = 0.008
"""Distance within which boundaries match, as a share of the diagonal of the frame."""

BINS = 4
"""Parts of a video; the decay is the mean of the first less that of the last."""


def region_similarity(prediction: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"]) -> float:
    """J: intersection over union; 1 where both are empty.

    Raises:
        ValueError: the masks are not bool, or not of one size.
    """
    prediction, target = as_bools(("prediction", "truth"), prediction, target)
    return _overlap(prediction, target)


def _overlap(prediction: np.ndarray, target: np.ndarray) -> float:
    union = np.count_nonzero(prediction | target)
    return float(np.count_nonzero(prediction & target) / union) if union else 1.0


def find_boundary(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Boundary pixels, one wide: those that differ from their right, lower or lower right neighbour.

    David Martin's `seg2bmap` (2003): no pixel differs from the outside of the frame.

    Raises:
        ValueError: the mask is not bool.
    """
    check_mask(mask, "mask", ("bool",))
    mask = np.asarray(mask)
    boundary = np.zeros_like(mask)
    boundary[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    boundary[:-1] |= mask[:-1] ^ mask[1:]
    boundary[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return boundary


def boundary_radius(shape: tuple[int, ...], tolerance: float = TOLERANCE) -> int:
    """Radius in pixels within which boundaries match, of frames of a shape (height, width).

    Raises:
        ValueError: the shape is none, or the tolerance is negative or no number.
    """
    shape = check_size(shape, "the shape of a frame")
    if not 0 <= tolerance < np.inf:
        raise ValueError(f"tolerance is {describe(tolerance)}; it must be a share of the diagonal, 0 or more")
    return int(np.ceil(tolerance * np.linalg.norm(shape)))


def boundary_accuracy(prediction: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"], radius: int) -> float:
    """F: harmonic mean of the precision and the recall of the boundary.

    Args:
        prediction: mask of the object.
        target: true mask.
        radius: of `boundary_radius`, in pixels.

    Raises:
        ValueError: the masks are not bool, or not of one size, or the radius is no whole number from 0 on.
    """
    prediction, target = as_bools(("prediction", "truth"), prediction, target)
    if (radius := check_whole(radius, "radius")) < 0:
        raise ValueError(f"radius is {radius}; it must be 0 or more")
    ours, theirs = find_boundary(prediction), find_boundary(target)
    found, wanted = np.count_nonzero(ours), np.count_nonzero(theirs)
    if not found or not wanted:
        return 1.0 if found == wanted else 0.0
    precision = np.count_nonzero(ours & _near(theirs, radius)) / found
    recall = np.count_nonzero(theirs & _near(ours, radius)) / wanted
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _box(mask: np.ndarray, other: np.ndarray) -> tuple[slice, slice]:
    """The box around two masks and one pixel more, within the frame: no boundary lies outside."""
    height, width = mask.shape
    x, y, wide, high = cv2.boundingRect((mask | other).view(np.uint8))
    return slice(max(y - 1, 0), min(y + high + 1, height)), slice(max(x - 1, 0), min(x + wide + 1, width))


def _near(boundary: np.ndarray, radius: int) -> np.ndarray:
    """Whether a boundary pixel lies within the radius."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return cv2.dilate(boundary.view(np.uint8), disk).view(bool)


def score_frame(
    prediction: UInt8[np.ndarray, "_ _"], target: UInt8[np.ndarray, "_ _"], objects: int
) -> Float64[np.ndarray, "k 2"]:
    """J and F of every object in a frame.

    Args:
        prediction: object ids, 0 background.
        target: true ids; void (255) is background.
        objects: number of objects; their ids are 1 and up.

    Raises:
        ValueError: a map is not uint8 (bool: a single object), the sizes differ, or the prediction has an id that is
            no object.
    """
    prediction, target = as_labels(("prediction", "truth"), prediction, target)
    objects = check_whole(objects, "objects")
    if (highest := int(prediction.max(initial=0))) > objects:
        raise ValueError(f"the prediction has the id {highest}; the objects are 1 to {objects}, background is 0")
    radius, scores = boundary_radius(target.shape), np.empty((objects, 2))
    for k in range(objects):
        ours, theirs = prediction == k + 1, target == k + 1
        box = _box(ours, theirs)
        ours, theirs = ours[box], theirs[box]
        scores[k] = _overlap(ours, theirs), boundary_accuracy(ours, theirs, radius)
    return scores


def count_objects(first: UInt8[np.ndarray, "h w"]) -> int:
    """Number of objects of a video: the highest id of its first frame, void (255) aside.

    Raises:
        ValueError: the map is not uint8 (bool: a single object).
    """
    check_mask(first, "truth")
    first = np.asarray(first).astype(np.uint8, copy=False)
    return int(first.max(initial=0, where=first != UNKNOWN))


class Statistics(NamedTuple):
    """Statistics of J or F over the frames of an object, or their means over objects.

    Attributes:
        mean: over the frames, in [0, 1].
        recall: share of the frames with more than 0.5, in [0, 1].
        decay: mean of the first quarter of the frames less that of the last, in [-1, 1].
    """

    mean: float
    recall: float
    decay: float


def summarize(values: Float64[np.ndarray, " t"]) -> Statistics:
    """Mean, recall and decay of J or F over the scored frames of an object (`db_statistics`).

    The bins of the decay are rounded and share their end frames. The official code keeps their indices in a byte, so
    that past 256 frames its decay is undefined; here it goes on.

    Raises:
        ValueError: there is no frame.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"the values are {describe(values)}; they must be those of one or more frames [t]")
    ends = np.round(np.linspace(1, len(values), BINS + 1) + 1e-10).astype(int) - 1
    first, last = (values[ends[i] : ends[i + 1] + 1].mean() for i in (0, BINS - 1))
    return Statistics(float(values.mean()), float((values > 0.5).mean()), float(first - last))


class VideoScore(NamedTuple):
    """Scores of a video.

    Attributes:
        j: region similarity of each object k in each scored frame t, in [0, 1].
        f: boundary accuracy of the same, in [0, 1].
        frames: numbers of the scored frames, counted from 0.
    """

    j: Float64[np.ndarray, "k t"]
    f: Float64[np.ndarray, "k t"]
    frames: range


def score_video(
    predicted: Callable[[int], np.ndarray],
    truth: Callable[[int], np.ndarray],
    frames: int,
    *,
    every_frame: bool = False,
) -> VideoScore:
    """Scores a video, one frame at a time.

    Args:
        predicted: from the number of a frame to its object ids, uint8 [h, w]; called for scored frames alone. A list
            of maps goes in as its `__getitem__`.
        truth: from the number of a frame to its true ids; 255 is void.
        frames: number of frames of the video.
        every_frame: whether the first and the last frame are scored too, as in the interactive track.

    Raises:
        ValueError: no frame to score, no object in the first frame, a frame that `score_frame` refuses, or no
            functions from the number of a frame to its map.
    """
    for what, maps in {"predicted": predicted, "truth": truth}.items():
        if not callable(maps):
            raise ValueError(
                f"{what} is {describe(maps)}; it must be a function from a frame's number to its map; a list goes in "
                "as its __getitem__"
            )
    frames = check_whole(frames, "frames")
    scored = range(frames) if every_frame else range(1, frames - 1)
    if not len(scored):
        raise ValueError(f"a video of {frames} frames has none to score: the first and the last never count")
    objects = count_objects(truth(0))
    if not objects:
        raise ValueError(
            "the first frame shows no object: ids are 1 and up, 255 is void; masks of 0 and 255 must be read as 0 and 1"
        )
    scores = []
    for number in scored:
        try:
            scores.append(score_frame(predicted(number), truth(number), objects))
        except ValueError as error:
            raise ValueError(f"frame {number}: {error}") from error
    j, f = np.moveaxis(np.array(scores), -1, 0)
    return VideoScore(j.T, f.T, scored)


class ObjectScore(NamedTuple):
    """Scores of an object of a video, by its id."""

    video: str
    object_id: int
    j: Statistics
    f: Statistics


class DavisScore(NamedTuple):
    """Scores of a set of videos: means over all objects, and the objects they were taken over."""

    j_and_f: float
    j: Statistics
    f: Statistics
    objects: list[ObjectScore]


def davis_score(videos: Mapping[str, VideoScore]) -> DavisScore:
    """Scores a set of videos, by name.

    Raises:
        ValueError: there is no video.
    """
    objects = [
        ObjectScore(name, k + 1, summarize(score.j[k]), summarize(score.f[k]))
        for name, score in videos.items()
        for k in range(len(score.j))
    ]
    if not objects:
        raise ValueError("no video to score")
    j, f = (Statistics(*np.mean(each, axis=0).tolist()) for each in zip(*((o.j, o.f) for o in objects), strict=True))
    return DavisScore((j.mean + f.mean) / 2, j, f, objects)
