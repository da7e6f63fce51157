"""Guidance adds up: clicks and shots in any order, undo, and step by step as all at once."""

from functools import cache, partial
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.episode import UNKNOWN
from guided_jax.guides import guidance, late
from guided_jax.resample import label_planes
from tests.guided_jax.guides.sums import add, take_back
from tests.guided_jax.small_models import small_model

CANVAS, SIZE = (16, 20), (13, 18)
EXACT = {"grid": "exact", "stride": 8}
MODELS = {
    "average": {},
    "average, exact grid": EXACT,
    "learned mask": {"mask": "learned"},
    "finer support": {"stride": 8, "support_grid": "interpolated", "support_stride": 4},
    "local": {"locality": "local"},
    "both": {"locality": "both"},
    "neighbours": {"locality": "local", "inference": "distance"},
    "maximum": {"pooling": "maximum"},
}
ADDS = list(MODELS)
TAKES_BACK = [name for name in MODELS if name != "maximum"]

clicks = st.lists(
    st.tuples(st.integers(0, SIZE[0] - 1), st.integers(0, SIZE[1] - 1), st.integers(0, 1)),
    min_size=1,
    max_size=10,
    unique_by=lambda click: click[:2],
)
some = settings(max_examples=15, deadline=None, derandomize=True)


@cache
def guide_of(name):
    """From the clicks on one image to the guidance of its one shot, [1, 1, ...], and the merge."""
    model, params = small_model(**MODELS[name])
    image = np.zeros((1, *CANVAS, 3), np.uint8)
    image[:, : SIZE[0], : SIZE[1]] = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    size = jnp.array([SIZE], jnp.int32)
    bound = partial(model.apply, {"params": params})
    features = jax.jit(lambda image: bound(image, CANVAS, size, method="encode_support"))(image)[:, None]
    assert features.any()
    call = jax.jit(lambda annotation: bound(features, annotation, size[:, None], method="guide"))

    def guide(clicks):
        annotation = np.full((1, 1, *CANVAS), UNKNOWN, np.uint8)
        for row, column, label in clicks:
            annotation[0, 0, row, column] = label
        return call(annotation)

    return guide, jax.jit(partial(bound, method="merge"))


def add_up(guide, clicks, pooling="average"):
    total = guide([])
    for click in clicks:
        total = add(total, guide([click]), pooling)
    return total


def check_same(got, expected, scale):
    """Sums to rounding, of sums as large as `scale`'s; numbers of points exactly."""
    for each, whole, largest in zip(got, expected, scale, strict=True):
        if whole is not None:
            np.testing.assert_allclose(each, whole, rtol=1e-5, atol=1e-6 * float(jnp.abs(largest).max()))
    np.testing.assert_array_equal(got.points, expected.points)


@pytest.mark.parametrize("name", ADDS)
@some
@given(clicks=clicks, order=st.randoms(use_true_random=False))
def test_clicks_in_any_order_are_the_annotation_as_a_whole(name, clicks, order):
    guide, _ = guide_of(name)
    whole = guide(clicks)
    assert whole.points.sum() == len(clicks)
    order.shuffle(clicks)
    check_same(add_up(guide, clicks, MODELS[name].get("pooling", "average")), whole, whole)


@pytest.mark.parametrize("name", TAKES_BACK)
@some
@given(clicks=clicks, order=st.randoms(use_true_random=False), keep=st.integers(0, 9))
def test_undo(name, clicks, order, keep):
    """What is left is the guidance of the clicks that are left; a label without any is exactly unannotated."""
    guide, merge = guide_of(name)
    whole = total = add_up(guide, clicks)
    order.shuffle(clicks)
    left, undone = clicks[:keep], clicks[keep:]
    for click in undone:
        total = take_back(total, guide([click]))
    expected = guide(left)
    check_same(total, expected, whole)
    task = merge(total)
    for label in range(2):
        if all(click[2] != label for click in left):
            assert not np.asarray(task.z[:, label]).any()
            assert task.local is None or not np.asarray(task.local[:, label]).any()
            assert task.neighbours is None or not np.asarray(task.neighbours.of_label[:, label]).any()
    if task.neighbours is not None:  # of counts, which are exact
        np.testing.assert_array_equal(task.neighbours.of_label, merge(expected).neighbours.of_label)
    if MODELS[name].get("mask") != "learned":  # multiples of a power of two
        np.testing.assert_array_equal(total.mass, expected.mass)


def test_undo_of_a_last_point_leaves_rounding_behind_that_does_not_count():
    """Sums in other orders differ in their last digits, so that the undone sum is not 0; z is, exactly."""
    guide, merge = guide_of("average")
    clicks = [(row, column, 1) for row in range(13) for column in range(0, 18, 5)]
    total = add_up(guide, clicks)
    for click in clicks:
        total = take_back(total, guide([click]))
    assert np.abs(total.total).max() > 0
    assert not np.asarray(total.points).any()
    assert not np.asarray(merge(total).z).any()


