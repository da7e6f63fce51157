"""Sessions give what the model gives, take everything back, and compile once."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.resnet.geometry import ResNetGeometry
from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.episode import UNKNOWN, Click, Episode
from guided_jax.guided_filter import apply_filter, filter_guide, to_blocks
from guided_jax.guides import late
from guided_jax.guides.clicks import NO_LABEL, PaddedClicks, guide_clicks
from guided_jax.resample import label_planes
from guided_jax.session import CAPACITY, Session
from guided_jax.session.edits import Clear
from tests.guided_jax.session.small_sessions import same
from tests.guided_jax.session.small_sessions import session_of as session_of_small
from tests.guided_jax.small_models import make_model
from tests.guided_jax.variants import VARIANTS, takes_another_query

SIZE, CANVAS = (29, 41), (32, 48)
TESTED = (
    "late",
    "late-unshared",
    "late-maximum",
    "late-learned-mask",
    "late-dilated",
    "late-local",
    "late-both",
    "neighbours",
    "stacked-discs",
    "early-stack",
)
CLICKS = (Click(3, 5, 1), Click(0, 0, 0), Click(28, 40, 0), Click(14, 20, 1), Click(15, 21, 0))


def picture(seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def paint(clicks, size=SIZE, start=None):
    annotation = np.full(size, UNKNOWN, np.uint8) if start is None else start.copy()
    for row, column, label in clicks:
        annotation[row, column] = label
    return annotation


@cache
def model_of(name, **fields):
    return make_model(**{**VARIANTS[name], **fields})


@cache
def session_of(name):
    return Session(*model_of(name), canvases=(CANVAS, (64, 64)))


@cache
def compiled(name, way):
    return jax.jit(partial(model_of(name)[0].apply, way=way))


def make_session(name):
    return session_of(name).fresh()


def place(array, fill):
    canvas = np.full((*CANVAS, *array.shape[2:]), fill, np.uint8)
    canvas[: array.shape[0], : array.shape[1]] = array
    return canvas


def expected(name, query, shots=None, annotation=None, way=None):
    """Logits of the model; shots are pairs of image and annotation."""
    _, params = model_of(name)
    annotations = [annotation] if shots is None else [each for _, each in shots]
    labels = np.full((1, *CANVAS), UNKNOWN, np.uint8)
    episode = Episode(
        query=place(query, 0)[None],
        query_size=np.array([query.shape[:2]], np.int32),
        target=labels,
        support=None if shots is None else np.stack([place(image, 0) for image, _ in shots])[None],
        support_size=None if shots is None else np.array([[image.shape[:2] for image, _ in shots]], np.int32),
        annotation=np.stack([place(each, UNKNOWN) for each in annotations])[None, None],
        task_class=np.zeros(1, np.int32),
        index=np.zeros(1, np.uint32),
        real=np.ones(1, bool),
    )
    logits = compiled(name, way)({"params": params}, episode)
    return np.asarray(logits)[0, 0, :, : query.shape[0], : query.shape[1]]


def check(session, name, logits):
    found = session.logits(name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logits, atol=2e-5 * np.abs(logits).max())
    mask = session.mask(name)
    assert mask.dtype == np.uint8 and mask.flags.writeable
    # Where rounding does not decide: without guidance of its own every label scores the same.
    ordered = np.sort(found, 0)
    clear = ordered[-1] - ordered[-2] > 1e-5 * np.abs(found).max()
    assert clear.any()
    np.testing.assert_array_equal(mask[clear], np.argmax(found, 0)[clear])


@pytest.mark.parametrize("name", TESTED)
def test_clicks_and_maps_give_what_the_model_gives(name):
    session = make_session(name)
    session.add("a", picture(0))
    for click in CLICKS:
        session.click("a", *click)
    logits = expected(name, picture(0), annotation=paint(CLICKS))
    check(session, "a", logits)
    dense = np.full(SIZE, UNKNOWN, np.uint8)
    dense[5:, :25], dense[5:, 25:] = 0, 1
    given = dense.copy()
    session.annotate("a", given)
    given[:] = UNKNOWN  # the caller's own array, to do with as they like
    assert session.clicks("a") == ()
    session.click("a", 10, 10, 1 - int(dense[10, 10]))
    painted = paint(session.clicks("a"), start=dense)
    check(session, "a", expected(name, picture(0), annotation=painted))
    assert np.abs(session.logits("a") - logits).max() > 1e-3 * np.abs(logits).max()


def test_a_mask_is_that_of_the_logits_up_to_the_padding():
    """Pixels of the last two rows and columns lie beyond the last centre of a cell of the image."""
    name, size = "late-unshared", (28, 44)
    session = make_session(name)
    for seed in range(4):
        clicks = [click for click in CLICKS if click.row < 28]
        session.add(seed, picture(seed, size))
        for click in clicks:
            session.click(seed, *click)
        check(session, seed, expected(name, picture(seed, size), annotation=paint(clicks, size)))
        session.remove(seed)


@pytest.mark.parametrize("name", [name for name in TESTED if takes_another_query(name)])
def test_all_annotated_images_guide_any(name):
    session = make_session(name)
    images = {"a": picture(0), "b": picture(1, (32, 37)), "c": picture(2)}
    for key, image in images.items():
        session.add(key, image)
    session.click("a", 3, 5, 1)
    session.click("b", 31, 36, 0)
    session.click("a", 12, 7, 1)
    shots = [(images["a"], paint([(3, 5, 1), (12, 7, 1)])), (images["b"], paint([(31, 36, 0)], (32, 37)))]
    check(session, "c", expected(name, images["c"], shots))
    check(session, "a", expected(name, images["a"], shots))


@pytest.mark.parametrize("name", ["late", "late-unshared", "late-maximum", "late-learned-mask"])
def test_three_shots_weigh_as_three(name):
    """A number that is no power of two: what fills it up says nothing, however shots are merged."""
    session, shots = make_session(name), []
    for i, clicks in enumerate(([(3, 5, 1), (9, 9, 0)], [(12, 7, 1)], [(20, 30, 1), (1, 2, 0)])):
        session.add(i, picture(i))
        for click in clicks:
            session.click(i, *click)
        shots.append((picture(i), paint(clicks)))
    check(session, 1, expected(name, picture(1), shots))


@pytest.mark.parametrize("name", [name for name in TESTED if not takes_another_query(name)])
def test_local_models_segment_the_annotated_image_alone(name):
    session = make_session(name)
    session.add("a", picture(0))
    session.add("b", picture(1))
    session.click("a", 1, 1, 1)
    session.mask("a")
    with pytest.raises(ValueError, match="image 'b', another one is annotated"):
        session.mask("b")


@pytest.mark.parametrize("name", ["late", "neighbours", "stacked-discs"])
def test_undo_and_clear_leave_no_trace(name):
    session = make_session(name)
    session.add("a", picture(0))
    empty = session.logits("a")
    session.click("a", 3, 5, 1)
    session.click("a", 20, 30, 0)
    before = session.logits("a")
    session.click("a", 4, 5, 0)
    session.click("a", 3, 5, 0)  # in place of the first
    assert (session.logits("a") != before).any()
    assert session.undo() == Click(3, 5, 0)
    assert session.undo("a") == Click(4, 5, 0)
    np.testing.assert_array_equal(session.logits("a"), before)
    session.clear("a")
    np.testing.assert_array_equal(session.logits("a"), empty)
    assert session.undo() == Clear()
    np.testing.assert_array_equal(session.logits("a"), before)
    assert [session.undo("a"), session.undo()] == [Click(20, 30, 0), Click(3, 5, 1)]
    np.testing.assert_array_equal(session.logits("a"), empty)
    assert session.undo() is None and session.undo("a") is None


@pytest.mark.parametrize("name", ["late", "stacked-discs"])
def test_the_last_click_on_a_pixel_takes_the_place_of_the_first(name):
    session, other = make_session(name), make_session(name)
    for each, clicks in ((session, [(3, 5, 1), (20, 30, 1), (3, 5, 0)]), (other, [(3, 5, 1), (20, 30, 1)])):
        each.add("a", picture(0))
        for click in clicks:
            each.click("a", *click)
    logits = expected(name, picture(0), annotation=paint([(20, 30, 1), (3, 5, 0)]))
    check(session, "a", logits)
    assert np.abs(other.logits("a") - logits).max() > 1e-3 * np.abs(logits).max()


def test_undo_on_one_image_leaves_the_order_of_the_others():
    session = make_session("late")
    session.add("a", picture(0))
    session.add("b", picture(1))
    for name, row in (("a", 1), ("b", 2), ("a", 3)):
        session.click(name, row, 0, 1)
    assert session.undo("a") == Click(3, 0, 1)
    assert [session.undo() for _ in range(3)] == [Click(2, 0, 1), Click(1, 0, 1), None]


def test_undo_follows_the_session_or_one_image():
    session = make_session("late")
    session.add("a", picture(0))
    session.add("b", picture(1))
    for name, row in (("a", 1), ("b", 2), ("a", 3), ("b", 4)):
        session.click(name, row, 0, 1)
    assert session.undo("a") == Click(3, 0, 1)
    assert session.undo() == Click(4, 0, 1)
    session.remove("b")
    assert session.names == ("a",)
    assert session.undo() == Click(1, 0, 1)
    assert session.undo() is None


@pytest.mark.parametrize("way", [3, 5])
def test_more_labels(way):
    session = Session(*model_of("late"), way=way)
    session.add("a", picture(0, CANVAS))
    clicks = [Click(7 * label, 9 * label, label) for label in range(way)]
    for click in clicks:
        session.click("a", *click)
    logits = expected("late", picture(0, CANVAS), annotation=paint(clicks, CANVAS), way=way)
    assert logits.shape[0] == way
    check(session, "a", logits)
    assert set(np.unique(session.mask("a"))) <= set(range(way))


def test_nothing_compiles_after_the_first_click_of_a_size(caplog):
    session = Session(*model_of("late"), canvases=(CANVAS,))
    session.add("a", picture(0))
    session.click("a", 0, 0, 1)
    session.mask("a")
    compiled = session.compiled()
    assert compiled == 3  # encode, guide, segment
    with jax.log_compiles():
        session.add("b", picture(1, (32, 20)))
        for i in range(CAPACITY):
            session.click("a", i % 29, i, i % 2)
            session.mask("a")
        session.undo()
        session.mask("b")
        fresh = session.fresh()
        assert fresh.names == ()
        fresh.add("a", picture(2))
        fresh.mask("a")
    assert session.compiled() == fresh.compiled() == compiled
    assert not [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    session.click("b", 3, 3, 0)
    session.mask("a")
    assert session.compiled() == compiled + 1  # two shots; four would be one more, three no more


def test_an_image_lies_on_the_smallest_canvas_that_holds_it():
    session = Session(*model_of("late"), canvases=((64, 64), CANVAS))
    for name, size in (("a", SIZE), ("b", (64, 20)), ("c", (3, 3)), ("d", CANVAS)):
        session.add(name, picture(0, size))
    assert session.compiled() == 2  # the encoder, on either canvas


def test_more_clicks_than_one_program_takes():
    session = make_session("late")
    session.add("a", picture(0))
    clicks = [Click(i % 29, (7 * i) % 41, i % 2) for i in range(2 * CAPACITY + 3)]
    for click in clicks:
        session.click("a", *click)
    check(session, "a", expected("late", picture(0), annotation=paint(clicks)))


def test_the_number_of_clicks_that_a_program_takes_is_doubled():
    session, programs = Session(*model_of("late"), canvases=(CANVAS,)), []
    session.add("a", picture(0))
    for i in range(2 * CAPACITY + 1):
        session.click("a", i % 29, (7 * i) % 41, i % 2)
        session.mask("a")
        programs.append(session.compiled())
    assert np.flatnonzero(np.diff(programs)).tolist() == [CAPACITY - 1, 2 * CAPACITY - 1]
    assert programs[-1] == programs[0] + 2


@pytest.mark.parametrize("way", [2, 3])
def test_masks_along_the_edges_of_the_image(way):
    """The filtered scores of the labels, those of the negative subtracted; on any canvas, and compiled once."""
    model, params = model_of("neighbours", way=way)
    clicks = [Click(row, column, number % way) for number, (row, column, _) in enumerate(CLICKS)]
    session = Session(model, params, guided_filter=True, canvases=[CANVAS])
    plain, image = Session(model, params), picture(0)
    for each in (session, plain):
        each.add("a", image)
        for click in clicks:
            each.click("a", *click)
    size = jnp.array([SIZE], jnp.int32)

    def label(module):
        observed = module.observe(jnp.asarray(image)[None], SIZE, size)
        shot = module.guide_observed(observed, jnp.asarray(paint(clicks))[None])
        task = module.merge(jax.tree.map(lambda leaf: leaf[:, None], shot))
        scores, _ = module.head(module.query_observed(observed), task, None)
        blocks = to_blocks(scores[:, 1:] - scores[:, :1], module.geometry, SIZE, size)
        apart = apply_filter(filter_guide(jnp.asarray(image)[None], size), blocks)[0]
        return jnp.where(apart.max(0) > 0, jnp.argmax(apart, 0) + 1, 0)

    found, wanted = session.mask("a"), np.asarray(nn.apply(label, model)({"params": params}))
    assert (found != wanted).mean() < 2e-3
    assert (found != plain.mask("a")).mean() > 0.01
    np.testing.assert_allclose(session.logits("a"), plain.logits("a"), atol=1e-4)
    programs = session.compiled()
    session.click("a", 7, 7, 1)
    session.mask("a")
    session.undo()
    np.testing.assert_array_equal(session.mask("a"), found)
    assert session.compiled() == programs


def test_of_equal_labels_the_smallest_is_taken():
    """The same place of the same picture under each label: guidance, and with it the scores, are equal to the bit."""
    session = Session(*model_of("neighbours", locality="global", support_grid="same", support_stride=0), way=4)
    for label in (3, 2, 1):
        session.add(label, picture(0))
        session.click(label, 14, 20, label)
    assert set(np.unique(session.logits(1)[1:] - session.logits(1)[1])) == {0.0}
    assert set(np.unique(session.mask(1))) == {1}
    session.add(0, picture(0))
    session.click(0, 14, 20, 0)
    assert set(np.unique(session.mask(1))) == {0}


def test_what_is_refused():
    session = make_session("late")
    session.add("a", picture(0))
    with pytest.raises(ValueError, match=r"row 29, column 3 lies outside the image 'a' of 29x41 pixels"):
        session.click("a", 29, 3, 1)
    for row, column in ((-1, 0), (0, -1), (0, 41)):
        with pytest.raises(ValueError, match="lies outside the image 'a'"):
            session.click("a", row, column, 0)
    for label in (-1, 2, UNKNOWN):
        with pytest.raises(ValueError, match=rf"label {label}; the labels are 0 \(the negative\) to 1"):
            session.click("a", 0, 0, label)
    with pytest.raises(TypeError):
        session.click("a", 0.5, 0, 1)
    assert session.clicks("a") == ()
    for name, call in {"click": (0, 0, 1), "mask": (), "clear": (), "undo": (), "remove": ()}.items():
        with pytest.raises(ValueError, match="holds no image 'z'; there are: 'a'"):
            getattr(session, name)("z", *call)
    with pytest.raises(ValueError, match="holds an image 'a' already"):
        session.add("a", picture(0))
    with pytest.raises(ValueError, match="fits none of the canvases 32x48, 64x64"):
        session.add("b", picture(0, (65, 3)))
    with pytest.raises(ValueError, match=r"must be uint8 \(29, 41\), as high and wide"):
        session.annotate("a", np.zeros((29, 40), np.uint8))
    with pytest.raises(ValueError, match="has the label 2; the labels are 0"):
        session.annotate("a", np.full(SIZE, 2, np.uint8))
    with pytest.raises(ValueError, match="sides of 9 pixels"):
        make_session("late-dilated").add("a", picture(0, (8, 30)))
    with pytest.raises(ValueError, match="way=4: the head scores 3 labels at once, and no label against the rest"):
        Session(*model_of("late-unshared", way=3), way=4)


GRIDS = [VGGGeometry(grid, 3, s, 3) for grid, s in (("taps", 8), ("taps", 2), ("exact", 8), ("dilated", 4))]


@pytest.mark.parametrize("geometry", [*GRIDS, ResNetGeometry("taps", 8, 3)], ids=str)
@pytest.mark.parametrize("pooling", ["average", "maximum"])
def test_guidance_of_clicks_is_that_of_the_map(geometry, pooling):
    """At every kind of place: corners, edges, cell centres, and between them; beyond the image's last cell nothing."""
    size = jnp.array(SIZE, jnp.int32)
    rng = np.random.default_rng(0)
    cells = [geometry.cells(side) for side in CANVAS]
    inside = [geometry.cells(side) for side in SIZE]
    features = np.zeros((*cells, 5), np.float32)
    features[: inside[0], : inside[1]] = rng.random((*inside, 5))
    places = [(0, 0), (28, 40), (0, 40), (28, 0), (13, 20), (8, 8), (7, 7), (28, 17)]
    points = np.array([*places, (0, 0)], np.int32)
    labels = np.array([*rng.permutation(len(places)) % 3, NO_LABEL], np.int32)
    annotation = place(paint([(*p, k) for p, k in zip(places, labels[:-1].tolist(), strict=True)]), UNKNOWN)
    planes, features = label_planes(jnp.asarray(annotation), 3), jnp.asarray(features)
    masks = late.fixed_masks(planes, geometry, size)
    by_map = late.guide(features, masks, late.count_points(planes), pooling)
    for keep, weights in {"masks": masks, "points": late.points_by_cell(planes, geometry, size), "": None}.items():
        clicks = PaddedClicks(jnp.asarray(points), jnp.asarray(labels))
        found = guide_clicks(features, clicks, size, geometry, 3, pooling=pooling, keep=keep)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9), found._replace(weights=None), by_map
        )
        if keep:
            np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-9)


