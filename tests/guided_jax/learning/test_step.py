"""One step: the same numbers on any number of devices, in any number of parts."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from guided_jax.episode import UNKNOWN
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.parallel import parallel_train_step, place, shard_batch
from guided_jax.learning.step import create_state, train_step
from tests.guided_jax.small_models import make_batch, make_model

SMALL = {"size": (20, 22), "canvas": (24, 24)}
SGD = TrainConfig(learning_rate=1e-5, batch_size=8)
STEPS = 5


def flat(params) -> dict[str, np.ndarray]:
    return jax.tree.map(np.asarray, flatten_dict(params, sep="/"))


def batch_number(number: int, count=8):
    """Episodes whose known areas differ by a factor of 20, of positions in the stream that differ."""
    batch = make_batch(count=count, seed=number, **SMALL)
    for i, target in enumerate(batch.target):
        target[1 + 19 * i // (count - 1) :] = UNKNOWN
    return batch._replace(index=(number * count + np.arange(count)).astype(np.uint32))


@pytest.fixture(scope="module")
def network():
    return make_model(make_batch(count=1, **SMALL), sharing="unshared", dropout=0.5)


class Trainer:
    """A compiled step; counts how often it is traced."""

    def __init__(self, model, config=SGD, mode="jit", devices=1):
        self.mode, self.devices, self.traces = mode, jax.devices()[:devices], 0
        self.optimizer, self.config = make_optimizer(config), config
        self.step = parallel_train_step(
            partial(self._traced, model=model, optimizer=self.optimizer, seed=3, accumulation=config.accumulation),
            mode,
            self.devices,
        )

    def _traced(self, *args, **kwargs):
        self.traces += 1
        return train_step(*args, **kwargs)

    def start(self, params):
        state = create_state(jax.tree.map(jnp.array, params), self.optimizer, self.config.freeze)
        return place(state, self.mode, self.devices)

    def run(self, params, batches):
        """Final state and the totals of each step, as numpy."""
        state, totals = self.start(params), []
        for batch in batches:
            state, total = self.step(state, shard_batch(batch, self.mode, self.devices))
            totals.append(jax.device_get(total))
        return jax.device_get(state), totals


@pytest.fixture(scope="module")
def one_device(network):
    return Trainer(network[0])


@pytest.fixture(scope="module")
def expected(network, one_device):
    return one_device.run(network[1], [batch_number(number) for number in range(STEPS)])


def errors(state, expected) -> dict[str, float]:
    """Greatest error of each array over its greatest value. The momenta tell more than the parameters, which
    hardly move."""
    leaves = jax.tree_util.tree_flatten_with_path((state.learning, state.opt_state))[0]
    others = jax.tree.leaves((expected.learning, expected.opt_state))
    return {
        jax.tree_util.keystr(path): np.abs(value - other).max() / np.abs(other).max()
        for (path, value), other in zip(leaves, others, strict=True)
    }


def assert_same_training(got, expected):
    (state, totals), (other, others) = got, expected
    assert int(state.step) == int(other.step) == STEPS
    wrong = {path: error for path, error in errors(state, other).items() if not error <= 1e-5}
    assert not wrong
    for one, two in zip(totals, others, strict=True):
        np.testing.assert_allclose(one.loss, two.loss, rtol=1e-5)
        assert one.pixels == two.pixels
        np.testing.assert_allclose(one.positives, two.positives, atol=2)  # a tie may fall on either side


@pytest.mark.parametrize(("mode", "devices", "parts"), [("pmap", 4, 1), ("jit", 4, 1), ("pmap", 2, 4), ("fsdp", 4, 1)])
def test_devices_and_parts_do_not_change_the_training(network, expected, mode, devices, parts):
    """With dropout and uneven void areas; compiled once though the first state is placed, the later ones computed."""
    model, params = network
    config = dataclasses.replace(SGD, accumulation=parts)
    trainer = Trainer(model, config, mode, devices)
    assert_same_training(trainer.run(params, [batch_number(number) for number in range(STEPS)]), expected)
    assert parts > 1 or trainer.traces == 1  # parts are traced once more, for their shapes


def test_fsdp_divides_what_is_large(network, tmp_path):
    """After a step, too: each device holds a quarter of every array of parameters and momenta that divides by four; and
    a checkpoint of it is one of the whole, which any number of devices takes up."""
    model, params = network
    trainer = Trainer(model, SGD, "fsdp", 4)
    state, _ = trainer.step(trainer.start(params), shard_batch(batch_number(0), "fsdp", trainer.devices))
    leaves = [leaf for leaf in jax.tree.leaves(state) if leaf.size >= 2**8 and any(n % 4 == 0 for n in leaf.shape)]
    assert len(leaves) > 5 and sum(leaf.nbytes for leaf in leaves) > 0.9 * sum(
        leaf.nbytes for leaf in jax.tree.leaves(state)
    )
    for leaf in leaves:
        shares = leaf.addressable_shards
        assert [4 * share.data.nbytes for share in shares] == [leaf.nbytes] * 4
        assert len({str(share.index) for share in shares}) == 4
    kept = Checkpoints(tmp_path, keep_last=1, keep_best=0)
    kept.save(state, {}, None)
    kept.wait()
    restored, whole = kept.restore(1, state), jax.tree.map(np.asarray, state)
    kept.close()
    one = Trainer(model)
    for taken_up in (place(restored, "jit", one.devices), place(restored, "fsdp", trainer.devices)):
        jax.tree.map(np.testing.assert_array_equal, taken_up, whole)
    assert_close = partial(np.testing.assert_allclose, rtol=1e-5)
    batch = batch_number(1)
    _, totals = one.step(place(restored, "jit", one.devices), shard_batch(batch, "jit", one.devices))
    _, others = trainer.step(place(restored, "fsdp", trainer.devices), shard_batch(batch, "fsdp", trainer.devices))
    assert_close(totals.loss, others.loss)


def test_devices_exchange_sums_and_nothing_else(network):
    """No episode moves between devices, though the parts of a batch are cut across them."""
    model, params = network
    trainer = Trainer(model, dataclasses.replace(SGD, accumulation=2), "jit", 4)
    batch = shard_batch(batch_number(0), "jit", trainer.devices)
    program = trainer.step.lower(trainer.start(params), batch).compile().as_text()
    kinds = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast"
    assert set(re.findall(rf" ({kinds})(?:-start)?\(", program)) == {"all-reduce"}


def test_a_mean_of_means_would_be_found_out(network, one_device):
    """What averaging each device's own mean gives: SGD is linear, so the average of four updates on quarters."""
    _, params = network
    batch = batch_number(0)
    parts = [jax.tree.map(lambda leaf, first=first: leaf[first : first + 2], batch) for first in range(0, 8, 2)]
    states = [one_device.run(params, [part])[0] for part in parts]
    wrong = jax.tree.map(lambda *leaves: np.mean(leaves, 0), *states)
    off = errors(wrong, one_device.run(params, [batch])[0])
    momenta = [error for path, error in off.items() if "trace" in path]
    assert len(momenta) == len(flat(params)) and min(momenta) > 1e-2  # against 1e-5 that is allowed above


