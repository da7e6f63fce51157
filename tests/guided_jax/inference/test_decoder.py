"""The spatial decoder: what its labels are told, and what of it does not depend on order, number or canvas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.guides.guidance import Neighbours, Task
from guided_jax.inference.decoder import FEW, Decoder, DecoderQuery

GROUPS = (3, 2)


def make_head(**fields):
    options = {"image_channels": 4, "groups": GROUPS, "width": 5, "learned": 1, "drop_maps": 0.0, "drop_image": 0.0}
    options["dtype"] = jnp.dtype("float32")
    return Decoder(**{**options, **fields})


def make_case(labels=3, side=(6, 7), batch=2, seed=0):
    """A query with places, a task whose labels all have neighbours, and a head's parameters, none of them zero."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape).astype(np.float32))  # noqa: E731
    features = normal(batch, *side, 4 + sum(GROUPS))
    of_label = jnp.asarray(np.eye(labels, 8, dtype=bool)[None].repeat(batch, 0))
    task = Task(normal(batch, labels, sum(GROUPS)), None, Neighbours(normal(batch, 8, sum(GROUPS)), of_label))
    distance = jnp.abs(normal(batch, labels, *side)) * 3
    head = make_head()
    params = head.init(jax.random.key(0), features, method=lambda m, f: m(_query(m, f, distance), task, None))
    params = jax.tree.map(lambda leaf: normal(*leaf.shape), params)
    return head, params, features, distance, task


def _query(module, features, distance, cells=None):
    return module.prepare(features)._replace(distance=distance, cells=cells)


def scores(head, params, features, distance, task, keys=None, cells=None):
    def call(module):
        return module(_query(module, features, distance, cells), task, keys)[0]

    return np.asarray(head.apply(params, method=call))


def test_positives_may_change_places_and_the_negative_scores_0():
    head, params, features, distance, task = make_case()
    found = scores(head, params, features, distance, task)
    assert found.shape == (2, 3, 6, 7) and (found[:, 0] == 0).all() and found[:, 1:].std() > 0.1
    order = np.array([0, 2, 1])
    neighbours = task.neighbours._replace(of_label=task.neighbours.of_label[:, order])
    swapped = scores(head, params, features, distance[:, order], Task(task.z[:, order], None, neighbours))
    np.testing.assert_allclose(swapped, found[:, order], rtol=1e-4, atol=1e-4)


def test_a_label_is_told_of_its_greatest_rival_alone():
    """A further positive that is nowhere nearer or more alike than the others are changes nothing for them."""
    head, params, features, distance, task = make_case()
    found = scores(head, params, features, distance, task)
    far = jnp.full_like(distance[:, :1], jnp.inf)
    neighbours = task.neighbours._replace(
        features=task.neighbours.features.at[:, 7].set(task.neighbours.features[:, 2]),
        of_label=jnp.concatenate([task.neighbours.of_label, jnp.zeros((2, 1, 8), bool).at[:, :, 7].set(True)], 1),
    )
    task = Task(jnp.concatenate([task.z, task.z[:, 2:]], 1), None, neighbours)
    more = scores(head, params, features, jnp.concatenate([distance, far], 1), task)
    np.testing.assert_allclose(more[:, 1], found[:, 1], rtol=1e-4, atol=1e-4)
    assert np.abs(more[:, 2] - found[:, 2]).max() > 0.01  # its own twin is its rival now


def test_a_label_that_nothing_annotates_is_nowhere():
    head, params, features, distance, task = make_case()
    neighbours = task.neighbours._replace(of_label=task.neighbours.of_label.at[:, 1].set(False))
    found = scores(head, params, features, distance, task._replace(neighbours=neighbours))
    assert (found[:, 1] == -10).all() and (found[:, 2] != -10).all()


def test_the_padding_of_a_canvas_changes_nothing():
    head, params, features, distance, task = make_case()
    found = scores(head, params, features, distance, task)
    pad = ((0, 0), (0, 3), (0, 2), (0, 0))
    wide = jnp.pad(features, pad, constant_values=9.0)
    far = jnp.pad(distance, ((0, 0), *(pad[3], pad[1], pad[2])), constant_values=1.0)
    cells = jnp.array([[6, 7]] * 2)
    padded = scores(head, params, wide, far, task, cells=cells)
    np.testing.assert_allclose(padded[..., :6, :7], found, rtol=1e-4, atol=1e-4)


def test_a_cell_sees_ten_cells_to_each_side():
    """What is annotated beside the middle of a grid changes the scores of 21 x 21 cells, and of no other."""
    head, params, features, distance, task = make_case(labels=2)
    task = jax.tree.map(lambda leaf: leaf[:1], task)
    features = jnp.asarray(np.resize(features, (1, 25, 27, features.shape[-1])))
    call = jax.jit(lambda places: head.apply(params, method=lambda m: m(_query(m, features, places), task, None)[0]))
    places = np.resize(distance, (1, 2, 25, 27))
    found = np.asarray(call(jnp.asarray(places)))
    places[:, :, 12, 13] = 0
    moved = np.asarray(call(jnp.asarray(places)))
    rows, columns = np.nonzero((moved != found)[0, 1])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 22, 3, 23)


