import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from guided_jax.learning.config import TrainConfig, check_train
from guided_jax.learning.optimizer import (
    join,
    layer_factors,
    learning_rate,
    make_optimizer,
    read_rates,
    split_frozen,
)


@pytest.fixture(scope="module")
def params() -> dict:
    return {
        "trunk": {"conv1_1": {"kernel": jnp.ones(2), "bias": jnp.zeros(1)}, "conv1_2": {"kernel": jnp.ones(3)}},
        "neck": {"fc6": {"kernel": jnp.ones(4)}},
        "head": {"score_kernel": jnp.ones(5), "score_bias": jnp.zeros(1)},
    }


def descend(config: TrainConfig, start, gradients):
    """Parameters after each update."""
    optimizer = make_optimizer(config)
    params = {"w": jnp.asarray(start, jnp.float32)}
    state = optimizer.init(params)
    path = []
    for gradient in gradients:
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update({"w": jnp.asarray(gradient, jnp.float32)}, state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params["w"]))
    return np.array(path)


def random_gradients(steps=6, size=5):
    return np.random.default_rng(0).normal(size=(steps, size)).astype(np.float32)


def test_sgd_is_pytorchs():
    torch = pytest.importorskip("torch", reason="the reference's optimiser is PyTorch's")
    gradients, start = random_gradients(), np.linspace(-2, 2, 5, dtype=np.float32)
    weights = torch.nn.Parameter(torch.tensor(start))
    theirs = torch.optim.SGD([weights], lr=0.1, momentum=0.99, weight_decay=5e-4)
    expected = []
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        theirs.step()
        expected.append(weights.detach().numpy().copy())
    path = descend(TrainConfig(learning_rate=0.1), start, gradients)
    np.testing.assert_allclose(path, expected, rtol=1e-6, atol=1e-7)


def test_sgd_by_hand():
    """The decay joins the gradient, the sum joins the momentum, the rate comes last."""
    config = TrainConfig(learning_rate=0.5, momentum=0.5, weight_decay=0.1)
    # velocity 1 + 0.2 = 1.2, then 0.5 * 1.2 + 1 + 0.14 = 1.74
    np.testing.assert_allclose(descend(config, [2.0], [[1.0], [1.0]]), [[1.4], [0.53]], rtol=1e-6)


def test_momentum_makes_a_steady_gradient_a_hundred_times_stronger():
    path = descend(TrainConfig(learning_rate=1.0, weight_decay=0.0), [0.0], np.ones((2000, 1)))
    assert path[-2] - path[-1] == pytest.approx(100, rel=1e-3)


def test_adamw_decays_beside_the_gradient():
    config = TrainConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.01)
    # The first update of Adam is the sign of the gradient, whatever its size.
    np.testing.assert_allclose(descend(config, [2.0], [[1e3]]), [[2 - 0.1 * (1 + 0.01 * 2)]], rtol=1e-5)


def test_clip_scales_the_whole_gradient():
    config = TrainConfig(learning_rate=1.0, momentum=0.0, weight_decay=0.0, clip_norm=1.0)
    np.testing.assert_allclose(descend(config, [0.0, 0.0], [[3.0, 4.0]]), [[-0.6, -0.8]], rtol=1e-6)
    np.testing.assert_allclose(descend(config, [0.0, 0.0], [[0.3, 0.4]]), [[-0.3, -0.4]], rtol=1e-6)


def test_the_decay_is_not_clipped():
    config = TrainConfig(learning_rate=1.0, momentum=0.0, weight_decay=1.0, clip_norm=1.0)
    np.testing.assert_allclose(descend(config, [10.0], [[5.0]]), [[10 - 1 - 10]], rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {0: 1.0, 50: 1.0, 100: 1.0}),
        ({"warmup": 10}, {0: 0.0, 5: 0.5, 10: 1.0, 100: 1.0}),
        ({"schedule": "cosine"}, {0: 1.0, 25: 0.5 + 0.5 * np.cos(np.pi / 4), 50: 0.5, 100: 0.0, 101: 0.0}),
        ({"schedule": "cosine", "warmup": 20}, {0: 0.0, 10: 0.5, 20: 1.0, 60: 0.5, 100: 0.0}),
        ({"schedule": "cosine", "steps": 0}, {0: 1.0}),
        ({"schedule": "cosine", "warmup": 20, "steps": 5}, {0: 0.0, 5: 0.25}),
    ],
)
def test_schedules_by_hand(fields, expected):
    config = TrainConfig(**{"learning_rate": 2.0, "steps": 100, **fields})
    rate = learning_rate(config)
    np.testing.assert_allclose([rate(step) for step in expected], 2 * np.array(list(expected.values())), atol=1e-6)


@pytest.mark.parametrize(
    ("rules", "frozen"),
    [
        ("", set()),
        ("trunk", {"trunk/conv1_1/kernel", "trunk/conv1_1/bias", "trunk/conv1_2/kernel"}),
        ("trunk/conv1_1, neck", {"trunk/conv1_1/kernel", "trunk/conv1_1/bias", "neck/fc6/kernel"}),
        (r".*bias$", {"trunk/conv1_1/bias", "head/score_bias"}),
        ("trunk/.*/kernel,", {"trunk/conv1_1/kernel", "trunk/conv1_2/kernel"}),
    ],
)
def test_freeze_rules(params, rules, frozen):
    learning, kept = split_frozen(params, rules)
    assert set(kept) == frozen
    assert not set(learning) & frozen and len(learning) + len(frozen) == 6
    whole = join(learning, kept)
    assert jax.tree.structure(whole) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, whole, params)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            "conv1_1",
            r"train.freeze: 'conv1_1' matches no parameter; there are head/score_bias, head/score_kernel, neck",
        ),
        ("trunk,tail", "train.freeze: 'tail' matches no parameter"),
        ("(", r"train.freeze: '\(' is not a regular expression"),
        ("a{99999999999999999999}", r"train.freeze: 'a\{9+\}' is not a regular expression"),
        ("(" * 9999, r"train.freeze: '\(+' is not a regular expression"),
        (".*", "train.freeze='.*' freezes every parameter: nothing is left to learn"),
    ],
)
def test_freeze_rules_that_make_no_sense(params, rules, message):
    with pytest.raises(ValueError, match=message):
        split_frozen(params, rules)


