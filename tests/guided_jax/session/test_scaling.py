"""Large images are looked at scaled down, and everything about them comes at their own size."""

import cv2
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN, Click
from guided_jax.loaded_model import LoadedModel
from guided_jax.session import Session
from guided_jax.session.marks import LabelMap, Scribble
from guided_jax.session.scaling import enlarge, shown_size, shrink_marks
from tests.guided_jax.small_models import make_model
from tests.guided_jax.variants import VARIANTS

SIZE, SMALL = (60, 84), (30, 42)


def picture():
    return np.random.default_rng(3).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    return make_model(**VARIANTS["neighbours"])


def test_the_size_that_is_looked_at():
    assert shown_size((3000, 4000), 512) == (384, 512)
    assert shown_size((4000, 10), 512) == shown_size((4000, 3), 512) == (512, 1)
    assert shown_size((300, 400), 512) == shown_size((300, 400), 0) == (300, 400)
    assert shown_size((512, 512), 512) == (512, 512)


def test_marks_lie_where_they_lay():
    """By hand, from 4x8 to 2x4 pixels."""
    labels = np.full((4, 8), UNKNOWN, np.uint8)
    labels[:2, 4:] = 2
    marks = (Click(0, 0, 1), Click(3, 7, 0), Click(1, 2, 1), Scribble(((0, 1), (3, 7)), 1, 4), LabelMap.of(labels))
    *points, scribble, mask = shrink_marks(marks, (4, 8), (2, 4))
    assert points == [Click(0, 0, 1), Click(1, 3, 0), Click(0, 1, 1)]
    assert scribble == Scribble(((0, 0), (1, 3)), 1, 2)
    np.testing.assert_array_equal(mask.labels(), [[255, 255, 2, 2], [255, 255, 255, 255]])
    assert shrink_marks(marks, (4, 8), (4, 8)) is marks
    assert shrink_marks((Scribble(((0, 0),), 1, 1),), (400, 800), (2, 4)) == (Scribble(((0, 0),), 1, 1),)


def test_enlarging_is_linear_and_keeps_constants():
    ramp = np.arange(4, dtype=np.float32)[None].repeat(3, 0)
    large = enlarge(np.stack([ramp, np.full_like(ramp, 5)]), (6, 8))
    np.testing.assert_allclose(large[0, 2], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    np.testing.assert_allclose(large[1], 5)


@pytest.mark.parametrize("guided_filter", [False, True])
def test_a_large_image_gives_what_the_small_one_gives(model, guided_filter):
    large, small = (Session(*model, max_side=side, guided_filter=guided_filter) for side in (42, 0))
    large.add("a", picture())
    small.add("a", cv2.resize(picture(), SMALL[::-1], interpolation=cv2.INTER_AREA))
    for row, column, label in ((10, 21, 1), (50, 3, 0), (33, 60, 1)):
        large.click("a", row, column, label)
        small.click("a", row // 2, column // 2, label)
    wanted = enlarge(small.logits("a"), SIZE)
    np.testing.assert_array_equal(large.logits("a"), wanted)
    assert large.probabilities("a").shape == wanted.shape and large.uncertainty("a").shape == SIZE
    mask = large.mask("a")
    assert mask.shape == SIZE and mask.dtype == np.uint8 and 0 < mask.mean() < 1
    if not guided_filter:
        margin = wanted[1] - wanted[0]
        np.testing.assert_array_equal(mask[abs(margin) > 1e-4], (margin > 0)[abs(margin) > 1e-4])
    cells = cv2.resize(mask, SMALL[::-1], interpolation=cv2.INTER_AREA)
    assert (cells != small.mask("a")).mean() < 0.1
    assert large.clicks("a")[0] == Click(10, 21, 1)
    with pytest.raises(ValueError, match=r"row 60, column 3 lies outside the image 'a' of 60x84 pixels"):
        large.click("a", 60, 3, 1)
    # What was dropped for the budget is scaled down again.
    bounded = Session(*model, max_side=42, guided_filter=guided_filter, budget=0)
    bounded.add("a", picture)
    bounded.add("b", picture())
    for click in large.clicks("a"):
        bounded.click("a", *click)
    np.testing.assert_array_equal(bounded.mask("a"), mask)
    assert bounded.mask("b").shape == SIZE


def test_the_models_own_greatest_side(model):
    loaded = LoadedModel(*model, {"max_side": 42})
    for session, size in ((Session(loaded), 42), (Session(loaded, max_side=0), 84), (Session(*model), 84)):
        session.add("a", picture())
        assert session.mask("a").shape == SIZE
        assert max(session._features["a"].shown) == size
    with pytest.raises(ValueError, match="max_side=-1: must be a number of pixels, or 0"):
        Session(*model, max_side=-1)
