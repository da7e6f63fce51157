"""A workspace: what events make of annotations and objects, in any order."""

import json

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from guided_jax.annotate.files.gallery import Gallery, Picture
from guided_jax.annotate.files.imports import events_of
from guided_jax.annotate.files.journal import Journal
from guided_jax.annotate.objects import COLOURS, LONGEST_NAME
from guided_jax.annotate.workspace import Workspace
from guided_jax.session import Session
from tests.guided_jax.annotate.serving import SIZE, picture

IMAGES = ("a.png", "b.png")
GALLERY = Gallery(
    "test", tuple(Picture(name, lambda number=number: picture(number)) for number, name in enumerate(IMAGES))
)


def opened(base: Session) -> Workspace:
    workspace = Workspace(base.fresh(), GALLERY)
    workspace.apply({"edit": "add_object", "name": ""})
    return workspace


def click(row=30, column=30, label=1, image="a.png") -> dict:
    return {"edit": "click", "image": image, "row": row, "column": column, "label": label}


def drawn() -> st.SearchStrategy:
    """Events as a page may send them, undo and redo among them; some are refused."""
    rows, columns, labels = st.sampled_from((5, 20, 30, 50)), st.sampled_from((10, 30, 66)), st.sampled_from((0, 1, 2))
    images, points = st.sampled_from(IMAGES), st.tuples(rows, columns).map(list)
    built = {
        "click": {"image": images, "row": rows, "column": columns, "label": labels},
        "unclick": {"image": images, "row": rows, "column": columns},
        "move": {"image": images, "start": points, "end": points},
        "scribble": {
            "image": images,
            "points": st.lists(points, min_size=1, max_size=3),
            "label": st.sampled_from((0, 1, 2, 255)),
            "width": st.sampled_from((1, 9)),
        },
        "clear": {"image": images},
        "undo": {},
        "redo": {},
        "add_object": {"name": st.sampled_from(("", "dog"))},
        "object": {"label": labels, "locked": st.booleans()},
        "delete_object": {"label": labels},
    }
    kinds = [st.fixed_dictionaries({"edit": st.just(kind), **fields}) for kind, fields in built.items()]
    return st.lists(st.one_of(kinds[0], kinds[0], *kinds), max_size=12)


def make(workspace: Workspace, events: list[dict]) -> list[dict]:
    """Applies events; gives those that were not refused."""
    made = []
    for event in events:
        try:
            if event["edit"] != "add_object" or len(workspace.session.objects) < 3:
                workspace.apply(event)
                made.append(event)
        except ValueError as error:
            assert "\n" not in str(error)
    return made


def told(workspace: Workspace) -> tuple:
    return workspace.annotations(), workspace.objects(), workspace.can_undo(), workspace.can_redo()


class TestAnyEdits:
    @settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])  # a mask may compile
    @given(drawn())
    def test_masks_are_those_of_the_annotations_that_are_left(self, base, events):
        workspace = opened(base)
        make(workspace, events)
        left = Workspace(base.fresh(), GALLERY)
        for name in IMAGES:
            workspace.open(name)
            left.open(name)
        left.session.load_annotations(workspace.session.annotations())
        if workspace.counts():
            for name in IMAGES:
                np.testing.assert_array_equal(workspace.mask(name), left.mask(name))

    @settings(max_examples=30, deadline=None)
    @given(drawn())
    def test_as_many_redos_as_undos_change_nothing(self, base, events):
        workspace = opened(base)
        make(workspace, events)
        before, count = told(workspace), workspace.session.steps[0]
        for _ in range(count):
            workspace.apply({"edit": "undo"})
        assert not workspace.can_undo() and workspace.counts() == {}
        for _ in range(count):
            workspace.apply({"edit": "redo"})
        assert told(workspace)[0] == before[0]

    @settings(max_examples=20, deadline=None)
    @given(drawn())
    def test_a_journal_brings_everything_back(self, base, tmp_path_factory, events):
        workspace, path = opened(base), tmp_path_factory.mktemp("journal") / "journal.jsonl"
        journal = Journal(path)
        for event in make(workspace, events):
            journal.add(event)
        journal.close()
        journal, again = Journal(path), opened(base)
        for event in journal.events:
            again.apply(event)
        journal.close()
        assert told(again) == told(workspace)

    @settings(max_examples=20, deadline=None)
    @given(drawn())
    def test_annotations_come_back_from_their_file(self, base, events):
        workspace, again = opened(base), opened(base)
        make(workspace, events)
        for event in events_of(again, workspace.annotations(), "the file"):
            again.apply(json.loads(json.dumps(event)))
        theirs = {name: label for label, (name, _) in again.objects().items()}
        labels = {label: theirs.get(name) for label, (name, _) in workspace.objects().items()}
        for name, image in workspace.annotations().images.items():
            found = again.annotations().images[name]
            assert found.size == image.size and len(found.marks) == len(image.marks)
            table = np.arange(256, dtype=np.uint8)
            table[[*labels]] = [label or 0 for label in labels.values()]
            np.testing.assert_array_equal(table[workspace.session.annotation(name)], again.session.annotation(name))