def test_a_step_compiles_once_per_shape(network, one_device):
    _, params = network
    batches = [batch_number(number, count) for number, count in enumerate((8, 2, 8, 2))]
    one_device.run(params, batches)
    assert one_device.traces == one_device.step._cache_size() == 2


def test_dropout_follows_the_episode_not_its_place(network, one_device):
    _, params = network
    batch = batch_number(0)
    turned = jax.tree.map(lambda leaf: leaf[::-1], batch)
    _, (totals,) = one_device.run(params, [batch])
    _, (others,) = one_device.run(params, [turned])
    np.testing.assert_allclose(others.loss, totals.loss, rtol=1e-5)
    _, (later,) = one_device.run(params, [batch._replace(index=batch.index + np.uint32(8))])
    assert abs(later.loss - totals.loss) > 1e-3 * totals.loss


def test_a_batch_of_nothing_but_void_changes_nothing_but_by_the_decay(network, one_device):
    _, params = network
    batch = batch_number(0)
    batch.target[:] = UNKNOWN
    state, (totals,) = one_device.run(params, [batch])
    assert totals.loss == totals.pixels == 0
    for path, value in flat(params).items():
        decayed = value * (1 - SGD.learning_rate * SGD.weight_decay)
        np.testing.assert_allclose(state.learning[path], decayed, rtol=1e-6)


def test_frozen_parameters_stay_to_the_bit_and_have_no_momentum(network):
    model, params = network
    config = dataclasses.replace(SGD, learning_rate=0.1, freeze="trunk, .*bias", weight_decay=0.1)
    trainer = Trainer(model, config)
    start = jax.device_get(trainer.start(params))
    state, _ = trainer.run(params, [batch_number(number) for number in range(2)])
    assert set(state.frozen) == {path for path in flat(params) if path.startswith("trunk/") or "bias" in path}
    for path, value in start.frozen.items():
        np.testing.assert_array_equal(state.frozen[path], value, err_msg=path)
    for path, value in start.learning.items():
        assert not np.array_equal(state.learning[path], value), path
    leaves = jax.tree_util.tree_flatten_with_path(state.opt_state)[0]
    held = " ".join(jax.tree_util.keystr(path) for path, _ in leaves)
    assert "neck/fc6/kernel" in held and not any(path in held for path in state.frozen)


def test_three_labels_begin_at_ln_3():
    model, params = make_model(make_batch(count=1, **SMALL), randomise=False, way=3, dropout=0.5)
    batch = batch_number(0)
    _, (totals,) = Trainer(model).run(params, [batch])
    assert totals.pixels == (batch.target != UNKNOWN).sum()
    np.testing.assert_allclose(totals.loss / totals.pixels, np.log(3), rtol=2e-5)


def darkened(batch):
    """What the target asks for is darker."""
    batch.target[:, :20, :11], batch.target[:, :20, 11:22] = 1, 0
    batch.query[:, :, :11] //= 4
    return batch


def descent(batch, dtype="float32"):
    """Loss of each of 30 updates on one batch."""
    model, params = make_model(batch, randomise=False, dtype=dtype)
    config = TrainConfig(optimizer="adamw", learning_rate=3e-3)
    state, totals = Trainer(model, config).run(params, [batch] * 30)
    assert all(value.dtype == np.float32 for value in state.learning.values())
    return np.array([each.loss / each.pixels for each in totals])


def test_the_loss_goes_down_in_both_precisions():
    batch = darkened(make_batch(count=4, **SMALL))
    single, half = descent(batch), descent(batch, "bfloat16")
    assert single[0] == pytest.approx(np.log(2), rel=2e-5)
    assert max(single[-1], half[-1]) < 0.5 * single[0]
    np.testing.assert_allclose(half[:10], single[:10], rtol=0.02)
    assert np.abs(half - single).max() > 1e-5  # it does compute in half precision


def test_the_loss_goes_down_with_a_support_of_its_own():
    losses = descent(darkened(make_batch(count=4, shots=2, **SMALL)))
    assert losses[0] == pytest.approx(np.log(2), rel=2e-5)
    assert losses[-1] < 0.5 * losses[0]
