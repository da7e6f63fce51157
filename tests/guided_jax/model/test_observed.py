"""Images observed once and guided after that give what the model gives of whole episodes, whatever the model."""

from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.guides.clicks import NO_LABEL, PaddedClicks
from guided_jax.model_config import ModelConfig, guides_by_coordinates
from guided_jax.observed import as_shots, observe_episodes
from tests.guided_jax.small_models import make_batch, small_model
from tests.guided_jax.variants import VARIANTS, takes_another_query

SIZE, CANVAS = (21, 26), (24, 32)
FORMS = [(name, None) for name in VARIANTS] + [(name, 3) for name in VARIANTS if takes_another_query(name)]
BY_COORDINATES = [name for name in VARIANTS if guides_by_coordinates(small_model(**VARIANTS[name])[0].config)]


@cache
def steps_of(name):
    """The model as a whole, and its steps one by one, each compiled on its own."""
    model, params = small_model(**VARIANTS[name])

    def compiled(method):
        return jax.jit(lambda *args: model.apply({"params": params}, *args, method=method))

    def observe(model, image, size):
        return model.observe(image, CANVAS, size)

    def observe_unrefined(model, image, size):
        return model.observe(image, CANVAS, size, refined=False)

    def refine(model, observed):
        return model.refine_observed(observed, CANVAS)

    def segment(model, query, shots, size):
        return model.segment(query, model.merge(shots), CANVAS, size)

    methods = (observe, observe_unrefined, refine, "query_observed", "guide_observed", segment, None)
    return [compiled(method) for method in methods]


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "shots"), FORMS)
def test_steps_give_what_the_model_gives(name, shots):
    batch = make_batch(SIZE, CANVAS, count=2, draws=2, shots=shots)
    observe, *_, query_of, guide, segment, whole = steps_of(name)
    queries = observe(batch.query, batch.query_size)
    if shots is None:
        support = as_shots(queries)
    else:
        flat = [each.reshape(-1, *each.shape[2:]) for each in (batch.support, batch.support_size)]
        support = jax.tree.map(lambda leaf: leaf.reshape(2, shots, *leaf.shape[1:]), observe(*flat))
    found = []
    for annotation in batch.annotation.swapaxes(0, 1):
        query = query_of(queries, annotation[:, 0]) if shots is None else query_of(queries)
        found.append(segment(query, guide(support, annotation), batch.query_size))
    expected = whole(batch)
    assert np.abs(expected).max() > 1e-3
    assert_close(np.stack(found), expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_refined_later_is_refined_at_once(name):
    batch = make_batch(SIZE, CANVAS, count=2)
    observe, observe_unrefined, refine, *_ = steps_of(name)
    expected = observe(batch.query, batch.query_size)
    got = refine(observe_unrefined(batch.query, batch.query_size))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5), got, expected)


@pytest.mark.parametrize("name", BY_COORDINATES)
def test_clicks_by_their_coordinates_guide_as_their_map_does(name):
    batch = make_batch(SIZE, CANVAS, count=1)
    observe, *_, guide, _, _ = steps_of(name)
    observed = observe(batch.query, batch.query_size)
    annotation = batch.annotation[:, 0, 0]
    _, *points = np.nonzero(annotation != UNKNOWN)
    clicks = PaddedClicks(
        np.array([*np.transpose(points), (0, 0)], np.int32),
        np.array([*annotation[annotation != UNKNOWN], NO_LABEL], np.int32),
    )
    by_coordinates, by_map = guide(observed, clicks), guide(observed, annotation)
    assert by_map.points.sum() == len(points[0]) > 0
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), by_coordinates, by_map
    )


@pytest.mark.parametrize("name", ["stacked-discs", "stacked-distance"])
def test_a_query_that_is_stacked_with_its_annotation_needs_one(name):
    batch = make_batch(SIZE, CANVAS, count=1)
    observe, *_, query_of, guide, _, _ = steps_of(name)
    observed = observe(batch.query, batch.query_size)
    assert guide(as_shots(observed), batch.annotation[:, 0]) is None
    with pytest.raises(ValueError, match=r"model\.inference=direct segments the annotated image itself"):
        query_of(observed)


def test_without_guidance_there_is_no_task():
    model, params = small_model(**VARIANTS["unguided"])
    assert not jax.tree.leaves(model.apply({"params": params}, None, method="merge"))


@pytest.mark.parametrize("grid", ["same", "dilated"])
def test_each_image_of_an_episode_has_a_key_of_its_own_the_query_the_first(grid):
    batch, keys, encoded = make_batch(SIZE, CANVAS, count=2, shots=3), jax.random.split(jax.random.key(3), 2), []

    def encode(images, canvas, size, keys):
        encoded.append((images, size, jax.random.key_data(keys)))
        return jnp.zeros((len(images), 1, 1, 1))

    as_it_is = {name: lambda features, *_: features for name in ("prepare", "to_compare", "refine_support")}
    config = ModelConfig(support_grid=grid)
    observe_episodes(SimpleNamespace(config=config, encode=encode, encode_support=encode, **as_it_is), batch, keys)
    together = (
        np.concatenate([batch.query[:, None], batch.support], 1),
        np.concatenate([batch.query_size[:, None], batch.support_size], 1),
        jax.random.key_data(jax.vmap(lambda key: jax.random.split(key, 4))(keys)),
    )
    parts = [np.s_[:]] if grid == "same" else [np.s_[:1], np.s_[1:]]
    for found, part in zip(encoded, parts, strict=True):
        for one, whole in zip(found, together, strict=True):
            np.testing.assert_array_equal(one, whole[:, part].reshape(-1, *whole.shape[2:]))
