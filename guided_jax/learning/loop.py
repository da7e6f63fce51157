"""The loop: updates, what is logged of them, evaluations, checkpoints. Knows no data set."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from guided_jax.episode import Episode
from guided_jax.inference.weight_variation import weight_variation
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.step import Totals, TrainState
from guided_jax.scoring.positive_iu import iu

AHEAD = 2
"""Updates dispatched before the oldest must have ended: the device stays busy, the host does not run away."""

_REMEDY = "lower train.learning_rate, or set train.clip_norm; the run can go on from its last checkpoint"


class NonFiniteLoss(Exception):
    """The loss became NaN or infinite, or the parameters did."""


class Stopped(Exception):
    """The training was asked to stop; its last update is in a checkpoint."""


@runtime_checkable
class Log(Protocol):
    """Where numbers of a run go."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Keeps the values of a step."""

    def show(self, step: int, values: dict[str, float]) -> None:
        """Shows the values of a step to whoever watches."""


def train(
    state: TrainState,
    update: Callable[[TrainState, Episode], tuple[TrainState, Totals]],
    batches: Iterator[Episode],
    config: TrainConfig,
    *,
    evaluate: Callable[[TrainState], dict[str, float]],
    checkpoints: Checkpoints,
    about: dict,
    log: Log,
    stop: Callable[[int], bool] = lambda step: False,
) -> TrainState:
    """Trains from `state.step` to `config.steps`.

    Args:
        state: to go on from, on the devices; donated.
        update: the parallel train step.
        batches: on the devices; the first is the batch of update `state.step`.
        config: of the training.
        evaluate: scores a state; the result holds `pos_iu`, by which the best checkpoints are kept.
        checkpoints: where they go.
        about: what each checkpoint says of itself.
        log: where the numbers go: loss (mean over pixels, nats), pos_iu (of the training episodes),
            episodes_per_second, wait (share of the time in which the devices waited for data), and where parameters
            are regressed weight_variation (see there; near 0 they have collapsed).

        stop: asked after every update, which it is given, whether to stop there; the same on all processes.

    Raises:
        Stopped: as asked.
        NonFiniteLoss: naming the update; the last checkpoint is from before it, and sound.
    """
    window = Window()
    step = int(state.step)
    window.restart()
    while step < config.steps:
        batch = window.timed_next(batches)
        state, totals = update(state, batch)
        step += 1
        window.add(step, totals)
        last = step == config.steps
        evaluates = last or (config.evaluate_every and step % config.evaluate_every == 0)
        stops = not last and stop(step)
        saves = evaluates or stops or step % config.checkpoint_every == 0
        if step % config.log_every == 0 or saves:
            values = window.close(config.batch_size)
            log.write(step, values)
            log.show(step, values)
        if saves:
            if not _all_finite(state.learning):
                raise NonFiniteLoss(f"the parameters are not finite after update {step}: {_REMEDY}")
            metrics = evaluate(state) if evaluates else None
            if metrics:
                log.write(step, {f"eval/{name}": value for name, value in metrics.items()})
            checkpoints.save(state, about, metrics)
            if stops:
                checkpoints.wait()
                raise Stopped(step)
            window.restart()
    checkpoints.wait()
    return state


@jax.jit
def _all_finite(arrays):
    return jnp.stack([jnp.isfinite(each).all() for each in jax.tree.leaves(arrays)]).all()


class Window:
    """The updates since the last log line, and the time they took."""

    def __init__(self):
        self.totals: list[tuple[int, Totals]] = []
        self.restart()

    def restart(self):
        """Begins the time anew."""
        self.start, self.waited = time.perf_counter(), 0.0

    def timed_next(self, batches: Iterator[Episode]) -> Episode:
        """Takes the next batch; the time counts as waiting where the devices had nothing left to do."""
        if len(self.totals) >= AHEAD:
            jax.block_until_ready(self.totals[-AHEAD][1])
        began = time.perf_counter()
        batch = next(batches)
        if not self.totals or self.totals[-1][1].loss.is_ready():
            self.waited += time.perf_counter() - began
        return batch

    def add(self, step: int, totals: Totals):
        """Takes in the totals of an update that was dispatched."""
        self.totals.append((step, totals))

    def close(self, batch_size: int) -> dict[str, float]:
        """Means over the window, which starts anew; waits for its last update."""
        steps, totals = zip(*jax.device_get(self.totals), strict=True)
        for step, each in zip(steps, totals, strict=True):
            if not np.isfinite(each.loss):
                raise NonFiniteLoss(f"the loss is {float(each.loss)} at update {step}: {_REMEDY}")
        seconds = time.perf_counter() - self.start
        values = {
            "loss": float(sum(float(each.loss) for each in totals) / max(1, sum(int(each.pixels) for each in totals))),
            "pos_iu": float(iu(np.sum([each.positives for each in totals], axis=0, dtype=np.int64))),
            "episodes_per_second": len(totals) * batch_size / seconds,
            "wait": self.waited / seconds,
        }
        if totals[0].regressed is not None:
            values["weight_variation"] = weight_variation([each.regressed for each in totals])
        self.totals = []
        self.restart()
        return values
