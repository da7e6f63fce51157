"""Annotations in files: what was written is read, and what is not sound is refused by its place."""

import json

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from guided_jax.episode import UNKNOWN, Click
from guided_jax.session.annotation_file import (
    AnnotatedImage,
    Annotations,
    from_counts,
    from_json,
    read_annotations,
    to_counts,
    to_json,
    write_annotations,
)
from guided_jax.session.marks import LabelMap, Scribble
from tests.guided_jax.session.small_sessions import same, session_of

SIZE = (4, 6)
pixels = st.tuples(st.integers(0, SIZE[0] - 1), st.integers(0, SIZE[1] - 1))
labels = st.sampled_from([0, 1, 7])
maps = st.lists(st.sampled_from([0, 1, 7, UNKNOWN]), min_size=24, max_size=24).map(
    lambda values: LabelMap.of(np.array(values, np.uint8).reshape(SIZE))
)
marks = st.one_of(
    st.builds(lambda pixel, label: Click(*pixel, label), pixels, labels),
    st.builds(
        Scribble,
        st.lists(pixels, min_size=1, max_size=3).map(tuple),
        st.one_of(labels, st.just(UNKNOWN)),
        st.integers(1, 10),
    ),
    maps,
)
images = st.dictionaries(
    st.one_of(st.integers(), st.text(max_size=3)),
    st.lists(marks, max_size=5).map(lambda each: AnnotatedImage(SIZE, tuple(each))),
    max_size=3,
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(images=images, name=st.text(max_size=4))
def test_what_is_written_is_read(tmp_path_factory, images, name):
    annotations = Annotations({1: name, 7: "" if name else "seven"}, images)
    path = tmp_path_factory.getbasetemp() / "annotations.json"
    write_annotations(path, annotations)
    read = read_annotations(path)
    assert read == annotations and [*read.images] == [*images]
    assert all(type(mark) is type(other) for a, b in zip(read.images.values(), images.values(), strict=True)
               for mark, other in zip(a.marks, b.marks, strict=True))  # fmt: skip


def test_a_file_by_hand():
    by_hand = {
        "format": "guided_jax annotations",
        "version": 1,
        "objects": [{"label": 1, "name": "dog"}],
        "images": [
            {
                "name": "photo",
                "size": [2, 3],
                "marks": [
                    {"point": [1, 2], "label": 1},
                    {"scribble": [[0, 0], [0, 1]], "width": 2, "label": 255},
                    {"mask": [{"label": 0, "counts": [0, 1, 5]}, {"label": 1, "counts": [3, 2, 1]}]},
                ],
            }
        ],
    }
    labels = np.array([[0, 255, 1], [255, 1, 255]], np.uint8)
    wanted = (Click(1, 2, 1), Scribble(((0, 0), (0, 1)), 255, 2), LabelMap.of(labels))
    assert from_json(by_hand, "x") == Annotations({1: "dog"}, {"photo": AnnotatedImage((2, 3), wanted)})
    assert to_json(from_json(by_hand, "x")) == by_hand


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # of pycocotools
def test_run_lengths_are_those_of_coco():
    rng = np.random.default_rng(0)
    for share in (0, 0.2, 0.7, 1):
        mask = rng.random((7, 5)) < share
        counts = to_counts(mask)
        np.testing.assert_array_equal(coco.decode(coco.frPyObjects({"size": [7, 5], "counts": counts}, 7, 5)), mask)
        np.testing.assert_array_equal(from_counts(counts, (7, 5), "x"), mask)


def changed(path, value):
    """A sound file's values, with another one at a place."""
    values = to_json(
        Annotations(
            {1: "dog", 2: ""},
            {
                "a": AnnotatedImage(
                    SIZE,
                    (Click(0, 0, 1), Scribble(((0, 0),), 1), LabelMap.of(np.zeros(SIZE, np.uint8))),
                ),
                "b": AnnotatedImage(SIZE, ()),
            },
        )
    )
    *places, last = path
    at = values
    for place in places:
        at = at[place]
    if value is KeyError:
        del at[last]
    else:
        at[last] = value
    return values


MARK = ("images", 0, "marks")
INSIDE = "a point must be [row, column] inside the image of 4x6 pixels"
REFUSED = {
    "another format": (("format",), "coco", "x: format is 'coco'; it must be 'guided_jax annotations'"),
    "another version": (("version",), 2, "x: version is 2; this one reads version 1"),
    "no images": (("images",), KeyError, "x: must be a group of the fields format, version, objects, images; it has"),
    "images by name": (("images",), {}, "x: images is a dict; it must be a list"),
    "an object 0": (("objects", 0, "label"), 0, "x: objects[0]: label is 0; it must be 1 to 254"),
    "an object twice": (("objects", 1, "label"), 1, "x: objects[1]: another object has the same label or name"),
    "a name twice": (("objects", 1, "name"), "dog", "x: objects[1]: another object has the same label or name"),
    "a name of none": (("objects", 1, "name"), None, "x: objects[1]: name is None; it must be a text"),
    "an image twice": (("images", 1, "name"), "a", "x: images[1]: another image has the name 'a'"),
    "an image of true": (("images", 1, "name"), True, "x: images[1]: name is True; it must be a text or a whole"),
    "a size": (("images", 0, "size"), [4, 0], "x: images[0]: size is [4, 0]; it must be (height, width) in pixels"),
    "no mark": ((*MARK, 0), {"dot": 1}, "x: images[0].marks[0] is a dict; it must be a group of fields with point"),
    "a mark of text": ((*MARK, 0), "point", "x: images[0].marks[0] is 'point'; it must be"),
    "a field more": ((*MARK, 0, "width"), 3, "x: images[0].marks[0]: must be a group of the fields point, label; it"),
    "outside": ((*MARK, 0, "point"), [4, 0], f"x: images[0].marks[0]: {INSIDE}"),
    "a fraction": ((*MARK, 0, "point"), [1.0, 0], f"x: images[0].marks[0]: {INSIDE}"),
    "three": ((*MARK, 0, "point"), [1, 0, 0], f"x: images[0].marks[0]: {INSIDE}"),
    "no object": ((*MARK, 0, "label"), 3, "x: images[0]: a mark has the label 3, which is none of the objects"),
    "unknown": ((*MARK, 0, "label"), 255, "x: images[0].marks[0]: label is 255; it must be 0 to 254"),
    "true": ((*MARK, 0, "label"), True, "x: images[0].marks[0]: label is True; it must be 0 to 254"),
    "no points": ((*MARK, 1, "scribble"), [], "x: images[0].marks[1]: must have a point at least, and a width of 1 to"),
    "no width": ((*MARK, 1, "width"), 0, "x: images[0].marks[1]: must have a point at least, and a width of 1 to 10"),
    "wide": ((*MARK, 1, "width"), 11, "and a width of 1 to 10 pixels"),
    "a width of text": ((*MARK, 1, "width"), "3", "x: images[0].marks[1]: width is '3'; it must be a whole number"),
    "a scribble outside": ((*MARK, 1, "scribble"), [[0, 0], [0, 6]], f"x: images[0].marks[1].scribble[1]: {INSIDE}"),
    "counts": ((*MARK, 2, "mask", 0, "counts"), [0, 23], "x: images[0].marks[2].mask[0]: counts must be whole numbers"),
    "negative counts": ((*MARK, 2, "mask", 0, "counts"), [-1, 25], "which sum to the 24 pixels of the image"),
    "compressed counts": ((*MARK, 2, "mask", 0, "counts"), "0P", "COCO's run lengths, uncompressed"),
}


@pytest.mark.parametrize(("path", "value", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(path, value, message):
    from_json(changed(("version",), 1), "x")
    with pytest.raises(ValueError) as refused:
        from_json(changed(path, value), "x")
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\ud800"])
def test_files_that_cannot_be_read(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"a\.json: cannot be read as JSON: [^\n]+$"):
        read_annotations(path)
    with pytest.raises(ValueError, match=r"none\.json: cannot be read as JSON: No such file"):
        read_annotations(tmp_path / "none.json")


def test_names_that_a_file_does_not_hold():
    for name in (("a", 1), 2.0, True, None, ()):
        with pytest.raises(ValueError, match="in a file it must be a str or an int"):
            to_json(Annotations({}, {name: AnnotatedImage(SIZE, ())}))


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    write_annotations(path, Annotations({1: "dog"}, {}))
    before = path.read_bytes()
    assert json.loads(before)["objects"] == [{"label": 1, "name": "dog"}]
    with pytest.raises(ValueError, match="must be a str or an int"):
        write_annotations(path, Annotations({}, {2.0: AnnotatedImage(SIZE, ())}))
    with pytest.raises(ValueError, match="cannot be written"):
        write_annotations(tmp_path / "none" / "a.json", Annotations({}, {}))
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_a_session_takes_what_a_file_holds_without_the_file():
    first, second = session_of("prototypes", "a"), session_of("prototypes", "a")
    first.click("a", 2, 3, first.add_object("dog"))
    second.load_annotations(first.annotations())
    assert second.objects == {1: "dog"}
    same(first, second)