def test_an_object_has_a_name_and_a_colour_of_its_own(base):
    workspace = opened(base)
    workspace.apply({"edit": "add_object", "name": "dog"})
    workspace.apply({"edit": "object", "label": 2, "colour": "#112233", "hidden": True})
    assert [(name, shown.colour, shown.hidden) for name, shown in workspace.objects().values()] == [
        ("Object 1", COLOURS[0], False),
        ("dog", "#112233", True),
    ]


def test_a_deleted_object_comes_back_with_its_marks_and_gives_its_name_free(base):
    workspace = opened(base)
    workspace.apply({"edit": "object", "label": 1, "name": "dog"})
    workspace.apply(click())
    assert workspace.apply({"edit": "delete_object", "label": 1}) == "a.png"
    assert workspace.objects() == {} and workspace.counts() == {}
    workspace.apply({"edit": "undo"})
    assert [name for name, _ in workspace.objects().values()] == ["dog"]
    workspace.apply({"edit": "delete_object", "label": 1})
    workspace.apply({"edit": "add_object", "name": "dog"})
    assert {label: name for label, (name, _) in workspace.objects().items()} == {2: "dog"}


def test_nothing_is_drawn_of_an_object_that_is_annotated_nowhere(base):
    workspace = opened(base)
    workspace.apply({"edit": "add_object", "name": ""})
    workspace.apply(click())
    assert {*np.unique(workspace.mask("a.png"))} <= {0, 1}


@pytest.mark.parametrize(
    "event",
    [
        click(40, 40, 1),  # of it
        click(30, 30, 0),  # on its click
        {"edit": "scribble", "image": "a.png", "points": [[30, 20], [30, 40]], "label": 255, "width": 3},
        {"edit": "scribble", "image": "a.png", "points": [[20, 30], [40, 30]], "label": 2, "width": 1},
        {"edit": "unclick", "image": "a.png", "row": 30, "column": 30},
        {"edit": "move", "image": "a.png", "start": [30, 30], "end": [31, 31]},
        {"edit": "move", "image": "a.png", "start": [50, 10], "end": [30, 30]},
        {"edit": "clear", "image": "a.png"},
        {"edit": "delete_object", "label": 1},
    ],
)
def test_a_locked_object_is_left_alone(base, event):
    workspace = opened(base)
    workspace.apply({"edit": "add_object", "name": ""})
    workspace.apply(click())
    workspace.apply(click(50, 10, 2))
    workspace.apply({"edit": "object", "label": 1, "locked": True})
    before = told(workspace)
    with pytest.raises(ValueError, match=r"^Object 1 is locked; unlock it first$"):
        workspace.apply(event)
    assert told(workspace) == before
    workspace.apply(click(40, 40, 2))
    workspace.apply({"edit": "object", "label": 1, "locked": False})
    workspace.apply(event)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({}, "the edit None is none"),
        ({"edit": "explode"}, "the edit 'explode' is none"),
        ({"edit": "undo", "more": 1}, "the edit 'undo' is none, or its fields are not sound"),
        (click(image="../etc/passwd"), "there is no image '../etc/passwd' here"),
        (click(image=["a.png"]), "the name of an image is a list; it must be a text"),
        (click(60), "lies outside the image 'a.png' of 60x80 pixels"),
        (click(row="3"), "must be whole numbers"),
        (click(row=True), "must be whole numbers"),
        (click(label=7), "the click has the label 7; the labels are 0 (the negative) to 2"),
        (click(label=255), "the click has the label 255"),
        (
            {"edit": "scribble", "image": "a.png", "points": [[0, 0]] * 5001, "label": 1, "width": 1},
            "at most 5000 pairs",
        ),
        (
            {"edit": "scribble", "image": "a.png", "points": [[0, 0.5]], "label": 1, "width": 1},
            "pairs of whole numbers",
        ),
        ({"edit": "scribble", "image": "a.png", "points": [[0, 0]], "label": 1, "width": 0}, "0 pixels wide"),
        ({"edit": "object", "label": 1, "colour": "red"}, "the colour 'red' is none; one is written #rrggbb"),
        ({"edit": "object", "label": 1, "colour": "#112233;x"}, "is written #rrggbb"),
        ({"edit": "object", "label": 1, "hidden": 1}, "an object has the fields"),
        ({"edit": "object", "label": 1, "name": ""}, "an object needs a name"),
        ({"edit": "object", "label": 1, "name": "x" * (LONGEST_NAME + 1)}, "a text of at most 80 characters"),
        ({"edit": "object", "label": 1, "name": "a\nb"}, "a text of at most 80 characters"),
        ({"edit": "object", "label": 1, "name": "cat"}, "there is an object 'cat' already"),
        ({"edit": "add_object", "name": "cat"}, "there is an object 'cat' already"),
        ({"edit": "object", "label": 9, "hidden": True}, "there is no object of the label 9"),
        ({"edit": "marks", "image": "a.png", "size": [9, 9], "marks": []}, "is 9x9 pixels"),
        (
            {"edit": "marks", "image": "a.png", "size": [*SIZE], "marks": [{"point": [99, 0], "label": 1}]},
            "a point must be",
        ),
    ],
)
def test_what_is_not_sound_is_refused_and_changes_nothing(base, event, message):
    workspace = opened(base)
    workspace.apply({"edit": "add_object", "name": "cat"})
    workspace.apply(click(40, 40))
    before = told(workspace)
    with pytest.raises(ValueError) as refused:
        workspace.apply(event)
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert told(workspace) == before
