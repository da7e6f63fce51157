"""Objects are added at any time: the numbers are those of a session that had them from the start."""

import numpy as np
import pytest

from guided_jax.episode import Click
from guided_jax.session.objects import match_objects
from tests.guided_jax.session.small_sessions import PICTURES, same, session_of

MATCHED = {
    "nothing here": ({}, {1: "dog", 4: ""}, {1: 1, 4: 4}),
    "by name": ({1: "dog", 2: "cat"}, {1: "cat", 2: "dog"}, {1: 2, 2: 1}),
    "no name by label": ({1: "", 2: ""}, {2: "", 1: ""}, {1: 1, 2: 2}),
    "a free label is kept": ({1: "dog"}, {3: "bird"}, {3: 3}),
    "a taken one is not": ({1: "dog"}, {1: "bird"}, {1: 2}),
    "nor one that they use": ({1: "dog"}, {1: "bird", 2: "cat"}, {1: 3, 2: 2}),
    "a name is not no name": ({1: ""}, {1: "dog"}, {1: 2}),
    "no name is not a name": ({1: "dog"}, {1: "", 2: ""}, {1: 3, 2: 2}),
    "two new ones": ({1: "dog", 2: "cat"}, {1: "bird", 2: "fish"}, {1: 3, 2: 4}),
}


@pytest.mark.parametrize(("mine", "theirs", "wanted"), MATCHED.values(), ids=MATCHED)
def test_which_objects_are_the_same(mine, theirs, wanted):
    found = match_objects(mine, theirs)
    assert found == wanted and len({*found.values()}) == len(found)


def test_labels_of_objects():
    session = session_of("prototypes", "a")
    assert session.way == 2 and session.objects == {}
    session.click("a", 1, 1, 1)  # is an object, then
    session.click("a", 8, 11, 0)  # the negative is none
    assert session.objects == {1: ""}
    assert session.add_object("dog") == 2 and session.way == 3
    assert session.add_object() == 3 and session.way == 4
    assert session.objects == {1: "", 2: "dog", 3: ""}
    with pytest.raises(ValueError, match="there is an object 'dog' already"):
        session.add_object("dog")
    assert session.fresh().way == 2 and session.fresh().objects == {}
    other = session_of("prototypes", "a", way=5)
    assert [other.add_object(name) for name in "xyz"] == [1, 2, 3] and other.way == 5
    other.annotate("a", np.full((9, 12), 4, np.uint8))
    assert other.objects == {1: "x", 2: "y", 3: "z", 4: ""}
    other.undo()
    assert [*other.objects] == [1, 2, 3, 4]


CLICKS = {"a": (Click(1, 2, 1), Click(7, 9, 2), Click(4, 4, 0)), "b": (Click(3, 3, 2), Click(8, 11, 0))}


@pytest.mark.parametrize("kind", ["prototypes", "neighbours", "decoder", "binary", "early", "stacked"])
def test_objects_added_later_are_as_those_from_the_start(kind):
    names = ("a",) if kind == "stacked" else ("a", "b")
    session, early = session_of(kind, *names), session_of(kind, *names, way=3)
    for name in names:
        for click in CLICKS[name][::-1]:
            early.click(name, *click)
            if click.label < 2:
                session.click(name, *click)
    before = session.logits("a")
    assert len(before) == 2
    assert session.add_object() in (1, 2)
    for name in names:
        session.clear(name)
        for click in CLICKS[name][::-1]:
            session.click(name, *click)
    same(session, early)
    assert len(session.logits("a")) == 3
    np.testing.assert_array_equal(session.mask("a"), early.mask("a"))


@pytest.mark.parametrize("kind", ["binary", "early", "stacked"])
def test_a_head_of_two_labels_segments_a_union(kind):
    """Each label against the rest, as sessions on two labels have it."""
    session, odds = session_of(kind, "a", way=3), [np.zeros((9, 12), np.float32)]
    for click in CLICKS["a"]:
        session.click("a", *click)
    for label in (1, 2):
        alone = session_of(kind, "a")
        for click in CLICKS["a"]:
            alone.click("a", click.row, click.column, int(click.label == label))
        odds.append(np.subtract(*alone.logits("a")[::-1]))
    np.testing.assert_allclose(session.logits("a"), np.stack(odds), atol=1e-5 * np.abs(odds).max())
    clear = np.sort(odds, 0)[-1] - np.sort(odds, 0)[-2] > 1e-4 * np.abs(odds).max()
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(session.mask("a")[clear], np.argmax(odds, 0)[clear])


def test_a_number_of_labels_compiles_once():
    session = session_of("neighbours", "a", guided_filter=True)

    def look(session):
        session.click("a", 1, 1, session.way - 1)
        session.mask("a")
        return session.compiled()

    first = look(session)
    session.add_object("a")
    session.add_object("b")
    assert look(session) == first + 2  # guide and labels; neither the encoder nor the edges
    again = session_of("neighbours", guided_filter=True)
    again.add("a", PICTURES["b"])
    for name in "cde":
        again.add_object(name)
    assert look(again) == first + 2


def test_a_head_of_three_labels_takes_no_fourth():
    session = session_of("three", "a")
    assert [session.add_object(), session.add_object()] == [1, 2]
    session.click("a", 1, 1, 2)
    before = session.logits("a")
    with pytest.raises(ValueError, match="way=4: the head scores 3 labels at once, and no label against the rest"):
        session.add_object()
    assert session.way == 3 and session.objects == {1: "", 2: ""}
    np.testing.assert_array_equal(session.logits("a"), before)
    assert len(before) == 3
