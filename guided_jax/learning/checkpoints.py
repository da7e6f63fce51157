"""Checkpoints: Orbax, written atomically, resumable to the bit. The only file that knows Orbax."""

import json
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from guided_jax.learning.step import TrainState


class Checkpoints:
    """The checkpoints of one run: the newest, and the best by positive IU.

    The position in the data needs no saving: the episodes of a step follow from the seed and the step.
    """

    def __init__(self, directory: Path, *, keep_last: int, keep_best: int):
        keep = [policies.LatestN(keep_last)]
        if keep_best:
            best = policies.BestN(
                get_metric_fn=lambda metrics: metrics["pos_iu"], n=keep_best, keep_checkpoints_without_metrics=False
            )
            keep.append(best)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(keep), cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(Path(directory).absolute(), options=options)

    def save(self, state: TrainState, about: dict, metrics: dict[str, float] | None) -> None:
        """Starts to write a checkpoint; training may go on, and may donate the state.

        Args:
            state: after `state.step` updates.
            about: what the checkpoint must say of itself, JSON-able: config, code and data versions.
            metrics: of an evaluation of this very state, with `pos_iu`; None where there was none.
        """
        step = int(state.step)
        # To the host first: pmap's outputs are local to it, and the next update donates them.
        state = jax.tree.map(np.asarray, state)
        arguments = ocp.args.Composite(state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about))
        self._manager.save(step, args=arguments, metrics=metrics, force=True)

    def newest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """Step of the checkpoint with the highest positive IU, the newest where none was evaluated."""
        scores = {}
        for step in self._manager.all_steps():
            metrics = self._manager.metrics(step)
            if metrics:
                scores[step] = metrics["pos_iu"]
        return max(scores, key=scores.get) if scores else self.newest()

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Reads a checkpoint into numpy arrays of the structure of `like`.

        Raises:
            ValueError: where the checkpoint's parameters are not those of `like`.
        """
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
        return restored.state

    def about(self, step: int) -> dict:
        """What a checkpoint says of itself."""
        return self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about

    def wait(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the directory."""
        self.wait()
        self._manager.close()


def read_about(directory: Path, step: int) -> dict:
    """What a checkpoint says of itself, without a manager."""
    return json.loads((Path(directory) / str(step) / "about" / "metadata").read_text())
