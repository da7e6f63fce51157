"""Clicks that a simulated user adds during training where the network errs."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.episode import UNKNOWN
from guided_jax.inference.labels import predict_labels
from guided_jax.learning.config import TrainConfig, check_train
from guided_jax.learning.corrections import LEVELS, add_click, correct, depth_level, draw_clicks
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.parallel import parallel_train_step, replicate, shard_batch
from guided_jax.learning.step import create_state, train_step
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor
from tests.guided_jax.small_models import make_batch, make_model

SMALL = {"size": (20, 22), "canvas": (24, 24)}
KEY = jax.random.key(0)


def click(labels, target, annotation, seed=0):
    new = np.asarray(add_click(jax.random.key(seed), *map(jnp.asarray, (labels, target, annotation)), way=2))
    (places,) = np.nonzero((new != annotation).ravel())
    return new, [divmod(int(place), target.shape[1]) for place in places]


def labels_of(model, params, batch):
    """What a model predicts of the only draw."""

    def predict(batch):
        return model.apply({"params": params}, batch, None, lambda logits, _: predict_labels(logits))

    return np.asarray(jax.jit(predict)(batch))[0]


def blank(size):
    return np.full(size, UNKNOWN, np.uint8)


def test_depth_of_a_square_by_hand():
    region = np.zeros((7, 9), bool)
    region[1:6, 2:7] = True
    expected = np.zeros((7, 9), int)
    expected[1:6, 2:7], expected[2:5, 3:6], expected[3, 4] = 1, 2, 3
    np.testing.assert_array_equal(depth_level(jnp.asarray(region)), expected)


def test_nothing_belongs_to_a_region_beyond_the_frame():
    level = np.asarray(depth_level(jnp.ones((5, 5), bool)))
    assert level[0].tolist() == [1] * 5 and level[2, 2] == 3 and level[1, 1] == 2


def test_depth_is_that_of_the_distance_transform_in_powers_of_two():
    region = np.kron(np.random.default_rng(0).random((9, 8)) < 0.8, np.ones((23, 29))).astype(bool)
    distance = distance_transform_cdt(np.pad(region, 1), "chessboard")[1:-1, 1:-1]  # 1 at the rim
    reach = [0, *(2**n for n in range(LEVELS))]
    expected = sum((distance > each).astype(int) for each in reach)
    np.testing.assert_array_equal(depth_level(jnp.asarray(region)), expected)
    assert expected.max() >= 5


def test_errors_are_told_apart_up_to_a_depth_of_64_pixels():
    level = jax.jit(depth_level)(np.ones((131, 131), bool))  # a square of 129 pixels fits around three by three
    assert level.max() == 8 and (level == 8).sum() == 9


def test_the_click_is_deep_in_the_largest_error_and_tells_the_truth():
    target, labels = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    target[5:16, 5:16] = 1  # missed, 11 wide
    labels[30:35, 30:35] = 1  # wrongly taken, 5 wide
    new, places = click(labels, target, blank((40, 40)))
    ((row, column),) = places
    assert new[row, column] == 1 and 8 <= row <= 12 and 8 <= column <= 12
    labels[20:40, 0:20] = 1
    new, ((row, column),) = click(labels, target, blank((40, 40)))
    assert new[row, column] == 0 and 24 <= row <= 35 and 4 <= column <= 15


def test_missed_and_taken_pixels_side_by_side_are_two_regions():
    target, labels = np.zeros((9, 20), np.uint8), np.zeros((9, 20), np.uint8)
    target[:, :10] = 1
    labels[:, 10:] = 1  # everything is wrong; the border of both regions is at column 10
    places = {click(labels, target, blank((9, 20)), seed)[1][0] for seed in range(20)}
    assert {row for row, _ in places} == {4} and {column for _, column in places} <= {4, 5, 14, 15}


def test_nothing_is_clicked_where_nothing_is_wrong_or_known():
    labels = np.ones((6, 6), np.uint8)
    for target in labels, np.full((6, 6), UNKNOWN, np.uint8):
        assert click(labels, target, blank((6, 6)))[1] == []
    dense = np.zeros((6, 6), np.uint8)
    assert click(labels, dense, dense)[1] == []  # all is annotated already


def test_as_many_clicks_as_asked_each_after_the_last():
    batch = make_batch(count=3, seed=1, **SMALL)
    annotation = np.full_like(batch.annotation, UNKNOWN)
    places = [tuple(np.argwhere(target == 0)[0]) for target in batch.target]
    for i, place in enumerate(places):
        annotation[(i, 0, 0, *place)] = 0
    batch = jax.device_put(batch._replace(annotation=annotation))
    model, params = make_model(batch, sharing="unshared")
    keys = jax.vmap(partial(jax.random.fold_in, KEY))(batch.index)
    added = jax.jit(lambda clicks: correct(model, params, batch, keys, clicks).annotation)
    counts = [(np.asarray(added(jnp.int32(n))) != UNKNOWN).sum((1, 2, 3, 4)) for n in (0, 1, 4)]
    assert [each.tolist() for each in counts] == [[1] * 3, [2] * 3, [5] * 3]
    one, four = np.asarray(added(jnp.int32(1))), np.asarray(added(jnp.int32(4)))
    np.testing.assert_array_equal(four[one != UNKNOWN], one[one != UNKNOWN])
    target = np.broadcast_to(batch.target[:, None, None], four.shape)
    np.testing.assert_array_equal(four[four != UNKNOWN], target[four != UNKNOWN])
    labels = labels_of(model, params, batch)
    wrong_at_first = labels != batch.target
    assert (wrong_at_first[:, None, None] | (one == annotation)).all()


def test_an_episode_without_annotation_begins_with_a_click_deep_in_its_object():
    batch = jax.device_put(make_batch(count=3, seed=1, **SMALL))
    model, params = make_model(batch, sharing="unshared")
    keys = jax.random.split(jax.random.key(4), 3)
    given = np.asarray(batch.annotation)
    blank = batch._replace(annotation=batch.annotation.at[1].set(UNKNOWN))
    corrected = jax.jit(lambda batch, clicks: correct(model, params, batch, keys, clicks).annotation)
    after = np.asarray(corrected(blank, jnp.int32(0)))
    np.testing.assert_array_equal(after[[0, 2]], given[[0, 2]])
    ((row, column),) = np.argwhere(after[1, 0, 0] != UNKNOWN)
    depth = np.asarray(depth_level(batch.target[1] == 1))
    assert after[1, 0, 0, row, column] == 1 and depth[row, column] == depth.max() > 1
    # The corrections come after it, and of other places.
    more = np.asarray(corrected(blank, jnp.int32(2)))
    assert more[1, 0, 0, row, column] == 1 and (more[1] != UNKNOWN).sum() == 3
    nothing = blank._replace(target=jnp.zeros_like(blank.target))
    assert (np.asarray(corrected(nothing, jnp.int32(0)))[1] == UNKNOWN).all()


def test_each_correction_of_each_episode_has_a_key_of_its_own(monkeypatch):
    """Folded by the number of their own stream, then by that of the correction; the first click of a blank annotation,
    by how many follow. All is segmented as negative.
    """

    def annotate(model, variables, batch, clicks, click, stride, method):
        assert method == "annotate" and variables == {"params": {}} and stride == 3
        annotation = batch.annotation[:, :, 0]
        for number in range(int(clicks)):
            annotation = click(jnp.int32(number), jnp.zeros((2, 3, 7, 7)).at[:, 0].set(1.0), annotation)
        return annotation[:, :, None]

    monkeypatch.setattr(Segmentor, "apply", annotate)
    model = Segmentor(ModelConfig(way=3), CAFFE)
    batch = make_batch(count=2, size=(20, 20), canvas=(20, 20))
    batch = batch._replace(target=np.random.default_rng(0).integers(0, 3, batch.target.shape, np.uint8))
    batch = jax.device_put(batch._replace(annotation=np.full_like(batch.annotation, UNKNOWN)))
    keys, two = jax.random.split(jax.random.key(4), 2), jnp.int32(2)
    found = jax.jit(lambda batch: correct(model, {}, batch, keys, two, 3).annotation)(batch)

    @jax.jit
    def by_hand(key, target):
        annotation = jnp.full((7, 7), UNKNOWN, jnp.uint8)
        for number in (2, 0, 1):
            at = jax.random.fold_in(jax.random.fold_in(key, 3), number)
            annotation = add_click(at, jnp.zeros((7, 7), jnp.uint8), target[1::3, 1::3], annotation, way=3)
        return annotation

    for key, target, annotation in zip(keys, batch.target, np.asarray(found)[:, 0, 0], strict=True):
        np.testing.assert_array_equal(annotation[1::3, 1::3], by_hand(key, target))
        assert (annotation != UNKNOWN).sum() == 3
    seed = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), 3), 11)
    assert int(draw_clicks(7, jnp.int32(11), 1000)) == int(jax.random.randint(seed, (), 0, 1001))


def test_every_number_of_clicks_comes_up_and_follows_from_seed_and_step():
    numbers = [int(draw_clicks(1, jnp.int32(step), 3)) for step in range(40)]
    assert set(numbers) == {0, 1, 2, 3}
    assert numbers == [int(draw_clicks(1, jnp.int32(step), 3)) for step in range(40)]
    assert numbers != [int(draw_clicks(2, jnp.int32(step), 3)) for step in range(40)]


def test_corrections_with_a_stride_lie_on_their_places():
    """At the middle of squares of 4 pixels, where the network errs, and labelled rightly; nothing else is touched."""
    batch = jax.device_put(make_batch(count=3, **SMALL))
    model, params = make_model(batch, sharing="unshared")
    keys = jax.random.split(jax.random.key(4), 3)
    before = np.asarray(batch.annotation)

    def corrections(*stride):
        return jax.jit(lambda clicks: correct(model, params, batch, keys, clicks, *stride).annotation)

    by_fours = corrections(4)
    after = np.asarray(by_fours(jnp.int32(2)))
    episode, _, _, rows, columns = np.nonzero(before != after)
    assert sorted(episode.tolist()) == [0, 0, 1, 1, 2, 2]
    assert (rows % 4 == 2).all() and (columns % 4 == 2).all()
    np.testing.assert_array_equal(after[episode, 0, 0, rows, columns], batch.target[episode, rows, columns])
    labels = labels_of(model, params, batch)
    # What is compared there is what is predicted there.
    annotate = partial(
        model.apply,
        add=lambda number, logits, annotation: annotation.at[:, 0, 2::4, 2::4].set(predict_labels(logits)),
        stride=4,
        method="annotate",
    )
    seen = np.asarray(jax.jit(annotate)({"params": params}, batch, jnp.int32(1)))
    np.testing.assert_array_equal(seen[:, 0, 0, 2::4, 2::4], labels[:, 2::4, 2::4])
    first = np.asarray(by_fours(jnp.int32(1))) != before
    assert (labels[first[:, 0, 0]] != np.asarray(batch.target)[first[:, 0, 0]]).all() and first.sum() == 3
    np.testing.assert_array_equal(corrections(1)(jnp.int32(1)), corrections()(jnp.int32(1)))


@pytest.fixture(scope="module")
def train():
    """Three updates, on given devices in given parts: the optimiser's state, and the last update's totals."""
    config = TrainConfig(learning_rate=1e-5, batch_size=8)
    batches = [make_batch(count=8, seed=seed, **SMALL) for seed in range(3)]
    model, params = make_model(batches[0], sharing="unshared", dropout=0.5)

    def run(mode="jit", devices=1, parts=1, corrections=3):
        optimizer, devices = make_optimizer(config), jax.devices()[:devices]
        step = partial(
            train_step, model=model, optimizer=optimizer, seed=3, accumulation=parts, corrections=corrections
        )
        step = parallel_train_step(step, mode, devices)
        state = replicate(create_state(jax.tree.map(jnp.array, params), optimizer, ""), devices)
        for batch in batches:
            state, totals = step(state, shard_batch(batch, mode, devices))
        return jax.device_get(state.opt_state), jax.device_get(totals)

    return run


@pytest.fixture(scope="module")
def expected(train):
    return train()


def test_corrections_change_the_training(train, expected):
    assert train(corrections=0)[1].loss != expected[1].loss


@pytest.mark.parametrize(("mode", "devices", "parts"), [("pmap", 4, 1), ("jit", 4, 1), ("jit", 1, 2)])
def test_devices_and_parts_do_not_change_the_training(train, expected, mode, devices, parts):
    got, _ = train(mode, devices, parts)
    for one, two in zip(jax.tree.leaves(got), jax.tree.leaves(expected[0]), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5 * np.abs(two).max())


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match=r"train\.corrections=-1: must not be negative"):
        check_train(dataclasses.replace(TrainConfig(), corrections=-1), 1)
