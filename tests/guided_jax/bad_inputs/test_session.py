"""What a session is given by mistake, a line each, and what it takes."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from guided_jax.session import Session
from tests.guided_jax.bad_inputs.refusals import check_refused
from tests.guided_jax.small_models import small_model

SIZE = (9, 12)
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
MAP = np.full(SIZE, 255, np.uint8)
MAP[2:5, 3:6], MAP[7:] = 1, 0
OBJECT = MAP == 1

WANTED = "it must be uint8 [height, width, 3], RGB"
IMAGES = {
    "none": (None, f"image 'b' is None; {WANTED} (cv2.imread gives None where it cannot read a file)"),
    "pil": (Image.fromarray(PICTURE), f"image 'b' is an Image; {WANTED} (np.asarray(image.convert(\"RGB\")))"),
    "path": ("b.jpg", f"image 'b' is 'b.jpg'; {WANTED}"),
    "list": (PICTURE.tolist(), f"image 'b' is a list; {WANTED}"),
    "float": (
        PICTURE / np.float32(255),
        f"is float32 (9, 12, 3); {WANTED} (of values in [0, 1]: np.round(255 * image)",
    ),
    "int": (PICTURE.astype(np.int64), f"is int64 (9, 12, 3); {WANTED}"),
    "16 bits": (PICTURE.astype(np.uint16), f"is uint16 (9, 12, 3); {WANTED}"),
    "bool": (PICTURE > 0, f"is bool (9, 12, 3); {WANTED}"),
    "grey": (PICTURE[..., 0], f"is uint8 (9, 12); {WANTED} (of a grey image: np.stack([image] * 3, -1))"),
    "grey with an axis": (
        PICTURE[..., :1],
        f"is uint8 (9, 12, 1); {WANTED} (of a grey image: np.repeat(image, 3, -1))",
    ),
    "alpha": (np.dstack([PICTURE, MAP]), f"is uint8 (9, 12, 4); {WANTED} (without the alpha channel: image[..., :3])"),
    "channels first": (np.moveaxis(PICTURE, -1, 0), f"is uint8 (3, 9, 12); {WANTED} (channels last: np.moveaxis"),
    "batch": (PICTURE[None], f"is uint8 (1, 9, 12, 3); {WANTED}"),
    "empty": (PICTURE[:0], f"is uint8 (0, 12, 3); {WANTED}"),
    "number": (np.uint8(3), f"image 'b' is np.uint8(3); {WANTED}"),
    "masked": (
        np.ma.masked_array(PICTURE, PICTURE > 9),
        f"is a masked array, uint8 (9, 12, 3); {WANTED} (image.data is all of it",
    ),
    "objects": (np.array([[[None] * 3]]), f"is object (1, 1, 3); {WANTED}"),
}

MAPS = {
    "none": (None, "the annotation of image 'a' is None; it must be uint8 (9, 12), as high and wide as the image"),
    "list": (MAP.tolist(), "is a list; it must be uint8 (9, 12)"),
    "pil": (Image.fromarray(MAP), "is an Image; it must be uint8 (9, 12)"),
    "float": (OBJECT.astype(np.float32), "is float32 (9, 12); it must be uint8 (9, 12)"),
    "nan": (np.full(SIZE, np.nan), "is float64 (9, 12); it must be uint8"),
    "int": (MAP.astype(np.int64), "(labels.astype(np.uint8), if its values are labels)"),
    "bool": (OBJECT, "(of a bool mask: mask.astype(np.uint8) where False is negative, np.where(mask, 1, 255)"),
    "turned": (np.ascontiguousarray(MAP.T), "is uint8 (12, 9); it must be uint8 (9, 12)"),
    "rows": (MAP[1:], "is uint8 (8, 12); it must be uint8 (9, 12), as high and wide as the image"),
    "channels": (np.dstack([MAP] * 3), "is uint8 (9, 12, 3); it must be uint8 (9, 12)"),
    "masked": (np.ma.masked_array(MAP, OBJECT), "is a masked array, uint8 (9, 12); it must be uint8 (9, 12), as high"),
    "0 and 255": (OBJECT.astype(np.uint8) * 255, "has the values 0 and 255 alone, so that it shows no object: 255 is"),
    "0 and 128": (OBJECT.astype(np.uint8) * 128, "has the label 128; the labels are 0 (the negative) to 1, and 255"),
    "two objects": (OBJECT.astype(np.uint8) * 2, "has the label 2; the labels are 0 (the negative) to 1"),
}

WHOLE = "it must be a whole number (int)"
CLICKS = {
    "float": ((1.0, 2, 1), f"the row of a click on image 'a' is 1.0; {WHOLE}"),
    "fraction": ((1, 2.5, 1), f"the column of a click on image 'a' is 2.5; {WHOLE}"),
    "nan": ((float("nan"), 2, 1), f"the row of a click on image 'a' is nan; {WHOLE}"),
    "infinite": ((1, float("inf"), 1), f"is inf; {WHOLE}"),
    "float32": ((np.float32(1), 2, 1), f"is np.float32(1.0); {WHOLE}"),
    "text": ((1, "2", 1), f"is '2'; {WHOLE}"),
    "none": ((1, 2, None), f"the label of a click on image 'a' is None; {WHOLE}"),
    "true": ((1, 2, True), f"the label of a click on image 'a' is True; {WHOLE}"),
    "numpy's true": ((1, 2, np.True_), f"is np.True_; {WHOLE}"),
    "pair": (((1, 2), 2, 1), f"the row of a click on image 'a' is a tuple; {WHOLE}"),
    "array": ((np.array([1]), 2, 1), f"is int64 (1,); {WHOLE}"),
    "below": ((9, 0, 1), "row 9, column 0 lies outside the image 'a' of 9x12 pixels (height x width"),
    "right": ((0, 12, 1), "lies outside the image 'a'"),
    "negative": ((-1, 0, 1), "lies outside the image 'a'"),
    "huge": ((2**70, 0, 1), "lies outside the image 'a'"),
    "label": ((0, 0, 2), "the click has the label 2; the labels are 0 (the negative) to 1"),
    "unknown": ((0, 0, 255), "the click has the label 255"),
}

NAMES = {
    "none": (None, "the name of an image is None; undo and clear take it for all images"),
    "list": (["a"], "the name of an image is a list; it must be hashable, as a str or an int"),
    "array": (PICTURE, "the name of an image is uint8 (9, 12, 3); it must be hashable"),
    "nan": (float("nan"), "the name of an image is nan; it must equal itself, as a str or an int does"),
    "nested": (("a", []), "the name of an image is a tuple; it must be hashable"),
}


@cache
def opened() -> Session:
    return Session(*small_model(inference="distance"))


@pytest.fixture
def session():
    fresh = opened().fresh()
    fresh.add("a", PICTURE)
    return fresh


@pytest.mark.parametrize(("image", "message"), IMAGES.values(), ids=IMAGES)
def test_what_is_no_image(session, image, message):
    check_refused(lambda: session.add("b", image), message)
    assert session.names == ("a",)


@pytest.mark.parametrize(("annotation", "message"), MAPS.values(), ids=MAPS)
def test_what_is_no_annotation(session, annotation, message):
    session.click("a", 1, 1, 1)
    check_refused(lambda: session.annotate("a", annotation), message)
    assert session.clicks("a") == ((1, 1, 1),)


@pytest.mark.parametrize(("click", "message"), CLICKS.values(), ids=CLICKS)
def test_what_is_no_click(session, click, message):
    check_refused(lambda: session.click("a", *click), message)
    assert session.clicks("a") == () and session.undo() is None


@pytest.mark.parametrize(("name", "message"), NAMES.values(), ids=NAMES)
def test_what_is_no_name(session, name, message):
    calls = {"add": (PICTURE,), "click": (0, 0, 1), "annotate": (MAP,), "mask": (), "logits": (), "remove": ()}
    calls |= {"scribble": ([(0, 0)], 1), "move": ((0, 0), (1, 1)), "unclick": (0, 0), "annotation": ()}
    calls |= {"clicks": ()} if name is None else {"clicks": (), "undo": (), "redo": (), "clear": ()}
    for method, arguments in calls.items():
        check_refused(lambda method=method, rest=arguments: getattr(session, method)(name, *rest), message)


EDITS = {
    "no points": ("scribble", ("a", [], 1), "a scribble on image 'a' has no points; it needs one at least"),
    "points of none": (
        "scribble",
        ("a", None, 1),
        "the points of a scribble on image 'a' are None; they must be a list",
    ),
    "a flat list": (
        "scribble",
        ("a", [1, 2], 1),
        "a scribble on image 'a' has the point 1; a point must be (row, column",
    ),
    "text": ("scribble", ("a", "12", 1), "a scribble on image 'a' has the point '1'; a point must be (row, column)"),
    "three": ("scribble", ("a", [(1, 2, 3)], 1), "has the point a tuple; a point must be (row, column)"),
    "a point outside": (
        "scribble",
        ("a", [(1, 2), (9, 0)], 1),
        "the scribble at row 9, column 0 lies outside the image",
    ),
    "a float": ("scribble", ("a", [(1, 2.0)], 1), f"the column of a scribble on image 'a' is 2.0; {WHOLE}"),
    "no label": ("scribble", ("a", [(1, 2)], 2), "the scribble has the label 2; the labels are 0 (the negative) to 1"),
    "a label of text": ("scribble", ("a", [(1, 2)], "1"), f"the label of a scribble on image 'a' is '1'; {WHOLE}"),
    "no width": ("scribble", ("a", [(1, 2)], 1, 0), "a scribble on image 'a' is 0 pixels wide; it must be 1 to 21"),
    "wide": ("scribble", ("a", [(1, 2)], 1, 2**70), "pixels wide; it must be 1 to 21"),
    "half a pixel": ("scribble", ("a", [(1, 2)], 1, 0.5), f"the width of a scribble on image 'a' is 0.5; {WHOLE}"),
    "move nothing": ("move", ("a", (1, 2), (3, 4)), "there is no click at row 1, column 2 of image 'a'"),
    "move outside": ("move", ("a", (4, 4), (9, 4)), "the click at row 9, column 4 lies outside the image 'a'"),
    "move a number": ("move", ("a", 4, (1, 1)), "a click on image 'a' has the point 4; a point must be (row, column)"),
    "unclick nothing": ("unclick", ("a", 1, 2), "there is no click at row 1, column 2 of image 'a'"),
    "unclick outside": ("unclick", ("a", -1, 2), "the click at row -1, column 2 lies outside the image 'a'"),
    "clear no label": ("clear", ("a",), "what is to be cleared has the label 2; the labels are 0 (the negative) to 1"),
    "an object of 3": ("add_object", (3,), "the name of an object is 3; it must be a str"),
    "merge nothing": ("merge", (None,), "what is merged is None; it must be another session"),
}


@pytest.mark.parametrize(("method", "arguments", "message"), EDITS.values(), ids=EDITS)
def test_what_is_no_edit(session, method, arguments, message):
    session.click("a", 4, 4, 1)
    options = {"label": 2} if method == "clear" else {}
    check_refused(lambda: getattr(session, method)(*arguments, **options), message)
    assert session.clicks("a") == ((4, 4, 1),) and session.objects == {1: ""}
    assert session.undo() == (4, 4, 1) and session.undo() is None


PARAMS = {"way": 2, "canvases": ()}
OPENINGS = {
    "a path": (("guide.safetensors",), {}, "the model is 'guide.safetensors'; it must be what guided_jax.load gives"),
    "way of 1": (None, {"way": 1}, "way=1: must be 2 (the negative and one positive) to 255"),
    "way of 300": (None, {"way": 300}, "way=300: must be 2 (the negative and one positive) to 255: labels are uint8"),
    "way below 0": (None, {"way": -1}, "way=-1: must be 2"),
    "way of a float": (None, {"way": 2.0}, "way is 2.0; it must be a whole number (int)"),
    "a budget of text": (None, {"budget": "1 GB"}, "budget is '1 GB'; it must be a whole number (int)"),
    "a budget below 0": (None, {"budget": -1}, "budget=-1: must be 0 or more bytes, or None for no bound"),
    "a canvas alone": (None, {"canvases": (480, 640)}, "a canvas is 480; it must be (height, width)"),
    "no canvases": (None, {"canvases": None}, "canvases is None; it must be a list of (height, width) in pixels"),
    "canvases of text": (None, {"canvases": "96x96"}, "canvases is '96x96'; it must be a list of (height, width)"),
    "a canvas of 0": (None, {"canvases": [(0, 640)]}, "a canvas is (0, 640); it must be (height, width) in pixels"),
    "a canvas of three": (None, {"canvases": [(9, 9, 3)]}, "a canvas is (9, 9, 3); it must be (height, width)"),
    "a canvas of text": (None, {"canvases": ["480x640"]}, "a canvas is '480x640'; it must be (height, width)"),
}


@pytest.mark.parametrize(("model", "options", "message"), OPENINGS.values(), ids=OPENINGS)
def test_what_opens_no_session(model, options, message):
    check_refused(lambda: Session(*(model or small_model(inference="distance")), **options), message)


def test_integers_and_arrays_of_any_kind_are_taken(session):
    for label, kind in enumerate((int, np.int64, np.uint8, jnp.int32, np.array)):
        session.click("a", kind(label), kind(3), kind(label % 2))
    assert session.clicks("a") == tuple((label, 3, label % 2) for label in range(5))
    assert all(type(part) is int for click in session.clicks("a") for part in click)
    expected = session.mask("a")
    other = session.fresh()
    other.add("a", jnp.asarray(PICTURE))
    wide = np.asfortranarray(np.pad(PICTURE, ((0, 0), (0, 0), (0, 2))))[..., :3]
    wide.flags.writeable = False
    other.add(("b", 1), wide)
    for click in session.clicks("a"):
        other.click("a", *click)
    np.testing.assert_array_equal(other.mask("a"), expected)
    np.testing.assert_array_equal(other.mask(("b", 1)), expected)
    other.annotate("a", jnp.asarray(MAP))
    session.annotate("a", MAP)
    np.testing.assert_array_equal(other.mask("a"), session.mask("a"))


def test_negatives_alone_are_taken_where_they_are_meant(session):
    negatives = np.where(MAP == 0, 0, 255).astype(np.uint8)
    session.click("a", 3, 3, 1)
    positive = session.logits("a")
    session.annotate("a", negatives, negatives_only=True)
    session.click("a", 3, 3, 1)
    assert (session.logits("a") != positive).any()
    session.annotate("a", np.zeros(SIZE, np.uint8))  # nothing is unannotated: no mask of an object
    session.annotate("a", np.full(SIZE, 255, np.uint8))
    check_refused(lambda: session.annotate("a", np.full(SIZE, 2, np.uint8), negatives_only=True), "has the label 2")


def test_a_later_change_of_an_array_changes_nothing(session):
    image, annotation = PICTURE.copy(), MAP.copy()
    session.add("b", image)
    session.annotate("b", annotation)
    image[:], annotation[:] = 0, 255
    other = session.fresh()
    other.add("b", PICTURE)
    other.annotate("b", MAP)
    np.testing.assert_array_equal(session.mask("b"), other.mask("b"))
