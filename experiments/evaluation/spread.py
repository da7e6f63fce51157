"""Means and deviations of scores over draws, seeds or frames, and how a score is printed."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple, SupportsFloat


class Spread(NamedTuple):
    """A mean over draws or seeds.

    Attributes:
        mean: of the values; None where one of them is not defined.
        deviation: standard deviation of the sample (n - 1); None for a single value, and without a mean.
        number: of values.
    """

    mean: float | None
    deviation: float | None
    number: int


def spread(values: Sequence[SupportsFloat | None]) -> Spread:
    """Mean and standard deviation of one value or more.

    A score without anything to measure (None, or NaN) is not left out, which would make a mean of fewer draws look like
    one of all: it leaves the mean undefined, too.
    """
    numbers = [defined(value) for value in values]
    if None in numbers:
        return Spread(None, None, len(numbers))
    if len(numbers) == 1:
        return Spread(numbers[0], None, 1)
    return Spread(statistics.fmean(numbers), statistics.stdev(numbers), len(numbers))


def mean(values: Sequence[SupportsFloat | None]) -> float | None:
    """The mean of `spread`."""
    return spread(values).mean


def defined(value: SupportsFloat | None) -> float | None:
    """A score for JSON, which has no NaN: None instead."""
    return None if value is None or math.isnan(value) else float(value)


def percent(value: SupportsFloat | None, deviation: float | None = None) -> str:
    """A score of [0, 1] x 100 with a decimal, `-` where there is none."""
    if defined(value) is None:
        return "-"
    return f"{100 * float(value):.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
