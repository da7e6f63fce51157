"""Marks make the annotation that can be drawn by hand, and edits leave what they should."""

import numpy as np
import pytest

from guided_jax.episode import UNKNOWN, Click
from guided_jax.session.edits import Clear, Extend, Move, Replace, Unclick, added, apply, fold
from guided_jax.session.marks import LabelMap, Scribble, covers, labels_of, paint, relabel

DRAWN = {
    "a dot": (Scribble(((1, 2),), 1), ["......", "..1...", "......", "......"]),
    "along a row": (Scribble(((1, 1), (1, 4)), 1), ["......", ".1111.", "......", "......"]),
    "either way": (Scribble(((1, 4), (1, 1)), 1), ["......", ".1111.", "......", "......"]),
    "a diagonal": (Scribble(((0, 0), (3, 3)), 1), ["1.....", ".1....", "..1...", "...1.."]),
    # Between two rows: both are half a pixel away at the middle, and less than that on the way there.
    "half a pixel": (Scribble(((0, 0), (1, 2)), 1), ["11....", ".11...", "......", "......"]),
    "two wide": (Scribble(((1, 1), (1, 3)), 1, 2), [".111..", "11111.", ".111..", "......"]),
    "three wide, round ends": (Scribble(((1, 2),), 1, 3), [".111..", ".111..", ".111..", "......"]),
    "two segments": (Scribble(((0, 0), (0, 2), (2, 2)), 1), ["111...", "..1...", "..1...", "......"]),
    "over the border": (Scribble(((0, 5),), 1, 4), ["...111", "....11", ".....1", "......"]),
    "negative": (Scribble(((3, 0), (3, 5)), 0), ["......", "......", "......", "000000"]),
}
SIZE = (4, 6)


def drawn(rows):
    return np.array([[UNKNOWN if each == "." else int(each) for each in row] for row in rows], np.uint8)


@pytest.mark.parametrize(("scribble", "rows"), DRAWN.values(), ids=DRAWN)
def test_scribbles_by_hand(scribble, rows):
    annotation = paint([scribble], SIZE)
    assert annotation.dtype == np.uint8
    np.testing.assert_array_equal(annotation, drawn(rows))
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            assert covers(scribble, (row, column)) == (annotation[row, column] != UNKNOWN)


def test_a_scribble_marks_what_is_near_its_line():
    """Against distances in floating point, on an odd line; none of them is near the border of what counts."""
    rows, columns = np.mgrid[:40, :50].astype(float)
    (top, left), (bottom, right) = start, end = (31, 5), (4, 42)
    along = ((rows - top) * (bottom - top) + (columns - left) * (right - left)) / ((bottom - top) ** 2 + 37**2)
    along = along.clip(0, 1)
    distance = np.hypot(rows - top - along * (bottom - top), columns - left - along * (right - left))
    for width in (1, 4, 7):
        assert np.abs(distance - width / 2).min() > 1e-6 or width == 4  # ends: 2 pixels away, exactly
        wanted = distance <= width / 2 + 1e-9
        np.testing.assert_array_equal(paint([Scribble((start, end), 0, width)], (40, 50)) == 0, wanted)


def test_later_marks_lie_over_earlier_ones():
    base = LabelMap.of(drawn(["2.....", "......", "..00..", "......"]))
    marks = [Click(0, 0, 1), Click(3, 5, 0), base, Click(2, 2, 1), Scribble(((2, 3), (2, 5)), 1)]
    marks += [Scribble(((2, 4), (2, 5)), UNKNOWN)]
    np.testing.assert_array_equal(paint(marks, SIZE), drawn(["2.....", "......", "..11..", ".....0"]))
    assert [labels_of(mark) for mark in marks] == [{1}, {0}, {0, 2}, {1}, {1}, set()]


def test_a_label_map_does_not_follow_its_array():
    labels = np.asfortranarray(drawn(["2.....", "......", "..00..", ".....1"]))
    mark = LabelMap.of(labels)
    labels[:] = 0
    np.testing.assert_array_equal(mark.labels(), drawn(["2.....", "......", "..00..", ".....1"]))
    np.testing.assert_array_equal(relabel(mark, {1: 2, 2: 1}).labels(), drawn(["1.....", "......", "..00..", ".....2"]))
    assert relabel(Click(0, 0, 1), {1: 7}) == Click(0, 0, 7)
    assert relabel(Scribble(((0, 0),), UNKNOWN), {1: 7}).label == UNKNOWN


ONE, TWO, OTHER = Click(1, 1, 1), Click(1, 1, 0), Click(2, 3, 1)
STROKE, ERASER = Scribble(((1, 0), (1, 4)), 1), Scribble(((0, 1), (3, 1)), UNKNOWN)
BOTH = LabelMap.of(drawn(["12....", "......", "......", "......"]))
EDITED = {
    "a mark comes last": ((ONE,), OTHER, (ONE, OTHER)),
    "unclick takes all clicks there": ((ONE, OTHER, TWO), Unclick(1, 1), (OTHER,)),
    "unclick leaves what is no click": ((ONE, STROKE), Unclick(1, 1), (STROKE,)),
    "a moved click is the last": ((ONE, OTHER), Move((1, 1), (0, 5)), (OTHER, Click(0, 5, 1))),
    "of two the later is moved": ((ONE, TWO), Move((1, 1), (0, 5)), (Click(0, 5, 0),)),
    "nothing to move": ((OTHER,), Move((1, 1), (0, 5)), (OTHER,)),
    "clear": ((ONE, STROKE), Clear(), ()),
    "clear a label": ((ONE, TWO, STROKE), Clear(1), (TWO,)),
    "clear a label of a map": ((BOTH,), Clear(1), (LabelMap.of(drawn([".2....", *["......"] * 3])),)),
    "clear the negative": ((TWO, ERASER), Clear(0), (ERASER,)),
    "replace": ((ONE, STROKE), Replace((BOTH,)), (BOTH,)),
    "extend": ((ONE,), Extend((OTHER, STROKE)), (ONE, OTHER, STROKE)),
    "an eraser takes clicks": ((ONE, OTHER), ERASER, (OTHER,)),
    "an eraser lies over the rest": ((ONE, STROKE), ERASER, (STROKE, ERASER)),
}


@pytest.mark.parametrize(("before", "edit", "after"), EDITED.values(), ids=EDITED)
def test_edits_by_hand(before, edit, after):
    assert apply(before, edit) == after
    assert fold([Replace(before), edit]) == after


def test_what_an_edit_adds():
    assert added(Extend((ONE, STROKE))) == added(Replace((ONE, STROKE))) == (ONE, STROKE)
    assert added(STROKE) == (STROKE,)
    assert added(Clear()) == added(Unclick(1, 1)) == added(Move((1, 1), (2, 2))) == ()