def test_no_distances_are_those_of_a_query_without_annotation():
    head, params, features, distance, task = make_case()
    none, far = (scores(head, params, features, each, task) for each in (None, jnp.full_like(distance, jnp.inf)))
    np.testing.assert_allclose(none, far, rtol=1e-5, atol=1e-5)
    assert np.abs(none - scores(head, params, features, distance, task)).max() > 0.1


def test_it_starts_as_the_similarities_that_do_not_learn():
    """The last layer is zero, so before training a score is 10 times (own - rival), of the second group alone."""
    head, _, features, distance, task = make_case(labels=2)
    params = head.init(jax.random.key(0), features, method=lambda m, f: m(_query(m, f, distance), task, None))
    found = scores(head, params, features, distance, task)
    unit = lambda values: values / np.linalg.norm(values, axis=-1, keepdims=True)  # noqa: E731
    query = unit(np.asarray(features)[..., 7:])
    kept = unit(np.asarray(task.neighbours.features)[:, :2, 3:])
    alike = sum(np.einsum("bnmc,bkc->bknm", query, each) for each in (unit(np.asarray(task.z)[..., 3:]), kept))
    np.testing.assert_allclose(found[:, 1], 10 * (alike[:, 1] - alike[:, 0]), rtol=1e-3, atol=1e-3)


def test_what_it_is_shown_of_a_distance():
    """Gaussians of 1 and 5 cells, and whether anything is annotated, each read through layers that let one map pass."""
    head, params, features, distance, task = make_case(labels=2)
    distance = distance.at[0, 0].set(jnp.inf).at[1].set(jnp.inf)  # a positive alone; nothing at all
    layers = jax.tree.map(jnp.zeros_like, params)["params"]
    layers["last"]["kernel"] = layers["last"]["kernel"].at[0].set(1)
    far = np.asarray(distance)[:, 1]
    shown = [np.exp(-(far**2) / 2), np.exp(-(far**2) / 50), np.broadcast_to([[[1.0]], [[0.0]]], far.shape)]
    for number, expected in enumerate(shown, start=2 * len(GROUPS)):
        kernel = layers["first"]["kernel"].at[1, 1, number, 0].set(1)
        found = scores(head, {"params": {**layers, "first": {"kernel": kernel}}}, features, distance, task)
        np.testing.assert_allclose(found[:, 1], expected, rtol=1e-5, atol=1e-6)


def test_maps_and_features_are_dropped_apart_from_each_other():
    head, params, features, distance, task = make_case(batch=1, labels=2)
    features, distance, task = jax.tree.map(lambda leaf: jnp.repeat(leaf, 200, 0), (features, distance, task))
    both = make_head(drop_maps=0.5, drop_image=0.5)
    found = scores(both, params, features, distance, task, jax.random.split(jax.random.key(3), 200))
    whole = np.isclose(found, scores(head, params, features, distance, task), rtol=1e-4, atol=1e-4).all((1, 2, 3))
    assert abs(whole.mean() - 0.25) < 0.1


@pytest.mark.parametrize(("field", "rate"), [("drop_maps", 0.25), ("drop_image", 0.75)])
def test_what_is_dropped_in_training_and_how_often(field, rate):
    """Whole episodes: some are as without places (or features), the others as in evaluation."""
    head, params, features, distance, task = make_case(batch=1, labels=2)
    many = 200
    features, distance, task = jax.tree.map(lambda leaf: jnp.repeat(leaf, many, 0), (features, distance, task))
    keys = jax.random.split(jax.random.key(3), many)
    found = scores(make_head(**{field: rate}), params, features, distance, task, keys)
    whole = scores(head, params, features, distance, task)

    def without(module):
        query = _query(module, features, distance)
        changed = {"drop_maps": {"distance": None}, "drop_image": {"hidden": jnp.zeros_like(query.hidden)}}[field]
        return module(DecoderQuery(**{**query._asdict(), **changed}), task, None)[0]

    bare = np.asarray(head.apply(params, method=without))
    kept, dropped = (np.isclose(found, each, rtol=1e-4, atol=1e-4).all((1, 2, 3)) for each in (whole, bare))
    assert (kept ^ dropped).all() and abs(dropped.mean() - rate) < 0.12
    np.testing.assert_array_equal(scores(make_head(**{field: rate}), params, features, distance, task), whole)


def make_sure_case():
    """A first look that is sure of some cells of each label, and of others not, on an image smaller than its canvas."""
    head, params, features, distance, task = make_case(side=(9, 11))
    scaled = jax.tree.map(lambda leaf: 0.3 * leaf, params)
    return head, scaled, features, distance, task, jnp.array([[9, 11], [8, 9]])


