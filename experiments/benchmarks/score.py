"""What J and F of an object in a frame cost, against the plain form of the same definition.

    guided_jax benchmark score [--size=480x854] [--objects=2] [--rounds=9] [--workdir=DIR]

On one core, masks in memory. The objects are drawn: ovals side by side, the predicted ones a little off; *whole* are
masks of noise, with boundaries all over the frame, the worst that there is. The plain form does as the official code:
whole frames, neighbours in copies, dilation by a disk. The two alternate in one process, so that the ratio holds where
the machine's speed drifts; their scores are compared.
"""

import statistics
import sys
from functools import partial
from typing import Any

import cv2
import numpy as np
from absl import flags
from jaxtyping import Float64, UInt8

from experiments.benchmarks.command import SIZE, define_result, open_result, parse_size, write_result
from experiments.benchmarks.timing import alternate, median_ratio
from experiments.settings.command_flags import own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.errors import UserError
from experiments.settings.help_texts import Command
from guided_jax.scoring.davis import boundary_radius, score_frame

COMMAND = Command("guided_jax benchmark score", __doc__)


def ovals(height: int, width: int, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids of objects side by side, and a prediction of them that is a little off."""
    truth, found = np.zeros((2, height, width), np.uint8)
    part = width / objects
    for k in range(objects):
        axes = (int(0.35 * part), int(0.3 * height))
        column, row = int((k + 0.5) * part), height // 2
        cv2.ellipse(truth, (column, row), axes, 10, 0, 360, k + 1, cv2.FILLED)
        cv2.ellipse(found, (column + width // 100, row + height // 60), axes, 25, 0, 360, k + 1, cv2.FILLED)
    return truth, found


def noise(height: int, width: int, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids at random, and a prediction that is right in most pixels."""
    rng = np.random.default_rng(0)
    truth, other = rng.integers(0, objects + 1, (2, height, width), np.uint8)
    return truth, np.where(rng.random((height, width)) < 0.9, truth, other)


def score_plainly(
    prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "h w"], objects: int
) -> Float64[np.ndarray, "k 2"]:
    """J and F of every object in a frame, without a shortcut."""
    radius = boundary_radius(target.shape)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)

    def boundary(mask):
        right, below, across = np.zeros((3, *mask.shape), bool)
        right[:, :-1], below[:-1], across[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
        found = (mask ^ right) | (mask ^ below) | (mask ^ across)
        found[-1], found[:, -1] = mask[-1] ^ right[-1], mask[:, -1] ^ below[:, -1]
        found[-1, -1] = False
        return found

    scores = []
    for k in range(1, objects + 1):
        ours, theirs = prediction == k, target == k
        union = np.sum(ours | theirs)
        j = np.sum(ours & theirs) / union if union else 1.0
        ours, theirs = boundary(ours), boundary(theirs)
        if not ours.any() or not theirs.any():
            scores.append((j, float(ours.any() == theirs.any())))
            continue
        precision = np.sum(ours * cv2.dilate(theirs.astype(np.uint8), disk)) / np.sum(ours)
        recall = np.sum(theirs * cv2.dilate(ours.astype(np.uint8), disk)) / np.sum(theirs)
        scores.append((j, 2 * precision * recall / (precision + recall) if precision + recall else 0.0))
    return np.array(scores, np.float64)


def measure_scoring(height: int, width: int, objects: int, *, rounds: int = 9) -> dict[str, Any]:
    """Times the scoring of a frame.

    Args:
        height: of the frame in pixels.
        width: of the frame in pixels.
        objects: number of objects.
        rounds: timings of each, after a warm-up.

    Returns:
        For `objects` and for `whole`: ms and plain_ms, medians for an object in a frame, and ratio, the median over
        the rounds of plain over ours. And height, width, number, rounds.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        drawn = {"objects": ovals(height, width, objects), "whole": noise(height, width, objects)}
        results = {name: _compare(found, truth, objects, rounds) for name, (truth, found) in drawn.items()}
    finally:
        cv2.setNumThreads(threads)
    return {**results, "height": height, "width": width, "number": objects, "rounds": rounds}


def _compare(found: np.ndarray, truth: np.ndarray, objects: int, rounds: int) -> dict[str, float]:
    np.testing.assert_allclose(score_frame(found, truth, objects), score_plainly(found, truth, objects), atol=1e-9)
    ways = {"ours": score_frame, "plain": score_plainly}
    times = alternate({name: partial(way, found, truth, objects) for name, way in ways.items()}, rounds)
    medians = {name: statistics.median(each) / objects for name, each in times.items()}
    ratio = median_ratio(times["plain"], times["ours"])
    return {"ms": medians["ours"], "plain_ms": medians["plain"], "ratio": ratio}


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    flags.DEFINE_string("size", SIZE, "`HEIGHTxWIDTH` of the frame in pixels.", flag_values=values)
    flags.DEFINE_integer("objects", 2, "Number `N` of objects in the frame, from 1 to 254.", flag_values=values)
    flags.DEFINE_integer("rounds", 9, "Number `N` of timings of each way.", flag_values=values)
    define_result(values, "score")
    read_flags(argv, values, COMMAND)
    height, width = parse_size(values.size)
    if not 1 <= values.objects <= 254:
        raise UserError(f"--objects={values.objects}: from 1 to 254")
    if values.rounds < 1:
        raise UserError(f"--rounds={values.rounds}: at least 1")
    workdir = open_result(values)
    times = measure_scoring(height, width, values.objects, rounds=values.rounds)
    for name, what in (("objects", "objects as drawn"), ("whole", "boundaries all over the frame")):
        each = times[name]
        print(
            f"{what}: {each['ms']:.2f} ms an object in a frame of {values.size}, "
            f"plainly {each['plain_ms']:.2f} ms: {each['ratio']:.1f} times as fast"
        )
    write_result(workdir, "score", times)


if __name__ == "__main__":
    sys.exit(start(main))
