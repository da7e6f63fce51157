"""The loop, over updates whose numbers are made up."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import Episode
from guided_jax.learning import loop
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.loop import NonFiniteLoss, train
from guided_jax.learning.step import Totals, TrainState


class Notes:
    """A log that remembers."""

    def __init__(self):
        self.written, self.shown = [], []

    def write(self, step, values):
        self.written.append((step, values))

    def show(self, step, values):
        self.shown.append(step)

    def steps_of(self, name):
        return [step for step, values in self.written if name in values]


class Saves(Checkpoints):
    """Checkpoints that only remember."""

    def __init__(self):
        self.saved = {}

    def save(self, state, about, metrics):
        self.saved[int(state.step)] = metrics

    def wait(self):
        pass


def batch_of(number: int) -> Episode:
    return Episode(*[None] * 7, index=number, real=None)


def state_at(step: int, weight=0.0) -> TrainState:
    return TrainState(jnp.asarray(step, jnp.int32), {"w": jnp.asarray(weight, jnp.float32)}, {}, ())


def totals(loss=1.0, pixels=1, positives=(1, 0, 0)) -> Totals:
    return Totals(jnp.float32(loss), jnp.int32(pixels), jnp.asarray(positives, jnp.int32))


def run(config, update, start=0, evaluate=lambda state: {"pos_iu": 0.5}, checkpoints=None):
    notes, saves = Notes(), Saves() if checkpoints is None else checkpoints
    final = train(
        state_at(start),
        update,
        map(batch_of, itertools.count(start)),
        config,
        evaluate=evaluate,
        checkpoints=saves,
        about={},
        log=notes,
    )
    return final, notes, saves


def count_up(state, batch):
    assert int(state.step) == batch.index
    return state_at(batch.index + 1), totals()


def test_when_it_logs_evaluates_and_saves():
    config = TrainConfig(steps=10, log_every=4, evaluate_every=6, checkpoint_every=5)
    final, notes, saves = run(config, count_up)
    assert int(final.step) == 10
    assert notes.steps_of("loss") == notes.shown == [4, 5, 6, 8, 10]
    assert notes.steps_of("eval/pos_iu") == [6, 10]
    assert saves.saved == {5: None, 6: {"pos_iu": 0.5}, 10: {"pos_iu": 0.5}}


def test_going_on_from_a_step():
    config = TrainConfig(steps=10, log_every=4, checkpoint_every=5)
    _, notes, saves = run(config, count_up, start=5)
    assert notes.steps_of("loss") == [8, 10]
    assert list(saves.saved) == [10]


@pytest.mark.parametrize("start", [10, 11])
def test_nothing_left_to_do(start):
    final, notes, saves = run(TrainConfig(steps=10), count_up, start=start)
    assert int(final.step) == start
    assert not notes.written and not saves.saved


def test_loss_and_positive_iu_of_a_window_are_pooled():
    made_up = [
        totals(6.0, 1, (1, 0, 0)),
        totals(4.0, 9, (2, 3, 4)),
        totals(1.0, 2, (0, 1, 1)),
        totals(0.0, 0, (0, 0, 0)),
    ]
    config = TrainConfig(steps=4, log_every=2, batch_size=3)
    _, notes, _ = run(config, lambda state, batch: (state_at(batch.index + 1), made_up[batch.index]))
    (_, first), (_, second), _ = notes.written
    assert (first["loss"], second["loss"]) == (1.0, 0.5)  # not the mean of 6 and 4/9
    assert (first["pos_iu"], second["pos_iu"]) == (0.3, 0.0)
    assert first["episodes_per_second"] > 0 and 0 <= first["wait"] <= 1


def test_speed_and_waiting_are_of_the_updates_alone(monkeypatch):
    """An update takes 2 s, half of which its batch has to be waited for; neither evaluations nor checkpoints count."""
    now = [0.0]

    def spend(seconds, value=None):
        now[0] += seconds
        return value

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    notes, saves = Notes(), Saves()
    monkeypatch.setattr(saves, "save", lambda *_: spend(50))
    train(
        state_at(0),
        lambda state, batch: spend(1, (state_at(batch.index + 1), totals())),
        (spend(1, batch_of(number)) for number in itertools.count()),
        TrainConfig(steps=8, batch_size=3, log_every=2, evaluate_every=4, checkpoint_every=3),
        evaluate=lambda state: spend(100, {"pos_iu": 0.5}),
        checkpoints=saves,
        about={},
        log=notes,
    )
    speeds = {step: values for step, values in notes.written if "loss" in values}
    assert list(speeds) == [2, 3, 4, 6, 8]
    assert all((each["episodes_per_second"], each["wait"]) == (1.5, 0.5) for each in speeds.values())


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(loss):
    def update(state, batch):
        return state_at(batch.index + 1), totals(loss if batch.index >= 5 else 1.0)

    notes, saves = Notes(), Saves()
    with pytest.raises(NonFiniteLoss, match=rf"the loss is {loss} at update 6: lower train.learning_rate, or set"):
        train(
            state_at(0),
            update,
            map(batch_of, itertools.count()),
            TrainConfig(steps=20, log_every=4, checkpoint_every=4),
            evaluate=dict,
            checkpoints=saves,
            about={},
            log=notes,
        )
    assert list(saves.saved) == [4] and notes.steps_of("loss") == [4]


def test_parameters_that_are_not_finite_are_never_saved():
    """A gradient that overflows leaves this update's loss sound and spoils every later one."""

    def update(state, batch):
        return state_at(batch.index + 1, np.inf if batch.index == 5 else 0.0), totals()

    saves = Saves()
    with pytest.raises(NonFiniteLoss, match="the parameters are not finite after update 6"):
        run(TrainConfig(steps=9, checkpoint_every=3), update, checkpoints=saves)
    assert list(saves.saved) == [3]


def test_the_last_checkpoint_is_on_disk_when_training_ends(tmp_path):
    kept = Checkpoints(tmp_path, keep_last=1, keep_best=0)
    run(TrainConfig(steps=3, checkpoint_every=2), count_up, checkpoints=kept)
    assert (tmp_path / "3").is_dir()
    kept.close()
