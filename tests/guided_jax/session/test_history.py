"""Undo and redo of edits on several images, with no model: identities for any order."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from guided_jax.episode import Click
from guided_jax.session.history import History, forget, record, redo, undo

names = st.sampled_from(["a", "b", "c"])
edits = st.lists(
    st.dictionaries(names, st.builds(Click, st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)), min_size=1),
    max_size=8,
)
targets = st.lists(st.one_of(st.none(), names), max_size=12)
fixed = settings(max_examples=60, deadline=None, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink])


def recorded(some) -> History:
    history = History()
    for each in some:
        history = record(history, each)
    return history


@fixed
@given(some=edits, targets=targets)
def test_as_many_redos_as_undos_are_the_identity(some, targets):
    history = before = recorded(some)
    taken = []
    for name in targets:
        history, steps = undo(history, name)
        taken += [name] if steps else []
    for name in reversed(taken):
        history, steps = redo(history, name)
        assert steps
    assert sorted(history.done, key=lambda step: (step.number, step.name)) == sorted(
        before.done, key=lambda step: (step.number, step.name)
    )
    assert [step.number for step in history.done] == [step.number for step in before.done]
    assert all(history.edits(name) == before.edits(name) for name in "abc")
    assert history.undone == () and redo(history) == (history, ())


@fixed
@given(some=edits, targets=targets)
def test_redo_of_the_whole_session_takes_undos_of_any_image_back(some, targets):
    before = history = recorded(some)
    for name in targets:
        history, _ = undo(history, name)
    while history.undone:
        history, _ = redo(history)
    assert all(history.edits(name) == before.edits(name) for name in "abc")


@fixed
@given(some=edits, name=names)
def test_an_undo_of_one_image_is_its_last_edit_and_no_other(some, name):
    history = recorded(some)
    after, steps = undo(history, name)
    mine = history.edits(name)
    assert [step.edit for step in steps] == mine[-1:] and after.edits(name) == mine[:-1]
    for other in {"a", "b", "c"} - {name}:
        assert after.edits(other) == history.edits(other)


def test_edits_at_once_are_undone_at_once_and_alone():
    history = recorded([{"a": Click(0, 0, 1)}, {"a": Click(1, 0, 1), "b": Click(1, 1, 0)}])
    both, steps = undo(history)
    assert [step.name for step in steps] == ["a", "b"] and both.edits("a") == [Click(0, 0, 1)] and not both.edits("b")
    alone, _ = undo(history, "a")
    assert alone.edits("b") == [Click(1, 1, 0)]
    assert [step.name for step in undo(alone)[1]] == ["b"]
    assert redo(both, "b")[0].edits("a") == [Click(0, 0, 1)]
    assert redo(redo(both, "b")[0])[0].edits("a") == history.edits("a")


def test_a_new_edit_leaves_nothing_to_redo():
    history, _ = undo(recorded([{"a": Click(0, 0, 1)}, {"b": Click(1, 1, 0)}]))
    history = record(history, {"a": Click(2, 2, 1)})
    assert redo(history) == (history, ())
    assert [step.number for step in history.done] == [0, 1]


def test_a_forgotten_image_is_in_neither():
    history, _ = undo(recorded([{"a": Click(0, 0, 1), "b": Click(1, 0, 1)}, {"a": Click(1, 1, 0)}]), "b")
    left = forget(history, "b")
    assert [step.name for step in left.done] == ["a", "a"] and left.undone == ()
