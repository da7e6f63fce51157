"""Memory is bounded, and what was dropped comes back to the bit."""

import numpy as np
import pytest

from tests.guided_jax.session.small_sessions import PICTURES, session_of
from tests.guided_jax.small_models import SMALL

NAMES = tuple(range(6))


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (9, 12, 3), np.uint8)


class Counted:
    """A function that gives a picture, and counts its calls."""

    def __init__(self, number):
        self.number, self.calls = number, 0

    def __call__(self):
        self.calls += 1
        return picture(self.number)


def results(session, names=NAMES):
    return [(session.mask(name), session.logits(name), session.probabilities(name)) for name in names]


@pytest.mark.parametrize("kind", ["prototypes", "neighbours", "decoder"])
def test_under_a_budget_all_is_as_without(kind):
    free, bound, called = session_of(kind), session_of(kind, budget=1), session_of(kind, budget=1)
    for name in NAMES:
        free.add(name, picture(name))
        bound.add(name, picture(name))
        called.add(name, Counted(name))
    of_one = free.held() // len(NAMES)
    assert free.held() == of_one * len(NAMES) > 0 and bound.held() == of_one and called.held() == 0
    for session in (free, bound, called):
        for name in (4, 1, 3):
            session.click(name, 2 * name, 3, 1)
            session.click(name, 1, 2 * name, 0)
    wanted = results(free)
    for session in (bound, called):
        for each, other in zip(results(session), wanted, strict=True):
            for found, value in zip(each, other, strict=True):
                np.testing.assert_array_equal(found, value)
        assert session.held() < free.held() / 3
    free.undo()
    bound.undo()
    np.testing.assert_array_equal(bound.logits(0), free.logits(0))


def test_the_image_not_used_for_the_longest_time_is_dropped():
    alone = session_of("prototypes", "a")
    session = session_of("prototypes", budget=3 * alone.held())
    sources = [Counted(name) for name in NAMES]
    for name, source in zip(NAMES, sources, strict=True):
        session.add(name, source)
    calls = lambda: [source.calls for source in sources]  # noqa: E731
    assert calls() == [1] * 6  # for the size
    for name in (0, 1, 2, 0, 1, 2):
        session.mask(name)
    assert calls() == [2, 2, 2, 1, 1, 1] and session.held() == 3 * alone.held()
    session.mask(0)
    session.mask(3)  # in place of 1
    session.mask(0)
    session.mask(2)
    assert calls() == [2, 2, 2, 2, 1, 1]
    session.mask(1)  # in place of 3
    session.mask(2)
    session.mask(0)
    assert calls() == [2, 3, 2, 2, 1, 1]
    session.remove(0)
    assert session.held() == 2 * alone.held()
    session.mask(3)
    session.mask(1)
    assert calls() == [2, 3, 2, 3, 1, 1]


def test_memory_is_flat_over_many_images_and_nothing_compiles_again():
    session = session_of("prototypes", budget=0)
    session.add("first", picture(0))
    session.click("first", 1, 1, 1)
    session.mask("first")
    programs, held = session.compiled(), session.held()
    for number in range(40):
        session.add(number, Counted(number))
        session.mask(number)
        assert session.held() == held
    assert session.compiled() == programs


def test_pixels_are_kept_and_do_not_follow_the_array():
    session, image = session_of("prototypes", "b", budget=0), picture(0)
    session.add("x", image)
    session.click("x", 1, 1, 1)
    before = session.logits("x")
    image[:] = 0
    session.mask("b")
    np.testing.assert_array_equal(session.logits("x"), before)
    assert np.ptp(before) > 0


def test_functions_that_do_not_keep_their_word():
    session, given = session_of("prototypes", budget=0), [picture(0)]
    session.add("x", lambda: given[-1])
    given.append(picture(0)[:7])
    with pytest.raises(ValueError, match=r"image 'x', as its function gives it, is 7x12 .* now and was 9x12 when"):
        session.mask("x")
    given.append(picture(0) / 255)
    with pytest.raises(ValueError, match=r"image 'x', as its function gives it, is float64 \(9, 12, 3\); it must be"):
        session.mask("x")
    with pytest.raises(ValueError, match="image 'y', as its function gives it, is float64"):
        session.add("y", lambda: given[-1])
    assert session.names == ("x",)
    given.append(picture(0))
    other = session_of("prototypes")
    other.add("x", picture(0))
    np.testing.assert_array_equal(session.logits("x"), other.logits("x"))


def test_bytes_are_those_of_the_arrays():
    """Of features as query and as support, and of what guides a filter, the pixels among it."""
    session = session_of("prototypes", "a")
    session.mask("a")
    features = np.prod(session._features["a"].observed.support.shape) * 4
    assert features % SMALL["feature_width"] == 0 and features <= session.held() <= 2 * features + 100
    filtered = session_of("prototypes", "a", guided_filter=True)
    assert filtered.held() > session.held() + PICTURES["a"].nbytes
    assert session.fresh().held() == 0
