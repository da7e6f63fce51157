"""The order in which frames are followed: each after its neighbour, and as if the clip were held at once."""

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guided_jax.guides.memory import Remembered
from guided_jax.video import ways
from guided_jax.video.following import ClipState, score_both_ways
from guided_jax.video.ways import DIRECTIONS, Leg, follow_legs, plan_legs

NOTHING = ClipState(
    Remembered(np.zeros((1, 1, 1, 1), np.float32), np.zeros((1, 1, 1, 1, 1), np.float32)),
    np.zeros((1, 1, 1, 1, 1), np.float32),
)


def score_of(annotated):
    """Scores that tell the frame before, and a sum of the annotated frames that were followed; both are remembered."""

    def score(number, state):
        before, seen = float(state.previous.features.ravel()[0]), float(state.annotated.ravel()[0])
        scores = jnp.asarray(np.array([number, before, seen], np.float32).reshape(1, 3, 1, 1))
        previous = state.previous._replace(features=np.full((1, 1, 1, 1), number + 1, np.float32))
        more = state.annotated * np.float32(0.5) + np.float32(number) if number in annotated else state.annotated
        return scores, ClipState(previous, more)

    return score


def some(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@st.composite
def clips(draw):
    length = draw(st.integers(1, 12))
    annotated = sorted(draw(st.sets(st.integers(0, length - 1), min_size=1)))
    start = draw(st.integers(0, length - 1))
    return length, annotated, range(start, draw(st.integers(start + 1, length)))


@some(40)
@given(clips(), st.sampled_from(DIRECTIONS))
def test_every_frame_comes_once_and_has_its_neighbour_before_it(clip, direction):
    _, annotated, frames = clip
    legs = plan_legs(annotated, frames, direction)
    steps = list(follow_legs(legs, score_of(annotated), annotated, frames, NOTHING))
    given_ = {number: scores for number, scores in steps if scores is not None}
    assert sorted(given_) == list(frames) and sum(scores is not None for _, scores in steps) == len(frames)
    assert len(steps) == sum(len(leg.numbers) for leg in legs)
    for leg in legs:
        assert all(abs(one - other) == 1 for one, other in pairwise(leg.numbers))
        assert not leg.remembers or not leg.begins or leg.numbers[0] in annotated
    if direction != "both":
        order = list(given_)
        assert order == sorted(order, reverse=direction == "backward")
        step = 1 if direction == "forward" else -1
        followed = [number for leg in legs if leg.remembers for number in leg.numbers]
        for number, scores in given_.items():
            neighbour = number - step
            before = neighbour + 1 if number in followed and neighbour in followed else 0
            assert scores[0, :2, 0, 0].tolist() == [number, before]


@some(12)
@given(clips())
def test_both_ways_over_the_whole_clip_are_as_if_it_were_held_at_once(clip):
    length, annotated, _ = clip
    frames = range(length)
    wanted, _ = score_both_ways(score_of(annotated), frames, annotated, NOTHING, goes_on=False)
    legs = plan_legs(annotated, frames, "both")
    steps = follow_legs(legs, score_of(annotated), annotated, frames, NOTHING)
    found = {number: scores for number, scores in steps if scores is not None}
    assert sorted(found) == list(frames)
    for number, scores in found.items():
        np.testing.assert_array_equal(scores, wanted[number])


def test_legs_by_hand():
    whole, middle = range(10), range(3, 6)
    assert plan_legs([2, 7], whole, "forward") == [Leg(range(2), remembers=False), Leg(range(2, 10))]
    assert plan_legs([2, 7], whole, "backward") == [Leg(range(9, 7, -1), remembers=False), Leg(range(7, -1, -1))]
    assert plan_legs([2, 7], whole, "both") == [
        Leg(range(2, 8), keeps=True),
        Leg(range(7, -1, -1)),
        Leg(range(8, 10), begins=False),
    ]
    assert plan_legs([0, 2, 7, 9], middle, "forward") == [Leg(range(2, 6))]
    assert plan_legs([0, 2, 7, 9], middle, "backward") == [Leg(range(7, 2, -1))]
    assert plan_legs([0, 2, 7, 9], middle, "both") == [Leg(range(2, 6), keeps=True), Leg(range(7, 2, -1))]
    assert plan_legs([8], middle, "forward") == [Leg(middle, remembers=False)]
    assert plan_legs([1], middle, "backward") == [Leg(range(5, 2, -1), remembers=False)]


def test_frames_between_are_weighed_by_how_near_the_annotated_ones_are():
    steps = follow_legs(plan_legs([0, 4], range(5), "both"), score_of([0, 4]), [0, 4], range(5), NOTHING)
    found = {number: scores[0, 1, 0, 0] for number, scores in steps if scores is not None}
    assert list(found) == [4, 3, 2, 1, 0]
    # What is remembered of a frame is its number and one more. Frame 1 comes after 0, on the way back after 2.
    assert found[1] == pytest.approx(0.75 * 1 + 0.25 * 3) and found[3] == pytest.approx(0.25 * 3 + 0.75 * 5)


@some(4)
@given(st.integers(1, 9))
def test_kept_scores_come_back_to_the_bit_from_a_file_too(spooled):
    rng = np.random.default_rng(spooled)
    arrays = {number: jnp.asarray(rng.standard_normal((1, 2, 3, 4)), jnp.float32) for number in (5, 3, 9)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways, "SPOOLED", spooled * 40)
        with ways._Kept() as kept:
            for number, array in arrays.items():
                kept.put(number, array)
            for number in (3, 9, 5, 3):
                np.testing.assert_array_equal(kept.take(number), arrays[number])
            assert 4 not in kept and 9 in kept


def test_a_full_disk_is_told_in_one_line(monkeypatch):
    def write(content):
        raise OSError(28, "No space left on device")

    with ways._Kept() as kept:
        monkeypatch.setattr(kept._file, "write", write)
        with pytest.raises(ValueError, match="temporary file: No space left on device; TMPDIR says where it lies"):
            kept.put(0, np.zeros(3, np.float32))
