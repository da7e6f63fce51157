"""Timing things beside each other, in turn, so that ratios hold where the machine's speed drifts."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any


def milliseconds(function: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - began)


def alternate(functions: Mapping[Hashable, Callable[[], object]], rounds: int) -> dict[Any, list[float]]:
    """Times every function once a round, one after the other.

    Args:
        functions: by name; each returns when its work is done, and was called before (compiled, warm).
        rounds: number of rounds, at least 1.

    Returns:
        Milliseconds of each, by round.
    """
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(milliseconds(function))
    return times


def median_ratio(times: list[float], of: list[float]) -> float:
    """Median over the rounds of `times` over `of`: how many times as long."""
    return statistics.median(a / b for a, b in zip(times, of, strict=True))