def test_a_thousand_clicks_taken_back():
    """On the reference's grid at 480x640 the one click that is left weighs as if there had been no other."""
    geometry, size = VGGGeometry("exact", 5, 32, 7), jnp.array([480, 640], jnp.int32)
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.random((14, 19, 3), np.float32))

    @jax.jit
    def guide(annotation):
        planes = label_planes(annotation, 2)
        return late.guide(features, late.fixed_masks(planes, geometry, size), late.count_points(planes))

    one, others = np.full((2, 480, 640), UNKNOWN, np.uint8)
    one[200, 300] = 1
    others.flat[rng.choice(others.size, 1000, replace=False)] = 1
    others[200, 300] = UNKNOWN
    left = take_back(add(guide(one), guide(others)), guide(others))
    z = [guidance.pool_shots(jax.tree.map(lambda leaf: leaf[None], each)) for each in (left, guide(one))]
    np.testing.assert_allclose(z[0], z[1], rtol=1e-3)
    np.testing.assert_array_equal(left.mass, guide(one).mass)


def test_a_maximum_forgets_what_it_was():
    """Why `take_back` is of averages alone: after a stronger click the weaker one's maximum cannot be had back."""
    guide, _ = guide_of("maximum")
    one, two = (guide([click]) for click in [(2, 3, 1), (10, 15, 1)])
    both = add(one, two, "maximum")
    np.testing.assert_array_equal(both.total, np.maximum(one.total, two.total))
    np.testing.assert_array_equal(add(both, one, "maximum").total, both.total)
    assert (np.asarray(both.total) > np.asarray(one.total)).any()


@pytest.mark.parametrize("name", ["local", "both"])
def test_weights_of_local_guidance(name):
    """Local guidance weighs by masks; with neighbours by numbers of points, of the nearest cell."""
    guide, _ = guide_of(name)
    shot = guide([(1, 1, 1), (2, 2, 1), (12, 17, 0)])
    weights = np.asarray(shot.weights[0, 0])
    if name == "local":
        np.testing.assert_allclose(weights.sum((1, 2)), shot.mass[0, 0], rtol=1e-6)
    else:
        expected = np.zeros((2, 4, 5))
        expected[1, 0, 0], expected[0, 3, 4] = 2, 1
        np.testing.assert_array_equal(weights, expected)


def test_a_contested_cell_stands_for_the_label_with_the_most_points():
    """Of two shots; where labels have as many points, for both; where there are none, for none."""
    counts = np.array([[[[2, 1, 3, 0]], [[1, 1, 0, 0]]], [[[0, 5, 0, 1]], [[0, 2, 7, 0]]]], np.float32)  # [s, k, n, m]
    features = np.arange(8, dtype=np.float32).reshape(1, 2, 1, 4, 1)
    shots = guidance.Guidance(
        jnp.zeros((1, 2, 2, 1)),
        jnp.zeros((1, 2, 2)),
        jnp.ones((1, 2, 2)),
        jnp.asarray(features),
        jnp.asarray(counts[None]),
    )
    kept = guidance.keep_neighbours(shots)
    np.testing.assert_array_equal(kept.features[0, :, 0], np.arange(8))
    expected = [[1, 1, 1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0, 1, 0]]
    np.testing.assert_array_equal(kept.of_label[0], np.array(expected, bool))


# Shots


def random_shots(name, number=4):
    """Guidance of shots with random clicks, one of them empty and one without positives."""
    guide, merge = guide_of(name)
    rng = np.random.default_rng(3)
    taken = [[(*rng.integers(0, SIZE), label) for label in (0, 1, 1)] for _ in range(number)]
    taken[1], taken[2] = [], taken[2][:1]
    return [guide(each) for each in taken], merge


def join(shots):
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, 1), *shots)


@pytest.mark.parametrize("merge", ["annotating", "every", "pooled"])
@pytest.mark.parametrize("name", ["average", "maximum"])
def test_shots_in_any_order(name, merge):
    shots, _ = random_shots(name)
    expected = guidance.pool_shots(join(shots), merge, name)
    assert np.asarray(expected).any()
    for order in list(permutations(range(4)))[1::5]:
        z = guidance.pool_shots(join([shots[i] for i in order]), merge, name)
        np.testing.assert_allclose(z, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["both", "neighbours"])
def test_neighbours_of_shots_in_any_order(name):
    shots, merge = random_shots(name)
    kept = []
    for order in [(0, 1, 2, 3), (2, 0, 3, 1)]:
        features, of_label = merge(join([shots[i] for i in order])).neighbours
        kept.append([{tuple(cell) for cell in np.asarray(features[0])[np.asarray(of_label[0, k])]} for k in range(2)])
    assert kept[0] == kept[1]
    assert 3 <= len(kept[0][0]) + len(kept[0][1]) <= 7


@pytest.mark.parametrize("name", ADDS)
def test_clicks_on_shots_in_turn_are_all_annotations_at_once(name):
    """A click on one of several shots changes that shot's guidance, and the merge is that of the annotations."""
    guide, merge = guide_of(name)
    pooling = MODELS[name].get("pooling", "average")
    annotations = [[(1, 1, 1), (8, 9, 0)], [(12, 17, 1)], [(5, 5, 0), (0, 0, 1), (3, 14, 1)]]
    if name == "local":  # one image
        annotations = annotations[:1]
    shots = [guide([]) for _ in annotations]
    for turn in range(3):
        for i, clicks in enumerate(annotations):
            for click in clicks[turn : turn + 1]:
                shots[i] = add(shots[i], guide([click]), pooling)
    got, expected = merge(join(shots)), merge(join([guide(clicks) for clicks in annotations]))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, expected)
