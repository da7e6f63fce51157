"""Fine-tuning on the tasks of a batch: what it fits, what it leaves alone, and on what it does not depend."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from guided_jax.episode import UNKNOWN
from guided_jax.learning.optimizer import split_frozen
from guided_jax.learning.parallel import parallel_evaluate, shard_batch
from guided_jax.tuning.config import TuneConfig, check_tune, first_to_learn
from guided_jax.tuning.episodes import Start, evaluate_tuned_step, tuned_labels
from guided_jax.tuning.optimise import balanced_loss, run_frozen, tune
from tests.guided_jax.small_models import make_batch, make_model, shapes_of

UNGUIDED = {"fusion": "none", "inference": "direct", "sharing": "unshared", "dropout": 0.0}
HEAD = TuneConfig(freeze="trunk, neck", pixels=16, learning_rate=1e-2)
CONFIGS = {
    "head": HEAD,
    "head, whole maps": dataclasses.replace(HEAD, pixels=0),
    "neck": TuneConfig(freeze="trunk", pixels=0, together=1),
}


@pytest.fixture(scope="module")
def network():
    return make_model(**UNGUIDED)


@pytest.fixture(scope="module")
def batch():
    return make_batch(draws=2)


@cache
def compiled(values: tuple):
    """One program a configuration, whatever the number of updates."""
    model, _ = make_model(**UNGUIDED)
    return jax.jit(partial(tuned_labels, model=model, config=TuneConfig(*values), seed=3))


def fit(network, batch, config, steps=20):
    return np.asarray(compiled(dataclasses.astuple(config))(Start(network[1], jnp.int32(steps)), batch))


@pytest.fixture(scope="module")
def fitted(network, batch):
    return {name: fit(network, batch, config) for name, config in CONFIGS.items()}


def test_without_updates_it_is_the_network_itself(network, batch):
    model, params = network
    logits = jax.jit(model.apply)({"params": params}, batch)
    expected = np.moveaxis(np.argmax(np.asarray(logits), 2), 0, 1)
    for config in CONFIGS.values():
        np.testing.assert_array_equal(fit(network, batch, config, steps=0), expected)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_annotated_pixels_are_fitted(network, batch, fitted, name):
    """Three pixels of random noise to be positive and two negative, of a network that takes them otherwise."""
    labels = np.broadcast_to(fitted[name][:, :, None], batch.annotation.shape)
    known = batch.annotation != UNKNOWN
    before = np.broadcast_to(fit(network, batch, HEAD, steps=0)[:, :, None], batch.annotation.shape)
    right = [np.mean(each[known] == batch.annotation[known]) for each in (labels, before)]
    assert right[0] > right[1] + 0.2


def test_single_cells_give_the_update_of_whole_maps(fitted):
    """All annotated pixels are looked at either way: the label maps are the same but for rounding."""
    assert np.mean(fitted["head"] != fitted["head, whole maps"]) < 0.002
    assert np.mean(fitted["head"] != fitted["neck"]) > 0.01


def test_tasks_do_not_meet(network, batch, fitted):
    reverse = jax.tree.map(lambda leaf: leaf[::-1], batch)
    for name, together in (("head", 0), ("head", 3), ("neck", 1)):
        config = dataclasses.replace(CONFIGS[name], together=together)
        assert np.mean(fit(network, reverse, config)[::-1] != fitted[name]) < 0.002


def test_annotations_do_not_meet(network, batch, fitted):
    other = batch._replace(annotation=batch.annotation.copy())
    other.annotation[:, 1] = UNKNOWN
    other.annotation[:, 1, 0, 5, 7] = 1
    found = fit(network, other, HEAD)
    assert np.mean(found[:, 0] != fitted["head"][:, 0]) < 0.002 and (found[:, 1] != fitted["head"][:, 1]).any()


def test_nothing_annotated_changes_nothing(network, batch):
    blank = batch._replace(annotation=np.full_like(batch.annotation, UNKNOWN))
    for config in (HEAD, CONFIGS["neck"]):
        np.testing.assert_array_equal(fit(network, blank, config), fit(network, blank, config, steps=0))


def test_padding_and_points_on_it_do_not_count(network, batch, fitted):
    other = batch._replace(annotation=batch.annotation.copy(), query=batch.query.copy())
    other.annotation[..., 41:, :] = 1
    other.query[:, 41:] = 99
    assert np.mean(fit(network, other, HEAD) != fitted["head"]) < 0.002


@pytest.mark.parametrize("name", ["head", "neck"])
def test_the_network_is_fitted_to_the_support_and_not_to_the_query(network, name):
    batch = make_batch(shots=2, seed=5)
    right = []
    for steps in (0, 20):
        shots = [fit(network, batch._replace(query=batch.support[:, i]), CONFIGS[name], steps)[:, 0] for i in (0, 1)]
        known = batch.annotation[:, 0] != UNKNOWN
        right.append(np.mean(np.stack(shots, 1)[known] == batch.annotation[:, 0][known]))
    assert right[1] > right[0] + 0.05


def test_an_empty_shot_is_passed_over(network):
    batch = make_batch(shots=2, seed=5)
    batch.annotation[:, :, 1] = UNKNOWN
    alone = batch._replace(
        support=batch.support[:, :1], support_size=batch.support_size[:, :1], annotation=batch.annotation[:, :, :1]
    )
    assert np.mean(fit(network, batch, HEAD) != fit(network, alone, HEAD)) < 0.002


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_devices_give_the_same_counts(network, batch, mode):
    model, params = network
    devices = jax.devices()[:2]
    step = partial(evaluate_tuned_step, model=model, config=HEAD, seed=3, with_labels=True)
    count = parallel_evaluate(step, mode, devices)
    counts, labels = count(Start(params, jnp.int32(20)), shard_batch(batch, mode, devices))
    assert np.mean(labels != fit(network, batch, HEAD)) < 0.002
    known = batch.target != UNKNOWN
    for number in range(2):
        both = (labels[:, number] == 1) & (batch.target == 1)
        assert counts[:, number, 0].tolist() == both.sum((1, 2)).tolist()
        assert counts[:, number, :4].sum(1).tolist() == known.sum((1, 2)).tolist()


def test_an_update_is_that_of_plain_sgd(network, batch):
    """One update of the score's bias: minus the learning rate times its factor times the mean gradient of a label."""
    model, params = network
    config = TuneConfig(optimizer="sgd", learning_rate=0.5, rates="head=0.5, .*bias=0.1", pixels=8)
    learning, frozen = split_frozen(params, config.freeze)
    images, size = jnp.asarray(batch.query[:1]), jnp.asarray(batch.query_size[:1])
    run = partial(run_frozen, canvas=(48, 56), size=size, part="head")
    features = jax.jit(partial(model.apply, method=run))({"params": params}, images)
    annotation = jnp.asarray(batch.annotation[0, 0])
    arguments = learning, frozen, features, annotation, size, jax.random.key(0)
    tuned = tune(model, *arguments, jnp.int32(1), config)
    logits = jax.jit(model.apply)({"params": params}, batch)[0, 0]
    terms = []
    for label in (0, 1):
        at = np.argwhere(batch.annotation[0, 0, 0] == label)
        odds = jax.nn.softmax(jnp.stack([logits[:, r, c] for r, c in at]), -1)
        terms.append((odds - jax.nn.one_hot(label, 2)[None]).mean(0))
    change = tuned["head/score/bias"] - learning["head/score/bias"]
    np.testing.assert_allclose(change, -0.5 * 0.5 * 0.1 * (terms[0] + terms[1]) / 2, rtol=1e-4)
    assert set(tuned) == {path for path in flatten_dict(params, sep="/") if path.startswith("head/")}