def test_each_edit_is_what_was_asked_for():
    """By hand, on the first four pixels of a row: what lies there after every edit, and again as edits are undone."""
    session = session_of_small("prototypes", "a", way=3)
    drawn = np.full((9, 12), UNKNOWN, np.uint8)
    drawn[2, 1:3] = 2
    edits = {
        "a click": (lambda: session.click("a", 2, 0, 1), [1, None, None, None]),
        "a map over it": (lambda: session.annotate("a", drawn, over=True), [1, 2, 2, None]),
        "a stroke": (lambda: session.scribble("a", [(2, 2), (2, 3)], 0), [1, 2, 0, 0]),
        "moved": (lambda: session.move("a", (2, 0), (2, 1)), [None, 1, 0, 0]),
        "an eraser": (lambda: session.scribble("a", [(2, 3)], UNKNOWN), [None, 1, 0, None]),
        "no label 0": (lambda: session.clear("a", label=0), [None, 1, 2, None]),
        "no click": (lambda: session.unclick("a", 2, 1), [None, 2, 2, None]),
        "a click on it": (lambda: session.click("a", 2, 2, 1), [None, 2, 1, None]),
        "a map in its place": (lambda: session.annotate("a", drawn), [None, 2, 2, None]),
        "nothing": (lambda: session.clear(), [None] * 4),
    }
    seen = [[None] * 4]
    for name, (edit, wanted) in edits.items():
        edit()
        seen.append([None if label == UNKNOWN else label for label in session.annotation("a")[2, :4].tolist()])
        assert seen[-1] == wanted, name
        assert (session.annotation("a")[np.arange(9) != 2] == UNKNOWN).all()
    for before in seen[-2::-1]:
        session.undo()
        assert [None if label == UNKNOWN else label for label in session.annotation("a")[2, :4].tolist()] == before


@pytest.mark.parametrize("kind", ["decoder", "neighbours"])
def test_what_is_taken_over_is_seen_anew(kind):
    """By a session of more labels: nothing that the other one knew under its own, and nothing goes back to it."""
    other, session = session_of_small(kind, "a"), session_of_small(kind, way=3)
    before = other.logits("a")
    session.merge(other)
    whole = session_of_small(kind, "a", way=3)
    same(session, whole)
    for each in (session, whole):
        each.click("a", 2, 3, 2)
        each.click("a", 5, 5, 0)
    same(session, whole)
    np.testing.assert_array_equal(other.logits("a"), before)
