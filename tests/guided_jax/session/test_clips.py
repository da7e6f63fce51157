"""Clips in a session: what is propagated is what `VideoSegmentor` gives, in every direction, in bounded memory."""

import jax
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.session import Session
from guided_jax.video import VideoSegmentor
from tests.guided_jax.small_models import small_model
from tests.guided_jax.variants import VARIANTS

SIZE, FRAMES = (32, 32), 6  # a canvas of `VideoSegmentor`, so that the two compute the same to the bit
FOLLOWS = {"inference": "distance", "locality": "both", "feature_width": 0}
KINDS = {"follows": {"seed": 0, **FOLLOWS}, "decoder": {"seed": 1, **VARIANTS["decoder"]}}
MARKS = {1: ((4, 5, 1), (20, 20, 0)), 4: ((9, 20, 1), (25, 3, 0))}


def frames_of(count=FRAMES, size=SIZE):
    """A bright square that moves over noise."""
    frames = np.random.default_rng(0).integers(60, 90, (count, *size, 3), np.uint8)
    for number, frame in enumerate(frames):
        left = 2 + 3 * number % (size[1] - 12)
        frame[2:12, left : left + 10] = (220, 60, 40)
    return frames


def opened(kind, marks=MARKS, frames=None, **options):
    session = Session(*small_model(**KINDS[kind]), **options)
    names = session.add_clip("walk", frames_of() if frames is None else frames)
    for number, clicks in marks.items():
        for row, column, label in clicks:
            session.click(names[number], row, column, label)
    return session


def of_video(kind, memory, marks=MARKS, frames=None, way=2):
    """What `VideoSegmentor` gives of the same annotation, [frames, h, w]."""
    frames = frames_of() if frames is None else frames
    annotation = np.full((1, len(marks), *frames.shape[1:3]), UNKNOWN, np.uint8)
    for at, clicks in enumerate(marks.values()):
        for row, column, label in clicks:
            annotation[0, at, row, column] = label
    video = VideoSegmentor(*small_model(**KINDS[kind]), memory=memory, chunk=1, devices=jax.local_devices()[:1])
    guidance = video.guide(frames[list(marks)], annotation, way=way, positions=tuple(marks))
    return np.concatenate(list(video.segment(guidance, frames)))


def same(found, wanted):
    for number, labels in found.items():
        np.testing.assert_array_equal(labels, wanted[number], err_msg=f"frame {number}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_propagated_is_what_the_video_gives(kind):
    session, wanted = opened(kind), of_video(kind, "forward")
    assert 0.02 < (wanted == 1).mean() < 0.98
    forward = dict(session.propagate("walk", start=0))
    assert list(forward) == list(range(FRAMES))
    same(forward, wanted)
    both = dict(session.propagate("walk", direction="both"))
    assert list(both) == [4, 3, 2, 1, 0, 5]
    same(both, of_video(kind, "both"))
    mirrored = {FRAMES - 1 - number: clicks for number, clicks in reversed(MARKS.items())}
    backward = dict(session.propagate("walk", stop=FRAMES, direction="backward"))
    assert list(backward) == list(range(FRAMES))[::-1]
    same(backward, of_video(kind, "forward", mirrored, frames_of()[::-1])[::-1])
