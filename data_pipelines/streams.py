"""The streams of random numbers: whatever is drawn by a seed has a number here, so that no two draws share any.

Of numpy alone. What is random on the device are keys, folded from (seed, episode index). Three draws are by no seed of
an experiment, and have no number: the scenes of the generated data set (`datasets.generated`), a crop, which follows
from its image's bytes (`views.crop_of`), and the plans of published protocols (`selection.protocols`).
"""

import enum

import numpy as np


@enum.unique
class Stream(enum.IntEnum):
    """What is drawn. The values are part of every seed: changing one changes every result that it had."""

    CANVAS = 1
    """The canvas of a training batch."""

    EPISODE = 2
    """A training episode: source, task, support, points, mirroring, crops."""

    LIMIT = 3
    """Which tasks an evaluation with a limit takes."""

    TASK = 4
    """Support and points of a task of an evaluation."""

    BALANCE = 5
    """Which tasks stay where every class is to have as many as the rarest."""

    PLAN = 6
    """Points of an episode of a published protocol."""

    VIDEO = 7
    """Points on the annotated frames of a video."""

    CLICKS = 8
    """Which objects are clicked on where there is a limit."""

    ANNOTATOR = 9
    """Frames and points of the annotator of a video who puts random dots."""


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """The random numbers of one draw, a function of the arguments alone.

    Args:
        seed: of the experiment.
        stream: what is drawn.
        numbers: which of its draws, as the number of an episode; each from 0.
    """
    return np.random.default_rng([seed, stream, *numbers])
