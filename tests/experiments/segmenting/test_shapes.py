"""Shapes of annotation tools as marks: pixels by hand, what outside of areas is, and what is refused."""

import numpy as np
import pytest

from experiments.segmenting.shapes import IGNORED, Area, Dots, Line, box, ellipse, mark_shapes, patch, polygons
from guided_jax.episode import UNKNOWN, Click
from guided_jax.session.marks import Scribble, paint

SIZE = (4, 6)
U = UNKNOWN


def painted(*shapes) -> list[list[int]]:
    return paint(mark_shapes(shapes, SIZE, "x.json").marks, SIZE).tolist()


def test_a_box_covers_the_pixels_between_its_edges():
    wanted = np.zeros(SIZE, int)
    wanted[1:3, 2:5] = 1
    assert painted(box("dog", (2, 1), (5, 3), "x")) == wanted.tolist()
    assert painted(box("dog", (5, 3), (2, 1), "x")) == wanted.tolist()  # whichever corners


def test_a_box_that_is_turned_by_a_quarter():
    """About its middle at x 3, y 2."""
    wanted = np.zeros(SIZE, int)
    wanted[0:4, 2:4] = 1
    assert painted(box("dog", (1, 1), (5, 3), "x", turned=90)) == wanted.tolist()


def test_an_ellipse_is_a_circle_where_its_radii_are_equal():
    drawn = ellipse("dog", (10, 10), (6, 6), "x").draw((20, 20))
    rows, columns = np.indices((20, 20)) + 0.5
    away = np.hypot(rows - 10, columns - 10)
    assert drawn[away < 5.4].all() and not drawn[away > 6.6].any()
    wide = ellipse("dog", (10, 10), (8, 3), "x").draw((20, 20))
    tall = ellipse("dog", (10, 10), (8, 3), "x", turned=90).draw((20, 20))
    assert wide[10, 3] and not wide[3, 10] and tall[3, 10] and not tall[10, 3]


def test_a_polygon_may_have_several_parts():
    parts = [[(0, 0), (2, 0), (2, 2), (0, 2)], [(4, 2), (6, 2), (6, 4), (4, 4)]]
    wanted = np.zeros(SIZE, int)
    wanted[:2, :2] = wanted[2:, 4:] = 1
    assert painted(polygons("dog", parts, "x")) == wanted.tolist()


def test_points_and_lines_leave_the_rest_unannotated():
    shapes = [Dots("dog", [(0.2, 0.9), (6, 4)]), Line("Background", [(2.5, 0.5), (2.5, 3.5)])]
    marked = mark_shapes(shapes, SIZE, "x")
    assert marked.objects == {1: "dog"}
    assert marked.marks == (Click(0, 0, 1), Click(3, 5, 1), Scribble(((0, 2), (3, 2)), 0, 3))
    rows = [[1, 0, 0, 0, U, U], [U, 0, 0, 0, U, U], [U, 0, 0, 0, U, U], [U, 0, 0, 0, U, 1]]
    assert paint(marked.marks, SIZE).tolist() == rows


def test_outside_of_areas_is_background_unless_background_is_drawn():
    dog, bird = box("dog", (0, 0), (1, 1), "x"), Dots("bird", [(5, 3)])
    wanted = np.zeros(SIZE, int)
    wanted[0, 0], wanted[3, 5] = 1, 2
    assert painted(dog, bird) == wanted.tolist()
    wanted[:] = U
    wanted[0, 0], wanted[3, 5], wanted[1, 1] = 1, 2, 0
    assert painted(dog, bird, Dots("_background_", [(1, 1)])) == wanted.tolist()


def test_what_is_to_be_ignored_is_not_annotated_but_where_an_object_lies():
    wanted = np.zeros(SIZE, int)
    wanted[:, 3:] = U
    wanted[0, 2:4] = 1
    assert painted(box("dog", (2, 0), (4, 1), "x"), box(IGNORED, (3, 0), (6, 4), "x")) == wanted.tolist()


def test_later_shapes_lie_over_earlier_ones_and_share_a_label_by_name():
    shapes = [box("dog", (0, 0), (6, 4), "x"), box("cat", (0, 0), (3, 4), "x"), box("dog", (0, 0), (1, 4), "x")]
    assert mark_shapes(shapes, SIZE, "x").objects == {1: "dog", 2: "cat"}
    assert painted(*shapes)[2] == [1, 2, 2, 1, 1, 1]


def test_a_patch_lies_where_its_corner_is():
    wanted = np.zeros(SIZE, int)
    wanted[2, 1], wanted[3, 2] = 1, 1
    assert painted(patch("dog", (2, 1), np.eye(2, dtype=bool), "x")) == wanted.tolist()
    for corner in ((3, 1), (2, 5), (-1, 0)):
        with pytest.raises(ValueError, match=r"y: a mask of 2x2 pixels .* does not lie in the image of 4x6"):
            patch("dog", corner, np.ones((2, 2), bool), "y").draw(SIZE)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Dots("dog", [(6.1, 2)]), "x.json: the point x 6.1, y 2 lies outside the image of 6 x 4 pixels"),
        (Line("dog", [(0, 0), (0, -1)]), "the point x 0, y -1 lies outside"),
        (Dots(" ", [(1, 1)]), "x.json: a shape has no label"),
        (polygons("dog", [[(0, 0), (1, 1)]], "here"), "here: a polygon has 4 numbers; it needs x and y of 3 points"),
        (polygons("dog", [[(0, 0), (99, 1), (1, 1)]], "here"), "here: a polygon has the coordinate 99.0, far outside"),
    ],
)
def test_what_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        mark_shapes([shape], SIZE, "x.json")


def test_as_many_objects_as_there_are_labels():
    dots = [Dots(str(number), [(1, 1)]) for number in range(254)]
    assert len(mark_shapes(dots, SIZE, "x").objects) == 254
    with pytest.raises(ValueError, match="has shapes of 255 objects; at most 254"):
        mark_shapes([*dots, Area("one more", lambda size: np.ones(size, bool))], SIZE, "x")