def test_a_second_look_is_guided_by_what_the_first_is_sure_of():
    """The same as a plain decoder whose task was changed by hand: the sure cells' mean, and every fourth of them."""
    head, params, features, distance, task, cells = make_sure_case()
    first = scores(head, params, features, distance, task, cells=cells)
    shares = np.exp(first) / np.exp(first).sum(1, keepdims=True)
    compared, z = np.asarray(features[..., 4:]), np.array(task.z)
    of_label, changed = np.zeros((2, 3, 6), bool), 0
    for i, (rows, columns) in enumerate(np.asarray(cells)):
        sure = shares[i] > 0.8
        sure[:, rows:], sure[:, :, columns:] = False, False
        assert not sure.any(0).all()
        for k in range(3):
            if sure[k].any():  # else the prototype of the annotation stays
                z[i, k] = compared[i][sure[k]].mean(0)
                changed += 1
            of_label[i, k] = [sure[k, row, column] for row in (2, 6) for column in (2, 6, 10)]
    assert of_label.any() and 0 < changed < 6
    some = compared[:, [[2], [6]], [2, 6, 10]].reshape(2, 6, -1)
    neighbours = Neighbours(
        jnp.concatenate([task.neighbours.features, some], 1), jnp.concatenate([task.neighbours.of_label, of_label], 2)
    )
    expected = scores(head, params, features, distance, Task(jnp.asarray(z), None, neighbours), cells=cells)
    found = scores(make_head(self_support=0.8), params, features, distance, task, cells=cells)
    valid = np.arange(9)[:, None] < np.asarray(cells)[:, :1, None]
    valid = valid & (np.arange(11) < np.asarray(cells)[:, 1:, None])
    np.testing.assert_allclose(
        np.where(valid[:, None], found, 0), np.where(valid[:, None], expected, 0), rtol=1e-4, atol=1e-4
    )
    assert np.abs(found - first).max() > 0.1


def test_without_a_sure_cell_a_second_look_sees_what_the_first_did():
    head, params, features, distance, task = make_case()
    params = jax.tree.map(lambda leaf: 0.1 * leaf, params)
    found = scores(make_head(self_support=0.9999), params, features, distance, task)
    np.testing.assert_allclose(found, scores(head, params, features, distance, task), rtol=1e-5, atol=1e-5)


def test_an_episode_of_many_annotated_cells_looks_once():
    """Each of a batch by its own number: the first has as many as look twice, the second one cell more."""
    _, params, features, distance, task, cells = make_sure_case()
    kept = jnp.resize(task.neighbours.features, (2, 2 * FEW, sum(GROUPS)))
    number = jnp.arange(2 * FEW)[None, None]
    third, many = jnp.arange(3)[None, :, None], jnp.array([FEW, FEW + 1])[:, None, None]
    of_label = (number % 3 == third) & (number < many)
    task = task._replace(neighbours=Neighbours(kept, of_label))
    once, found = (
        scores(make_head(self_support=rate), params, features, distance, task, cells=cells) for rate in (0.0, 0.8)
    )
    np.testing.assert_array_equal(found[1], once[1])
    assert np.abs(found[0] - once[0]).max() > 0.1
    first = [jax.tree.map(lambda leaf: leaf[:1], each) for each in (features, distance, task, cells)]
    alone = scores(make_head(self_support=0.8), params, *first[:3], cells=first[3])
    np.testing.assert_allclose(alone, found[:1], rtol=1e-4, atol=1e-4)
    for nowhere in (None, jnp.full_like(distance, jnp.inf)):  # another image than the annotated ones
        once, found = (
            scores(make_head(self_support=rate), params, features, nowhere, task, cells=cells) for rate in (0.0, 0.8)
        )
        assert (np.abs(found - once).max((1, 2, 3)) > 0.1).all()


def test_a_label_that_nothing_annotates_stays_nowhere_in_a_second_look():
    _, params, features, distance, task = make_case()
    neighbours = task.neighbours._replace(of_label=task.neighbours.of_label.at[:, 1].set(False))
    found = scores(make_head(self_support=0.4), params, features, distance, task._replace(neighbours=neighbours))
    assert (found[:, 1] == -10).all() and (found[:, 2] != -10).all()


def test_training_takes_the_scores_of_either_look_in_half_of_the_episodes():
    head, params, features, distance, task, _ = make_sure_case()
    many = 100
    repeated = (jnp.repeat(leaf, many, 0) for leaf in (features, distance))
    features, distance = repeated
    task = jax.tree.map(lambda leaf: jnp.repeat(leaf, many, 0), task)
    twice = make_head(self_support=0.8)
    found = scores(twice, params, features, distance, task, jax.random.split(jax.random.key(3), 2 * many))
    looks = (scores(each, params, features, distance, task) for each in (head, twice))
    first, second = (np.isclose(found, look, rtol=1e-4, atol=1e-4).all((1, 2, 3)) for look in looks)
    assert (first ^ second).all() and abs(first.mean() - 0.5) < 0.12
