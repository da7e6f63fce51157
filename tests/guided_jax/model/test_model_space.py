"""One of each kind in the model space: it trains under pmap, learns, evaluates, and comes back from a checkpoint."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.parallel import parallel_evaluate, parallel_train_step, replicate, shard_batch
from guided_jax.learning.step import create_state, evaluate_step, train_step
from tests.guided_jax.small_models import make_batch, make_model
from tests.guided_jax.variants import VARIANTS, takes_another_query

ADAM = TrainConfig(optimizer="adamw", learning_rate=3e-3, weight_decay=0.0)
DEVICES = 4
COMPARED = (
    "late",
    "late-learned-mask",
    "late-dilated",
    "late-both",
    "early-stack",
    "regression-local",
    "stacked-discs",
)
"""Those whose step is compiled for one device, too."""
SPARED = ("late-local", "late-both-unshared", "stacked-distance", "regression-unshared", "prototypes", "in-context")
"""Those whose every part another one trains; `test_model_invariances.py` has them all."""
UNTRAINED = ("in-context-options",)
"""Those with parts that never learn: the directions of positions are found, not trained."""


def learnable(shots):
    """What is asked for is darker; of one episode after the other less and less is known."""
    batch = make_batch((13, 18), (16, 20), count=DEVICES, shots=shots)
    batch.target[:, :13, :9], batch.target[:, :13, 9:18] = 1, 0
    images = [batch.query] if shots is None else [batch.query, batch.support]
    for image in images:
        image[..., :9, :] //= 8
    inside = batch.annotation[..., :13, :18]
    labels = np.broadcast_to(np.where(np.arange(18) < 9, 1, 0).astype(np.uint8), inside.shape)
    inside[:] = np.where(inside == UNKNOWN, UNKNOWN, labels)
    inside[..., 6, 3], inside[..., 6, 14] = 1, 0
    for i, target in enumerate(batch.target):
        target[13 - 3 * i :] = UNKNOWN
    return batch


class Trainer:
    """A state, the steps that change it, and the batch that it is trained on."""

    def __init__(self, name):
        self.batch = learnable(2 if takes_another_query(name) else None)
        first = jax.tree.map(lambda leaf: leaf[:1], self.batch)
        self.model, self.params = make_model(first, dropout=0.2, **VARIANTS[name])
        self.optimizer = make_optimizer(ADAM)
        self.pmapped = self.step("pmap", DEVICES)

    def step(self, mode, devices):
        step = partial(train_step, model=self.model, optimizer=self.optimizer, seed=3)
        return parallel_train_step(step, mode, jax.devices()[:devices]), mode, jax.devices()[:devices]

    def start(self):
        return create_state(jax.tree.map(jnp.array, self.params), self.optimizer, "")

    def run(self, step, batches):
        """The last state and the totals of each step, as numpy."""
        (update, mode, devices), totals = step, []
        state = replicate(self.start(), devices)
        for batch in batches:
            state, total = update(state, shard_batch(batch, mode, devices))
            totals.append(jax.device_get(total))
        return jax.device_get(state), totals


def momenta(state) -> dict[str, np.ndarray]:
    """Adam's, after one step: a tenth of the gradient."""

    def is_adam(value):
        return hasattr(value, "mu")

    return next(each.mu for each in jax.tree.leaves(state.opt_state, is_leaf=is_adam) if is_adam(each))


def assert_close(got, expected):
    """To 1e-5 of each array's greatest value, but to nothing where rounding is all that is there."""
    scale = max(np.abs(value).max() for value in expected.values())
    for path, value in expected.items():
        np.testing.assert_allclose(
            got[path], value, rtol=0, atol=1e-5 * max(np.abs(value).max(), 1e-3 * scale), err_msg=path
        )


def check_gradient(trainer, name):
    """Of four devices: that of one device; and that of each episode alone, weighted by its known pixels."""
    state, (totals,) = trainer.run(trainer.pmapped, [trainer.batch])
    got = momenta(state)
    assert all(np.isfinite(value).all() for value in got.values())
    weighted, pixels = {path: np.zeros_like(value) for path, value in got.items()}, 0
    for i in range(DEVICES):
        alone = jax.tree.map(lambda leaf, i=i: np.repeat(leaf[i : i + 1], DEVICES, 0), trainer.batch)
        one, (total,) = trainer.run(trainer.pmapped, [alone])
        for path, value in momenta(one).items():
            weighted[path] += value * (total.pixels / DEVICES)
        pixels += total.pixels / DEVICES
    assert pixels == totals.pixels
    assert_close(got, {path: value / pixels for path, value in weighted.items()})
    if name in COMPARED:
        single, (others,) = trainer.run(trainer.step("jit", 1), [trainer.batch])
        assert_close(got, momenta(single))
        np.testing.assert_allclose(totals.loss, others.loss, rtol=1e-5)


def check_learning(trainer, name):
    """Every parameter changes, which without decay takes a gradient; and the loss goes down."""
    state, totals = trainer.run(trainer.pmapped, [trainer.batch] * 12)
    for path, value in trainer.start().learning.items():
        assert (value != state.learning[path]).any(), path
    losses = [each.loss / each.pixels for each in totals]
    assert np.isfinite(losses).all() and np.mean(losses[-3:]) < np.mean(losses[:3])
    assert (totals[-1].regressed is not None) == ("regression" in name)
    return state


def count(logits, target):
    """True positives, false positives and false negatives of each episode."""
    one, true = logits[:, 1] > logits[:, 0], target == 1
    kinds = one & true, one & (target == 0), ~one & true
    return np.stack([kind.sum((1, 2)) for kind in kinds], -1)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in SPARED + UNTRAINED])
def test_trains_evaluates_saves_and_restores(name, tmp_path):
    trainer = Trainer(name)
    check_gradient(trainer, name)
    state = check_learning(trainer, name)
    model, devices = trainer.model, jax.devices()
    apply = jax.jit(model.apply)
    params = jax.tree.map(jnp.asarray, state).params
    logits = np.asarray(apply({"params": params}, trainer.batch))
    placed = replicate(params, devices), shard_batch(trainer.batch, "pmap", devices)
    counts = parallel_evaluate(partial(evaluate_step, model=model), "pmap", devices)(*placed)
    by_hand = count(logits[0], trainer.batch.target)
    np.testing.assert_allclose(counts[:, 0, :3], by_hand, atol=2)  # a tie may fall either way
    kept = Checkpoints(tmp_path, keep_last=1, keep_best=0)
    kept.save(state, {"model": name}, None)
    kept.wait()
    restored = kept.restore(kept.newest(), trainer.start())
    kept.close()
    assert int(restored.step) == 12
    params = jax.tree.map(jnp.asarray, restored).params
    np.testing.assert_array_equal(apply({"params": params}, trainer.batch), logits)
