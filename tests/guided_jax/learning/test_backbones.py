"""A trunk that learns in part, its layers at rates of their own: the same by pmap, by jit and on one device."""

import jax
import numpy as np
import pytest

from guided_jax.backbones.table import BACKBONES
from guided_jax.learning.config import TrainConfig
from tests.guided_jax.learning.test_step import Trainer, batch_number, errors
from tests.guided_jax.small_models import small_model

DECAY = 0.5
# The fields of the model, what is frozen, and rates by hand: of the last layer that learns, and of the one before it.
NETWORKS = {
    "vgg-tiny": ({}, "trunk/(?!conv[23])", {"conv3_1": DECAY, "conv2_1": DECAY**2}),
    "resnet-tiny": (
        {"grid": "dilated", "stride": 8, "layers": "3,4"},
        "trunk/(?!layer[34])",
        {"layer4_0": DECAY, "layer3_0": DECAY**2},
    ),
    "dinov2-tiny-registers": ({"stride": 14}, "trunk/(?!block2/|norm/)", {"norm": 1.0, "block2": DECAY}),
    "dinov3-tiny": ({"stride": 16}, "trunk/(?!block|norm/)", {"norm": 1.0, "block2": DECAY, "block1": DECAY**2}),
}
"""One of each kind of trunk in the table."""


def test_every_family_is_here():
    assert {type(BACKBONES[name]) for name in NETWORKS} == {type(each) for each in BACKBONES.values()}


@pytest.mark.parametrize("name", NETWORKS)
def test_devices_do_not_change_the_training(name):
    """One step at a rate of 1: without a decay a parameter goes down by its momentum."""
    fields, freeze, rates = NETWORKS[name]
    model, params = small_model(backbone=name, **fields)
    config = TrainConfig(learning_rate=1.0, batch_size=8, freeze=freeze, layer_decay=DECAY)
    one = Trainer(model, config)
    start = one.start(params)
    expected, totals = one.run(params, [batch_number(0)])
    assert np.isfinite(totals[0].loss)
    for mode in ("pmap", "jit"):
        state, others = Trainer(model, config, mode, 4).run(params, [batch_number(0)])
        assert others[0].loss == pytest.approx(totals[0].loss, rel=1e-5)
        wrong = {path: error for path, error in errors(state, expected).items() if not error <= 1e-4}
        assert not wrong
    for path, value in start.frozen.items():
        np.testing.assert_array_equal(expected.frozen[path], value, err_msg=path)
    assert {path.split("/")[1] for path in start.learning if path.startswith("trunk/")} == set(rates)
    (momenta,) = (each.trace for each in jax.tree.leaves(expected.opt_state, is_leaf=has_trace) if has_trace(each))
    for path, value in start.learning.items():
        rate = rates[path.split("/")[1]] if path.startswith("trunk/") else 1.0
        down = np.asarray(value) - expected.learning[path]
        assert np.abs(down).max() > 0, path
        np.testing.assert_allclose(down, rate * momenta[path], rtol=1e-3, atol=1e-6 * np.abs(value).max(), err_msg=path)


def has_trace(value) -> bool:
    return hasattr(value, "trace") and not hasattr(value, "shape")
