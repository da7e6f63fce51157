"""Whatever was edited, undone, saved or merged: a session is what the annotations that are left make of it."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from guided_jax.episode import UNKNOWN
from guided_jax.session import Session
from tests.guided_jax.session.small_sessions import PICTURES, SIZES, same, session_of

KINDS = ["prototypes", "neighbours", "binary"]
WAY = 3
names = st.sampled_from([*SIZES])
pixels = st.tuples(st.integers(0, 6), st.integers(0, 4))
labels = st.integers(0, WAY - 1)
colours = st.lists(st.tuples(pixels, labels), max_size=4)
edits = st.one_of(
    st.tuples(st.just("click"), names, pixels, labels),
    st.tuples(st.just("click"), names, pixels, labels),
    st.tuples(st.just("scribble"), names, st.lists(pixels, min_size=1, max_size=3), labels, st.integers(1, 4)),
    st.tuples(st.just("scribble"), names, st.lists(pixels, min_size=1, max_size=2), st.just(UNKNOWN), st.just(3)),
    st.tuples(st.just("annotate"), names, colours, st.booleans()),
    st.tuples(st.just("move"), names, st.integers(0, 5), pixels),
    st.tuples(st.just("unclick"), names, st.integers(0, 5)),
    st.tuples(st.just("clear"), st.one_of(st.none(), names), st.one_of(st.none(), labels)),
    st.tuples(st.sampled_from(["undo", "redo"]), st.one_of(st.none(), names)),
)
some_edits = st.lists(edits, min_size=3, max_size=12)


def fixed(examples):
    # What fails is shown as it is: to make it shorter takes minutes.
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, phases=[Phase.generate])


def do(session: Session, what, name, *rest) -> None:
    """An edit; those that need a click choose among those that are there, and are left out where there is none."""
    if what == "click":
        session.click(name, *rest[0], rest[1])
    elif what == "annotate":
        plane = np.full(SIZES[name], UNKNOWN, np.uint8)
        for pixel, label in rest[0]:
            plane[pixel] = label
        session.annotate(name, plane, over=rest[1], negatives_only=True)
    elif what == "clear":
        session.clear(name, label=rest[0])
    elif what in ("move", "unclick"):
        if clicks := session.clicks(name):
            point = clicks[rest[0] % len(clicks)][:2]
            session.move(name, point, rest[1]) if what == "move" else session.unclick(name, *point)
    else:
        getattr(session, what)(name, *rest)


def edited(kind, some) -> Session:
    session = session_of(kind, *SIZES, way=WAY)
    for number, edit in enumerate(some):
        do(session, *edit)
        if number % 3 == 1:
            session.mask("a")  # so that all that is kept of every annotation is there, to be stale
    return session


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_is_what_the_annotations_left_make(kind, tmp_path):
    """Through a file; and by the plain label map, to rounding, since then nothing is known by coordinates."""
    seen = set()

    @fixed(20)
    @given(some=some_edits)
    def run(some):
        session, read, plain = (session_of(kind, *SIZES, way=WAY) for _ in range(3))
        session = edited(kind, some)
        session.save_annotations(tmp_path / "a.json")
        read.load_annotations(tmp_path / "a.json")
        same(session, read)
        assert read.annotations().images == session.annotations().images
        for name in SIZES:
            plain.annotate(name, session.annotation(name), negatives_only=True)
        for name in SIZES:
            wanted = plain.logits(name)
            np.testing.assert_allclose(session.logits(name), wanted, atol=1e-5 * np.abs(wanted).max() + 1e-7)
        seen.update(np.unique(session.annotation("a")).tolist())
        read.undo()  # the whole file
        assert all((read.annotation(name) == UNKNOWN).all() for name in SIZES)

    run()
    assert seen == {0, 1, 2, UNKNOWN}


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_redos_as_undos_are_the_identity(kind):
    most = 0

    @fixed(15)
    @given(some=some_edits, targets=st.lists(st.one_of(st.none(), names), min_size=1, max_size=8))
    def run(some, targets):
        nonlocal most
        session = edited(kind, some)
        before = {name: (session.annotations(), session.logits(name)) for name in SIZES}
        taken = [name for name in targets if session.undo(name) is not None]
        session.mask("a")
        changed = session.annotations() != before["a"][0]
        for name in reversed(taken):
            assert session.redo(name) is not None
        for name, (annotations, logits) in before.items():
            assert session.annotations() == annotations
            np.testing.assert_array_equal(session.logits(name), logits)
        while session.undo() is not None:
            pass
        assert session.annotations().images == {}
        most = max(most, len(taken) if changed else 0)

    run()
    assert most >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_merged_parts_are_the_whole(kind):
    """Each image in a session of its own, the objects named in another order; or all in one, and merged into none."""

    @fixed(15)
    @given(some=some_edits)
    def run(some):
        whole, merged = edited(kind, some), session_of(kind, way=WAY)
        copied = session_of(kind, way=WAY)
        copied.merge(whole)
        same(copied, whole)
        for name in SIZES:
            part = session_of(kind, name, way=WAY)
            part.annotate(name, whole.annotation(name), negatives_only=True)
            merged.merge(part)
        assert merged.names == whole.names
        for name in SIZES:
            wanted = whole.logits(name)
            np.testing.assert_array_equal(merged.annotation(name), whole.annotation(name))
            np.testing.assert_allclose(merged.logits(name), wanted, atol=1e-5 * np.abs(wanted).max() + 1e-7)
        for _ in SIZES:
            merged.undo()
        assert merged.annotations().images == {}

    run()


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_clicks_is_without_effect(kind):
    @fixed(10)
    @given(clicks=st.dictionaries(st.tuples(names, pixels), labels, min_size=2, max_size=8), seed=st.integers(0, 99))
    def run(clicks, seed):
        one, other = session_of(kind, *SIZES, way=WAY), session_of(kind, *SIZES, way=WAY)
        chosen = [*clicks.items()]
        for session, order in (
            (one, range(len(chosen))),
            (other, np.random.default_rng(seed).permutation(len(chosen))),
        ):
            for number in order:
                (name, pixel), label = chosen[number]
                session.click(name, *pixel, label)
        for name in SIZES:
            wanted = one.logits(name)
            np.testing.assert_allclose(other.logits(name), wanted, atol=1e-5 * np.abs(wanted).max() + 1e-7)

    run()


def test_merging_two_peoples_objects():
    """Known by name whatever their labels; an image of both has the marks of both, the later ones above."""
    mine, theirs = session_of("prototypes", "a", "b"), session_of("prototypes", "b", 3)
    dog, cat = mine.add_object("dog"), mine.add_object("cat")
    other_cat, bird = theirs.add_object("cat"), theirs.add_object("bird")
    mine.click("a", 1, 1, dog)
    mine.click("b", 2, 2, cat)
    mine.click("b", 5, 5, dog)
    theirs.click("b", 5, 5, other_cat)
    theirs.scribble(3, [(0, 0), (0, 3)], bird)
    theirs.click(3, 6, 4, 0)
    before = mine.logits("a")
    mine.merge(theirs)
    assert mine.names == ("a", "b", 3) and mine.objects == {1: "dog", 2: "cat", 3: "bird"} and mine.way == 4
    assert mine.annotation("b")[[2, 5], [2, 5]].tolist() == [2, 2] and (mine.annotation("b") != UNKNOWN).sum() == 2
    assert mine.annotation(3)[0].tolist() == [3, 3, 3, 3, UNKNOWN] and mine.annotation(3)[6, 4] == 0
    assert theirs.objects == {1: "cat", 2: "bird"} and theirs.clicks("b") == ((5, 5, 1),)
    again = session_of("prototypes", "a", "b", 3, way=4)
    for name, clicks in {"a": [(1, 1, 1)], "b": [(2, 2, 2), (5, 5, 2)]}.items():
        for click in clicks:
            again.click(name, *click)
    again.scribble(3, [(0, 0), (0, 3)], 3)
    again.click(3, 6, 4, 0)
    same(mine, again)
    mine.undo()  # one edit: of both images
    assert mine.clicks("b") == ((2, 2, 2), (5, 5, 1)) and mine.clicks(3) == ()
    np.testing.assert_allclose(mine.logits("a")[:3], before, atol=1e-5 * np.abs(before).max())
    assert mine.redo() is not None
    same(mine, again)


def test_a_merge_that_is_refused_changes_nothing(tmp_path):
    mine = session_of("prototypes", "a")
    mine.click("a", 1, 1, 1)
    before = mine.annotations(), mine.logits("a")
    theirs = session_of("prototypes", "b")
    theirs.add("a", PICTURES[3])
    theirs.click("a", 1, 1, theirs.add_object("dog"))
    three, four = session_of("three", "a"), session_of("three", "b")
    for session in (three, four):
        for name in ("x", "y") if session is three else ("y", "z"):
            session.add_object(name)
    theirs.save_annotations(tmp_path / "a.json")
    refused = {
        "the other session: image 'a' is 7x5 pixels (height x width) there and 9x12 here": lambda: mine.merge(theirs),
        "a.json: image 'a' is 7x5 pixels": lambda: mine.load_annotations(tmp_path / "a.json"),
        "annotates image 'a', which the session does not hold; add it first": lambda: session_of(
            "prototypes", "b"
        ).load_annotations(tmp_path / "a.json"),
        "it must be another session": lambda: mine.merge(mine),
        "one of the sessions has guided_filter=True": lambda: mine.merge(
            session_of("prototypes", "b", guided_filter=True)
        ),
        "way=4: the head scores 3 labels": lambda: three.merge(four),
    }
    for message, call in refused.items():
        with pytest.raises(ValueError) as error:
            call()
        assert message in str(error.value) and "\n" not in str(error.value)
    assert mine.names == three.names == ("a",) and mine.objects == {1: ""} and three.objects == {1: "x", 2: "y"}
    assert mine.annotations() == before[0] and mine.way == 2
    np.testing.assert_array_equal(mine.logits("a"), before[1])


def test_a_new_edit_clears_what_may_be_redone_and_one_that_is_refused_or_idle_does_not():
    session = session_of("prototypes", "a")
    session.click("a", 1, 1, 1)
    session.click("a", 2, 2, 0)
    session.undo()
    with pytest.raises(ValueError, match="there is no click at row 2, column 2 of image 'a'"):
        session.unclick("a", 2, 2)
    session.clear("a", label=0)
    session.move("a", (1, 1), (1, 1))
    assert session.redo() == (2, 2, 0) and session.redo() is None
    session.undo()
    session.move("a", (1, 1), (3, 3))
    assert session.redo() is None and session.clicks("a") == ((3, 3, 1),)
    assert session.undo() == ((1, 1), (3, 3)) and session.clicks("a") == ((1, 1, 1),)