@pytest.mark.parametrize(
    ("fields", "devices", "message"),
    [
        (
            {"batch_size": 6},
            4,
            r"train.batch_size=6 does not divide over 4 device\(s\) x train.accumulation=1; 8 would",
        ),
        ({"batch_size": 1}, 4, "4 would"),
        ({"batch_size": 8, "accumulation": 3}, 1, "train.accumulation=3; 9 would"),
        ({"batch_size": 0}, 1, "train.batch_size=0: at least 1"),
        ({"learning_rate": -1.0}, 1, "train.learning_rate=-1.0: must not be negative"),
        ({"optimizer": "adam"}, 1, "train.optimizer='adam' is not one of sgd, adamw"),
        ({"schedule": "linear"}, 1, "train.schedule='linear' is not one of constant, cosine"),
        ({"cache_features": True}, 1, "needs a frozen trunk: set train.freeze=trunk"),
    ],
)
def test_impossible_trainings_are_refused(fields, devices, message):
    with pytest.raises(ValueError, match=message):
        check_train(TrainConfig(**fields), devices)


def test_possible_trainings_are_not():
    check_train(TrainConfig(batch_size=16, accumulation=2), 4)
    check_train(TrainConfig(cache_features=True, freeze="neck, trunk"), 1)


def test_rates_of_their_own():
    """The update of a parameter is linear in its rate: SGD with momentum and decay, step by step."""
    paths = ["trunk/conv1_1/bias", "head/score/bias", "head/score/kernel"]
    params = {path: jnp.array([1.0, -2.0]) for path in paths}
    config = TrainConfig(learning_rate=0.1, momentum=0.5, weight_decay=0.25, rates="head=0.01, .*bias=2")
    factors = dict(zip(paths, (2.0, 0.02, 0.01), strict=True))
    assert read_rates(config.rates, paths) == pytest.approx(factors)
    optimizer = make_optimizer(config)
    state, values = optimizer.init(params), params
    expected, momentum = dict(params), {path: jnp.zeros(2) for path in paths}
    for _ in range(3):
        updates, state = optimizer.update(values, state, values)  # the gradient is the parameter itself
        for path in paths:
            momentum[path] = 0.5 * momentum[path] + 1.25 * expected[path]
            expected[path] = expected[path] - 0.1 * factors[path] * momentum[path]
        values = optax.apply_updates(values, updates)
    for path in paths:
        np.testing.assert_allclose(values[path], expected[path], rtol=1e-5)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ("head", "train.rates: 'head' is no rule; write EXPRESSION=FACTOR, as head=0.01"),
        ("=2", "train.rates: '=2' is no rule"),
        ("head=nan", "train.rates: 'head=nan' is no rule"),
        ("neck=2", "train.rates: 'neck' matches no parameter; there are head/score/bias, trunk/conv1_1/bias"),
        ("(=2", r"train.rates: '\(' is not a regular expression"),
    ],
)
def test_rules_that_are_none(rates, message):
    with pytest.raises(ValueError, match=message):
        read_rates(rates, ["head/score/bias", "trunk/conv1_1/bias"])


def test_rates_decay_from_layer_to_layer_towards_the_image():
    """By hand: a head at the whole rate, the last block at the decay, what reads the image at the smallest."""
    transformer = {"head/score": 1.0, "trunk/norm/scale": 1.0, "trunk/block10/out/kernel": 0.5}
    transformer |= {"trunk/block9/scale1": 0.25, "trunk/block9/query/bias": 0.25, "trunk/block2/out/bias": 0.125}
    transformer |= {"trunk/patches/kernel": 0.0625, "trunk/positions": 0.0625, "trunk/class_token": 0.0625}
    assert layer_factors(0.5, transformer) == transformer
    network = {"neck/fc6/kernel": 1.0, "trunk/conv2_1/kernel": 0.5, "support_trunk/conv1_2/kernel": 0.25}
    network |= {"trunk/conv1_2/bias": 0.25, "trunk/conv1_1/bias": 0.125}
    assert layer_factors(0.5, network) == network


def test_the_last_blocks_alone_learn_and_decay():
    frozen = "trunk/(?!block2|norm)"
    blocks = {f"block{i}": {"scale1": jnp.ones(2)} for i in (1, 2)}
    params = {"trunk": {**blocks, "norm": {"scale": jnp.ones(2)}, "patches": {"kernel": jnp.ones(2)}}}
    learning, kept = split_frozen(params, frozen)
    assert set(kept) == {"trunk/block1/scale1", "trunk/patches/kernel"}
    optimizer = make_optimizer(TrainConfig(learning_rate=1.0, momentum=0.0, weight_decay=0.0, layer_decay=0.25))
    updates, _ = optimizer.update(learning, optimizer.init(learning), learning)
    np.testing.assert_allclose(updates["trunk/block2/scale1"], -0.25)
    np.testing.assert_allclose(updates["trunk/norm/scale"], -1.0)


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.5, float("nan")])
def test_a_decay_that_is_none(decay):
    with pytest.raises(ValueError, match=r"train.layer_decay=.*: must be above 0, and at most 1"):
        check_train(TrainConfig(layer_decay=decay), 1)
