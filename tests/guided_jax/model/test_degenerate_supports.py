"""Supports at the edge of what is one: every model gives finite logits and gradients, and what its docs promise."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from guided_jax.episode import UNKNOWN, Episode
from guided_jax.guides.guidance import Neighbours
from guided_jax.inference.labels import predict_labels
from guided_jax.inference.similarity import nearest_similarity, prototype_similarity
from guided_jax.learning.loss import cross_entropy
from tests.guided_jax.small_models import small_model

CANVAS, SIZE = (24, 28), (21, 26)
DISTANCE = {"inference": "distance"}
NEIGHBOURS = {"inference": "distance", "locality": "local"}
REGRESSION = {"inference": "parameter-regression"}
STACK = {"fusion": "stack", "sharing": "unshared"}

MODELS = {
    "late global": {},
    "late global, exact grid": {"grid": "exact", "stride": 8},
    "late global, bfloat16": {"dtype": "bfloat16"},
    "late local": {"locality": "local"},
    "late both": {"locality": "both"},
    "late both, euclidean": {"locality": "both", "metric": "euclidean"},
    "late maximum": {"pooling": "maximum"},
    "late learned mask": {"mask": "learned"},
    "late unshared": {"sharing": "unshared"},
    "regression global": REGRESSION,
    "regression local": {**REGRESSION, "locality": "local"},
    "prototypes cosine": DISTANCE,
    "prototypes euclidean": {**DISTANCE, "metric": "euclidean"},
    "prototypes of the trunk": {**DISTANCE, "feature_width": 0, "stride": 2},
    "neighbours cosine": NEIGHBOURS,
    "neighbours euclidean": {**NEIGHBOURS, "metric": "euclidean"},
    "early stack direct": {**STACK, "inference": "direct"},
    "early stack": {**STACK, "encoding": "distance"},
    "early mask": {"fusion": "mask", "sharing": "unshared", "pooling": "maximum"},
}
ONE_IMAGE = ("late local", "regression local", "early stack direct")
"""Support and query are one image."""

SYMMETRIC = [name for name, fields in MODELS.items() if "sharing" not in fields]
"""One metric for every label."""


class Case(NamedTuple):
    """A support: points (row, column, label) of each of two shots, or a label map; `of_one` where they are one."""

    first: object
    second: object = ()
    size: tuple[int, int] = SIZE
    target: np.ndarray | None = None

    @property
    def of_one(self):
        return self.first if len(self.first) else self.second


def halves(*ones) -> np.ndarray:
    """A truth of SIZE: its upper half is positive, or just some pixels."""
    target = np.zeros(SIZE, np.uint8)
    target[: 0 if ones else 10] = 1
    for pixel in ones:
        target[pixel] = 1
    return target


POSITIVES, NEGATIVES = ((3, 4, 1), (9, 20, 1)), ((15, 6, 0), (20, 22, 0))
PADDING = ((22, 3, 1), (5, 27, 0), (23, 27, 1))
CASES = {
    "no points at all": Case(()),
    "only positives": Case(POSITIVES),
    "only negatives": Case(NEGATIVES),
    "both, the second shot empty": Case(POSITIVES + NEGATIVES),
    "both, the first shot empty": Case((), POSITIVES + NEGATIVES),
    "divided over the shots": Case(POSITIVES, NEGATIVES),
    "points on the padding": Case(PADDING, PADDING),
    "points on the padding, too": Case(POSITIVES + NEGATIVES + PADDING, PADDING),
    "whole labels": Case(halves(), halves()),  # what more points than pixels come to
    "one label everywhere": Case(np.ones(SIZE, np.uint8)),
    "an object of one pixel": Case(halves((7, 8)), target=halves((7, 8))),
    "a point in each corner": Case(((0, 0, 1), (0, 25, 0), (20, 0, 0), (20, 25, 1))),
    "a lone point in the corner": Case(((0, 0, 1),)),
    "an image of one pixel": Case(((0, 0, 1),), size=(1, 1)),
    "an image of one row": Case(((0, 0, 1), (0, 2, 0)), size=(1, 3)),
    "an image smaller than a cell": Case(((2, 2, 1), (0, 1, 0)), size=(3, 3)),
    "nothing known of the query": Case(POSITIVES + NEGATIVES, target=np.full(SIZE, UNKNOWN, np.uint8)),
}


def draw(annotation, label_map_or_points):
    if isinstance(label_map_or_points, np.ndarray):
        annotation[: SIZE[0], : SIZE[1]] = label_map_or_points
        return
    for row, column, label in label_map_or_points:
        annotation[row, column] = label


def episode_of(name: str, case: Case, other_second=False) -> Episode:
    """A batch of one episode; with `other_second` the second shot is of another image."""
    rng, (h, w) = np.random.default_rng(5), case.size
    images = np.zeros((4, *CANVAS, 3), np.uint8)
    images[:, :h, :w] = rng.integers(0, 256, (4, h, w, 3), np.uint8)
    target = np.full((1, *CANVAS), UNKNOWN, np.uint8)
    target[0, :h, :w] = halves()[:h, :w] if case.target is None else case.target
    shots = 1 if name in ONE_IMAGE else 2
    annotation = np.full((1, 1, shots, *CANVAS), UNKNOWN, np.uint8)
    for plane, points in zip(annotation[0, 0], [case.of_one] if shots == 1 else [case.first, case.second], strict=True):
        draw(plane, points)
    return Episode(
        query=images[:1],
        query_size=np.array([case.size], np.int32),
        target=target,
        support=None if shots == 1 else images[None, [1, 3 if other_second else 2]],
        support_size=None if shots == 1 else np.array([[case.size] * 2], np.int32),
        annotation=annotation,
        task_class=np.zeros(1, np.int32),
        index=np.zeros(1, np.uint32),
        real=np.ones(1, bool),
    )


class Result(NamedTuple):
    logits: np.ndarray
    loss: np.ndarray
    gradients: dict


@cache
def step_of(name):
    model, params = small_model(**MODELS[name])

    def loss(params, episode):
        (logits,) = model.apply({"params": params}, episode)
        total, pixels = cross_entropy(logits, episode.target)
        return total.sum() / jnp.maximum(pixels.sum(), 1).astype(jnp.float32), logits

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return lambda episode: step(params, episode)


@cache
def result(name, case, other_second=False) -> Result:
    (loss, logits), gradients = step_of(name)(episode_of(name, CASES[case], other_second))
    gradients = flatten_dict(jax.tree.map(np.asarray, gradients), sep="/")
    return Result(np.asarray(logits)[0], np.asarray(loss), gradients)


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_are_finite(name):
    for case in CASES:
        logits, loss, gradients = result(name, case)
        assert np.isfinite(logits).all(), case
        assert np.isfinite(loss), case
        assert not [path for path, values in gradients.items() if not np.isfinite(values).all()], case
        if case == "nothing known of the query":
            assert loss == 0
            assert not any(values.any() for values in gradients.values())
    # The network is alive: what is finite above is not so for being 0.
    gradients = result(name, "both, the second shot empty").gradients
    assert not [path for path, values in gradients.items() if not values.any()]


@pytest.mark.parametrize("name", MODELS)
def test_points_on_the_padding_are_no_points(name):
    pairs = {
        "points on the padding": "no points at all",
        "points on the padding, too": "both, the second shot empty",
    }
    for with_points, without in pairs.items():
        np.testing.assert_array_equal(result(name, with_points).logits, result(name, without).logits)
    different = result(name, "both, the second shot empty").logits - result(name, "no points at all").logits
    assert np.abs(different).max() > 1e-4


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ONE_IMAGE])
def test_an_empty_shot_is_skipped(name):
    """Whatever its image, under early fusion, too; first or last; and it dilutes no mean."""
    plain, other = (result(name, "both, the second shot empty", other).logits for other in (False, True))
    np.testing.assert_array_equal(plain, other)
    assert np.abs(plain - result(name, "both, the first shot empty").logits).max() > 1e-4
    plain, other = (result(name, "whole labels", other).logits for other in (False, True))
    assert np.abs(plain - other).max() > 1e-4


def test_masked_images_show_no_negatives():
    """Early fusion by masking blackens what is not positive: a shot without positives says nothing and is skipped."""
    name = "early mask"
    nothing = result(name, "no points at all").logits
    np.testing.assert_array_equal(result(name, "only negatives").logits, nothing)
    positives = result(name, "only positives").logits
    np.testing.assert_array_equal(result(name, "divided over the shots").logits, positives)
    assert np.abs(positives - nothing).max() > 1e-4


@pytest.mark.parametrize("name", SYMMETRIC)
def test_without_any_annotation_all_is_negative(name):
    """One metric for every label gives all labels the same score, and ties go to the negative."""
    logits = result(name, "no points at all").logits
    np.testing.assert_array_equal(logits[0], logits[1])
    assert not np.asarray(predict_labels(jnp.asarray(logits))).any()


@cache
def merged(name, case):
    """The task representation of an episode."""
    model, params = small_model(**MODELS[name])
    episode = jax.tree.map(jnp.asarray, episode_of(name, CASES[case]))

    def call(module, episode):
        size = episode.query_size[:, None] if episode.support is None else episode.support_size
        images = episode.query[:, None] if episode.support is None else episode.support
        features = module.encode(images[0], CANVAS, size[0])[None]
        return module.merge(module.guide(features, episode.annotation[:, 0], size))

    return jax.jit(lambda episode: model.apply({"params": params}, episode, method=call))(episode)


@pytest.mark.parametrize("name", ["late global", "late maximum", "late local", "late both"])
def test_a_label_that_is_not_annotated_is_represented_by_zeros(name):
    for case, absent in {"only positives": [0], "only negatives": [1], "points on the padding": [0, 1]}.items():
        task = merged(name, case)
        for label in range(2):
            assert np.asarray(task.z[0, label]).any() != (label in absent)
            if task.local is not None:
                assert np.asarray(task.local[0, label]).any() != (label in absent)
            if task.neighbours is not None:
                assert np.asarray(task.neighbours.of_label[0, label]).any() != (label in absent)


@pytest.mark.parametrize("name", ["late global", "late global, exact grid"])
def test_a_lone_point_in_the_corner_stands_for_its_nearest_cell(name):
    """Its mass is small beside the epsilon on the exact grid: 0.98 of the feature at stride 8, 0.19 at stride 32."""
    task = merged(name, "a lone point in the corner")
    model, params = small_model(**MODELS[name])
    episode = episode_of(name, CASES["a lone point in the corner"])
    features = jax.jit(lambda image, size: model.apply({"params": params}, image, CANVAS, size, method="encode"))(
        episode.support[0], episode.support_size[0]
    )
    # Within the image by 1.5 pixels of 4, or outside the first cell by 7.5 of 8.
    weight = (1 - 1.5 / 4) ** 2 / 4**2 if name == "late global" else (1 - 7.5 / 8) ** 2 / 8**2
    np.testing.assert_allclose(task.z[0, 1], features[0, 0, 0] * weight / (weight + 1e-6), rtol=1e-5)


@pytest.mark.parametrize(("metric", "scores"), [("cosine", [0.0, 0.0]), ("euclidean", [-12.5, -2.0])])
def test_similarity_to_nothing(metric, scores):
    """A label without annotation is compared as zeros: its cosine is 0, its distance the query's mean square."""
    query = jnp.array([3.0, 4.0, 0.0, 2.0]).reshape(1, 1, 2, 2)
    likeness = prototype_similarity(query, jnp.array([[[0.0, 0.0], [3.0, 4.0]]]), metric)
    np.testing.assert_allclose(likeness[0, 0, 0], scores, atol=1e-6)
    np.testing.assert_allclose(likeness[0, 1, 0], [1.0, 0.8] if metric == "cosine" else [0.0, -6.5], atol=1e-6)
    kept = Neighbours(jnp.array([[[3.0, 4.0], [9.0, 9.0]]]), jnp.array([[[False, False], [True, False]]]))
    np.testing.assert_allclose(nearest_similarity(query, kept, metric), likeness, atol=1e-6)


