"""Sessions on a small clip, which share their compiled programs over the tests of this folder."""

import weakref
from functools import cache

import numpy as np

from guided_jax.clips import Clip
from guided_jax.clips.clip import number_names
from guided_jax.session import Session
from tests.guided_jax.small_models import small_model
from tests.guided_jax.variants import VARIANTS

SIZE, FRAMES = (32, 32), 6  # a canvas of `VideoSegmentor`, so that the two compute the same to the bit
KINDS = {
    "follows": {"seed": 0, "inference": "distance", "locality": "both", "feature_width": 0},
    "decoder": {"seed": 1, **VARIANTS["decoder"]},
    "alone": {"seed": 0, **VARIANTS["prototypes"]},
}
FOLLOWED = "follows", "decoder"
MARKS = {1: ((4, 5, 1), (20, 20, 0)), 4: ((9, 20, 1), (25, 3, 0))}
LATE = {1: ((4, 5, 1), (20, 20, 0)), 3: ((25, 25, 2), (20, 3, 0)), 4: ((9, 20, 1),)}


def frames_of(count=FRAMES, size=SIZE):
    """A bright square that moves over noise."""
    frames = np.random.default_rng(0).integers(60, 90, (count, *size, 3), np.uint8)
    for number, frame in enumerate(frames):
        left = 2 + 3 * number % (size[1] - 12)
        frame[2:12, left : left + 10] = (220, 60, 40)
    return frames


class Read:
    """A clip that counts what is read of it, and how many of its frames are alive."""

    def __init__(self, count=FRAMES):
        self.frames, self.read, self.alive = frames_of(count), [], 0
        self.clip = Clip("walk", number_names(count), SIZE, None, self)

    def __call__(self, number):
        self.read.append(number)
        frame = self.frames[number].copy()
        self.alive += 1
        weakref.finalize(frame, self._died)
        return frame

    def _died(self):
        self.alive -= 1


@cache
def first(kind, **options):
    return Session(*small_model(**KINDS[kind]), **options)


def opened(kind, marks=MARKS, clip=None, **options):
    """A session on a clip with clicks; sessions of a kind share what is compiled."""
    session = first(kind, **options).fresh()
    names = session.add_clip("walk", frames_of() if clip is None else clip)
    for number, clicks in marks.items():
        for row, column, label in clicks:
            session.click(names[number], row, column, label)
    return session


def same(found, wanted):
    for number, labels in found.items():
        np.testing.assert_array_equal(labels, wanted[number], err_msg=f"frame {number}")