def test_how_labels_weigh():
    sums, counted, annotated = jnp.array([6.0, 1.0]), jnp.array([3, 1]), jnp.array([9, 1])
    assert balanced_loss(sums, counted, annotated, True) == pytest.approx(1.5)
    assert balanced_loss(sums, counted, annotated, False) == pytest.approx((9 * 2 + 1) / 10)
    one = jnp.array([0, 1])
    assert balanced_loss(jnp.array([0.0, 1.0]), one, one, True) == pytest.approx(1.0)
    none = jnp.zeros(2, jnp.int32)
    assert balanced_loss(jnp.zeros(2), none, none, True) == 0 == balanced_loss(jnp.zeros(2), none, none, False)


def test_the_first_part_that_learns():
    assert first_to_learn(["head/fc7/kernel"]) == "head"
    assert first_to_learn(["head/fc7/kernel", "neck/fc6/bias"]) == "neck"
    assert first_to_learn(["head/fc7/kernel", "trunk/conv3_1/bias"]) == "trunk"


@pytest.mark.parametrize(
    ("fields", "cached", "message"),
    [
        ({"steps": -1}, False, "tune.steps=-1: must be from 0 to 2.147"),
        ({"pixels": 10**6}, False, "tune.pixels=1000000: must be from 0 to 32768"),
        ({"momentum": 1.0}, False, "tune.momentum=1.0: must be below 1"),
        ({"optimizer": "adam"}, False, "tune.optimizer='adam' is not one of sgd, adamw"),
        ({"freeze": "nek"}, False, "tune.freeze: 'nek' matches no parameter"),
        ({"freeze": "trunk, neck, head"}, False, "tune.freeze='trunk, neck, head' freezes every parameter"),
        ({"rates": "trunk=2"}, False, "tune.rates: 'trunk' matches no parameter; there are head/fc7"),
        ({"rates": "head"}, False, "tune.rates: 'head' is no rule; write EXPRESSION=FACTOR"),
        ({"rates": "head=-1"}, False, "tune.rates: 'head=-1' is no rule"),
        (
            {"freeze": "", "pixels": 0},
            True,
            "tune.freeze='': the trunk learns at test time.*train.cache_features=False",
        ),
        ({"freeze": "trunk"}, True, "tune.pixels=64: the neck learns, which sees whole images; set it to 0"),
        ({"augment": True}, False, "tune.augment: the head is the first to learn"),
    ],
)
def test_what_is_refused(network, fields, cached, message):
    model, _ = network
    config = TuneConfig(**{"steps": 5, **fields})
    with pytest.raises(ValueError, match=message):
        check_tune(config, model.config, shapes_of(model), cached=cached)


def test_a_guided_network_is_refused():
    model, _ = make_model()
    with pytest.raises(ValueError, match=r"model\.fusion=late is guided by it; set model\.fusion=none"):
        check_tune(TuneConfig(steps=5), model.config, shapes_of(model), cached=False)
    check_tune(TuneConfig(), model.config, shapes_of(model), cached=False)


def test_weights_that_decay_and_the_adaptive_optimizer_are_as_configured(network, batch):
    """Without an annotation there is no gradient, and decoupled decay alone is left: (1 - rate x decay) ** steps."""
    model, params = network
    config = TuneConfig(weight_decay=0.5, learning_rate=0.1, pixels=4)
    learning, frozen = split_frozen(params, config.freeze)
    features = jnp.zeros((1, 12, 14, model.config.feature_width))
    blank, size = jnp.full((1, 48, 56), UNKNOWN, jnp.uint8), jnp.asarray(batch.query_size[:1])
    tuned = tune(model, learning, frozen, features, blank, size, jax.random.key(0), jnp.int32(3), config)
    expected = optax.tree.scale((1 - 0.1 * 0.5) ** 3, learning)
    for path, value in tuned.items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-5)