def test_a_single_positive_without_negatives_under_the_cosine():
    """The negative scores 0 everywhere: what is like the positive at all is positive, and a tie is negative."""
    logits = result("prototypes cosine", "only positives").logits
    assert not logits[0].any()
    np.testing.assert_array_equal(predict_labels(jnp.asarray(logits)), logits[1] > 0)
    assert (logits[1] > 0).any()


def test_an_image_of_one_pixel_is_the_same_on_any_canvas():
    """The taps grid has a cell on every image."""
    model, params = small_model()
    alone = episode_of("late global", CASES["an image of one pixel"])
    alone = alone._replace(
        query=alone.query[:, :1, :1], support=alone.support[:, :, :1, :1], annotation=alone.annotation[..., :1, :1]
    )
    logits = jax.jit(model.apply)({"params": params}, alone)[0, 0]
    assert logits.shape == (2, 1, 1) and np.asarray(logits).any()
    expected = result("late global", "an image of one pixel").logits[..., :1, :1]
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_an_image_without_a_cell_is_all_negative():
    """Below its least side the exact grid has no cell: such data sets are refused, and the model scores 0."""
    for case in ("an image of one pixel", "an image of one row", "an image smaller than a cell"):
        logits, loss, _ = result("late global, exact grid", case)
        assert not logits.any()
        assert loss == pytest.approx(np.log(2))
