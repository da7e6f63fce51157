"""What is propagated along a clip in a session is what `VideoSegmentor` gives of it, in every direction."""

from functools import cache

import jax
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.video import VideoSegmentor
from tests.guided_jax.session.small_clips import FOLLOWED, FRAMES, KINDS, LATE, MARKS, frames_of, opened, same
from tests.guided_jax.small_models import small_model


@cache
def video_of(kind, memory):
    model = small_model(**KINDS[kind])
    return VideoSegmentor(*model, memory=memory, chunk=1, devices=jax.local_devices()[:1])


def of_video(kind, memory, marks=MARKS, frames=None, way=2):
    """What `VideoSegmentor` gives of the same annotation, [frames, h, w]."""
    frames = frames_of() if frames is None else frames
    annotation = np.full((1, len(marks), *frames.shape[1:3]), UNKNOWN, np.uint8)
    for at, clicks in enumerate(marks.values()):
        for row, column, label in clicks:
            annotation[0, at, row, column] = label
    video = video_of(kind, memory)
    guidance = video.guide(frames[list(marks)], annotation, way=way, positions=tuple(marks))
    return np.concatenate(list(video.segment(guidance, frames)))


@pytest.mark.parametrize("kind", FOLLOWED)
def test_what_is_propagated_is_what_the_video_gives(kind):
    session, wanted = opened(kind), of_video(kind, "forward")
    assert 0.02 < (wanted == 1).mean() < 0.98
    whole = dict(session.propagate("walk", start=0))
    assert list(whole) == list(range(FRAMES))
    same(whole, wanted)
    both = dict(session.propagate("walk", direction="both"))
    assert list(both) == [4, 3, 2, 1, 0, 5]
    same(both, of_video(kind, "both"))
    mirrored = {FRAMES - 1 - number: clicks for number, clicks in reversed(MARKS.items())}
    backward = dict(session.propagate("walk", stop=FRAMES, direction="backward"))
    assert list(backward) == list(range(FRAMES))[::-1]
    same(backward, of_video(kind, "forward", mirrored, frames_of()[::-1])[::-1])


@pytest.mark.parametrize("kind", FOLLOWED)
def test_several_objects_one_of_them_late(kind):
    wanted = of_video(kind, "both", LATE, way=3)
    assert set(np.unique(wanted)) == {0, 1, 2}
    same(dict(opened(kind, LATE, way=3).propagate("walk", direction="both")), wanted)


def test_an_object_that_comes_while_the_session_runs():
    session = opened("follows")
    before = dict(session.propagate("walk"))
    session.click("walk/00003", 25, 25, session.add_object("cat"))
    session.click("walk/00003", 20, 3, 0)
    after = dict(session.propagate("walk"))
    same(after, of_video("follows", "forward", {1: MARKS[1], 3: LATE[3], 4: MARKS[4]}, way=3))
    assert any((after[number] != labels).any() for number, labels in before.items())


def test_a_model_that_cannot_follow_segments_frame_by_frame():
    session, wanted = opened("alone"), of_video("alone", "none")
    assert 0.02 < (wanted == 1).mean() < 0.98
    for direction, order in (("forward", range(1, 6)), ("backward", range(4, -1, -1)), ("both", range(6))):
        found = dict(session.propagate("walk", direction=direction))
        assert list(found) == list(order)
        same(found, wanted)
        same(found, [session.mask(name) for name in session.clips["walk"]])
    session.clear()
    session.add("photo", frames_of()[1])
    for row, column, label in MARKS[1]:
        session.click("photo", row, column, label)
    elsewhere = dict(session.propagate("walk", start=2, stop=4))
    assert list(elsewhere) == [2, 3]
    same(elsewhere, of_video("alone", "none", {1: MARKS[1]}))


def test_large_frames_are_looked_at_scaled_down():
    """Twice as large frames, whose areas average to those of the small ones: the same labels, but at the edges."""
    large = frames_of().repeat(2, 1).repeat(2, 2)
    marks = {number: tuple((2 * r, 2 * c, label) for r, c, label in each) for number, each in MARKS.items()}
    found = dict(opened("follows", marks, large, max_side=32).propagate("walk", start=0))
    for number, labels in enumerate(of_video("follows", "forward")):
        assert found[number].shape == (64, 64) and found[number].dtype == np.uint8
        padded = np.pad(labels, 1, mode="edge")
        near = np.stack([padded[i : i + 32, j : j + 32] for i in range(3) for j in range(3)])
        inside = (near == labels).all(0).repeat(2, 0).repeat(2, 1)
        assert inside.mean() > 0.3
        np.testing.assert_array_equal(found[number][inside], labels.repeat(2, 0).repeat(2, 1)[inside])


class TestRanges:
    def test_defaults_reach_from_the_annotated_frames_to_the_end(self):
        session = opened("follows")
        order = lambda **options: [number for number, _ in session.propagate("walk", **options)]  # noqa: E731
        assert order() == [1, 2, 3, 4, 5] and order(stop=3) == [1, 2]
        assert order(direction="backward") == [4, 3, 2, 1, 0] and order(direction="backward", start=2) == [4, 3, 2]
        assert order(direction="both", start=2, stop=4) == [3, 2]

    def test_a_range_begins_at_the_annotated_frame_before_it(self):
        session = opened("follows", {1: MARKS[1]})
        whole, part = dict(session.propagate("walk")), dict(session.propagate("walk", start=3, stop=5))
        assert list(part) == [3, 4]
        same(part, whole)
