"""How long fine-tuning takes on the tasks of an evaluation."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from guided_jax.tuning.config import TuneConfig
from guided_jax.tuning.episodes import Start


class TunedCount:
    """Counts tasks with fine-tuning, and keeps how long that takes, compilation left out.

    Attributes:
        seconds: of all batches so far, from their arrays on the devices to the counts on the host.
        tasks: number of tasks and annotations that they held, one an annotation of a task; of several devices all.
    """

    def __init__(self, config: TuneConfig):
        self.steps, self.seconds, self.tasks = config.steps, 0.0, 0
        self._warm: set = set()

    def timed(self, count: Callable) -> Callable:
        """The parallel step (parameters, batch) -> counts, of a step that takes a `Start`."""

        def run(params, batch):
            shapes = jax.tree.structure(batch), *(leaf.shape for leaf in jax.tree.leaves(batch))
            if shapes not in self._warm:  # without an update the same program only compiles
                self._warm.add(shapes)
                count(Start(params, jnp.int32(0)), batch)
            started = time.perf_counter()
            found = count(Start(params, jnp.int32(self.steps)), batch)
            self.seconds += time.perf_counter() - started
            # Under pmap the devices' axis comes first.
            self.tasks += batch.index.size * batch.annotation.shape[batch.index.ndim]
            return found

        return run

    def summary(self) -> dict[str, Any]:
        """The seconds as a result tells them."""
        return {
            "seconds_per_task": self.seconds / self.tasks,
            "tasks": self.tasks,
            "what": "seconds of a task under one annotation, from image or cached features in memory to counted labels "
            "on the host: encoding, updates and segmentation of a batch over its number of tasks and annotations, "
            "without compilation and reading",
        }
