"""From a dense target to a sparse annotation: how many points per label, and which."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from guided_jax.episode import UNKNOWN

DENSE = -1
"""The count that stands for the whole target."""

CLICKS = -2
"""The count that stands for clicks as a user makes them; see `data_pipelines.selection.user_clicks`."""

SHORT = ("skip", "all")


class CountDistribution(NamedTuple):
    """A mixture of uniform distributions over whole numbers.

    Attributes:
        ranges: first and last count of each choice, both included; (DENSE, DENSE) is the whole target, (CLICKS, CLICKS)
            a user's clicks.
        weights: probability of each choice; they sum to 1.
    """

    ranges: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]


def parse_points(text: str) -> CountDistribution:
    """Parses a distribution of points per label: '5', '0-99', 'dense', 'clicks', or '0-99*0.9, dense*0.1'.

    A range is uniform over its whole numbers, both ends included; a choice without a weight has weight 1, and the
    weights are normalised. The reference trains with '0-99'.

    Raises:
        ValueError: what cannot be parsed, and what could.
    """
    return _parse_distribution(text, "points", lowest=0)


def parse_shots(text: str) -> CountDistribution:
    """Parses a distribution of support images: '1', '1-5', or '1*0.5, 5*0.5'.

    Raises:
        ValueError: what cannot be parsed, and what could.
    """
    return _parse_distribution(text, "shots", lowest=1)


def parse_counts(text: str) -> tuple[int, ...]:
    """Parses the points per label that an evaluation draws: '1,5,20,dense' gives (1, 5, 20, DENSE).

    Raises:
        ValueError: what cannot be parsed, and what could.
    """
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if word != "dense" and not _is_number(word)]
    if wrong:
        raise ValueError(
            f"points {text!r}: {wrong[0]!r} is neither a whole number nor dense; write for example 1,5,20,dense"
        )
    counts = tuple(DENSE if word == "dense" else int(word) for word in words)
    if len(set(counts)) < len(counts):
        raise ValueError(f"points {text!r}: a count occurs twice")
    return counts


def name_count(count: int) -> str:
    """The name of a count in results: '5', or 'dense'."""
    return "dense" if count == DENSE else str(count)


def most(distribution: CountDistribution) -> int:
    """The largest count that can be drawn (DENSE not considered)."""
    return max(last for _, last in distribution.ranges)


def draws_clicks(distribution: CountDistribution) -> bool:
    """Whether any choice is of a user's clicks."""
    return (CLICKS, CLICKS) in distribution.ranges


def draw_count(rng: np.random.Generator, distribution: CountDistribution) -> int:
    """Draws a count."""
    choice = 0
    if len(distribution.ranges) > 1:
        choice = int(np.searchsorted(np.cumsum(distribution.weights)[:-1], rng.random(), side="right"))
    first, last = distribution.ranges[choice]
    return first if first == last else int(rng.integers(first, last, endpoint=True))


def draw_points(
    rng: np.random.Generator, target: UInt8[np.ndarray, "h w"], points: int, *, short: str = "skip"
) -> UInt8[np.ndarray, "h w"]:
    """Annotates as many points of every label that the target holds, uniformly and without replacement.

    Args:
        rng: advanced by the call.
        target: 0 negative, 1.. positives, 255 void, never annotated.
        points: per label, or DENSE for the target itself.
        short: a label of fewer pixels than points gets none ('skip', as in the reference) or every pixel ('all').

    Returns:
        The annotation, 255 where there is none.
    """
    if short not in SHORT:
        raise ValueError(f"short is {short!r}; it must be one of {', '.join(SHORT)}")
    return _draw(rng, target, (points,), short)[0]


def nested_points(
    rng: np.random.Generator, target: UInt8[np.ndarray, "h w"], counts: Sequence[int], *, short: str = "all"
) -> UInt8[np.ndarray, "a h w"]:
    """Annotates a target several times over, each count's points within those of every larger one.

    One random order of a label's pixels serves all counts, so that a curve over points adds clicks instead of
    throwing new dice. Arguments as in `draw_points`; `short` is 'all' here, because with 'skip' a label would lose
    its points again as the count grows.
    """
    if short not in SHORT:
        raise ValueError(f"short is {short!r}; it must be one of {', '.join(SHORT)}")
    return _draw(rng, target, counts, short)


def _draw(
    rng: np.random.Generator, target: UInt8[np.ndarray, "h w"], counts: Sequence[int], short: str
) -> UInt8[np.ndarray, "a h w"]:
    annotations = np.full((len(counts), target.size), UNKNOWN, np.uint8)
    largest = max(counts)
    if largest > 0:
        flat = target.ravel()
        histogram = cv2.calcHist([target], [0], None, [256], [0, 256])  # five times as fast as np.bincount
        for label in np.flatnonzero(histogram[:UNKNOWN]):
            pixels = np.flatnonzero(flat == label)
            size = len(pixels)
            order = pixels[rng.choice(size, min(size, largest), replace=False)]
            for annotation, count in zip(annotations, counts, strict=True):
                if 0 < count <= size or (count > size and short == "all"):
                    annotation[order[:count]] = label
    annotations = annotations.reshape(len(counts), *target.shape)
    for i, count in enumerate(counts):
        if count == DENSE:
            annotations[i] = target
    return annotations


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _parse_distribution(text: str, what: str, lowest: int) -> CountDistribution:
    ranges, weights = [], []
    for choice in text.split(","):
        counts, star, weight = (part.strip() for part in choice.partition("*"))
        ranges.append(_parse_range(counts, text, what, lowest))
        try:
            weights.append(float(weight) if star else 1.0)
        except ValueError:
            raise ValueError(f"{what} {text!r}: the weight {weight!r} is not a number") from None
        if not (weights[-1] > 0 and math.isfinite(weights[-1])):
            raise ValueError(f"{what} {text!r}: a weight must be above 0, {weight!r} is not")
    total = sum(weights)
    return CountDistribution(tuple(ranges), tuple(weight / total for weight in weights))


def _parse_range(word: str, text: str, what: str, lowest: int) -> tuple[int, int]:
    if what == "points" and word in ("dense", "clicks"):
        count = DENSE if word == "dense" else CLICKS
        return count, count
    first, dash, last = (part.strip() for part in word.partition("-"))
    if not (_is_number(first) and (not dash or _is_number(last))):
        forms = "5, 0-99, dense or clicks" if what == "points" else "1 or 1-5"
        raise ValueError(f"{what} {text!r}: {word!r} is not a count; write {forms}, several with weights: 1*0.3, 5*0.7")
    counts = int(first), int(last if dash else first)
    if counts[0] > counts[1]:
        raise ValueError(f"{what} {text!r}: the range {word!r} runs backwards")
    if counts[0] < lowest:
        raise ValueError(f"{what} {text!r}: {word!r} is below {lowest}")
    return counts
