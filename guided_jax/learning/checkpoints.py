"""Checkpoints: Orbax, written atomically, resumable to the bit. The only file that knows Orbax."""

import math
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from guided_jax.learning.step import TrainState


def _score(metrics: dict[str, float] | None) -> float:
    """Positive IU of a checkpoint; below every other where it was not evaluated."""
    score = (metrics or {}).get("pos_iu", math.nan)
    return -math.inf if math.isnan(score) else score


class _Keep(NamedTuple):
    """Orbax's protocol of a policy: keeps the newest, and the best of those that were evaluated."""

    last: int
    best: int

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        newest = range(len(checkpoints))[-self.last :]
        scores = [_score(each.metrics) for each in checkpoints]
        scored = sorted((i for i, score in enumerate(scores) if score > -math.inf), key=lambda i: scores[i])
        kept = {*newest, *scored[max(0, len(scored) - self.best) :]}
        return [i in kept for i in range(len(checkpoints))]


class Checkpoints:
    """The checkpoints of one run: the newest, and the best by positive IU.

    The position in the data needs no saving: the episodes of a step follow from the seed and the step.
    Of several processes only the first writes and reads; to the others the folder is empty, and they save nothing.
    """

    def __init__(self, directory: Path, *, keep_last: int, keep_best: int, read_only: bool = False):
        """Opens the folder.

        Args:
            directory: made where it does not exist.
            keep_last: number of the newest checkpoints to keep.
            keep_best: number of those with the highest positive IU to keep, besides.
            read_only: nothing will be saved; what a run at work is writing there is left alone.
        """
        self._manager = None
        directory = Path(directory).absolute()
        if jax.process_index() > 0 or (read_only and not directory.is_dir()):
            return
        directory.mkdir(parents=True, exist_ok=True)
        alone = {0} if jax.process_count() > 1 else None
        self._processes = ocp.options.MultiprocessingOptions(primary_host=0, active_processes=alone)
        # `best_fn` is what makes Orbax write the metrics; which checkpoints stay, the policy says.
        options = ocp.CheckpointManagerOptions(
            best_fn=_score,
            preservation_policy=_Keep(keep_last, keep_best),
            cleanup_tmp_directories=not read_only,
            create=False,
            multiprocessing_options=self._processes,
        )
        self._manager = ocp.CheckpointManager(directory, options=options)

    def save(self, state: TrainState, about: dict, metrics: dict[str, float] | None) -> None:
        """Starts to write a checkpoint; training may go on, and may donate the state.

        Args:
            state: after `state.step` updates.
            about: what the checkpoint must say of itself, JSON-able: config, code and data versions.
            metrics: of an evaluation of this very state, with `pos_iu`; None where there was none.
        """
        if self._manager is None:
            return
        step = int(state.step)
        # To the host first: pmap's outputs are local to it, and the next update donates them.
        state = jax.tree.map(np.asarray, state)
        arguments = ocp.args.Composite(state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about))
        self._manager.save(step, args=arguments, metrics=metrics or {}, force=True)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, rising."""
        return sorted(self._manager.all_steps()) if self._manager else []

    def newest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return self._manager.latest_step() if self._manager else None

    def best(self) -> int | None:
        """Step of the checkpoint with the highest positive IU, the newer of equals; the newest if none has one."""
        if self._manager is None:
            return None
        scores = {step: _score(self._manager.metrics(step)) for step in self._manager.all_steps()}
        return max(scores, key=lambda step: (scores[step], step), default=None)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Reads a checkpoint into numpy arrays of the structure of `like`.

        Raises:
            ValueError: where the checkpoint's parameters are not those of `like`.
        """
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
        for (path, leaf), stored in zip(
            jax.tree_util.tree_flatten_with_path(target)[0], jax.tree.leaves(restored.state), strict=True
        ):
            if leaf.shape != stored.shape:  # Orbax lets this pass
                name = jax.tree_util.keystr(path)
                raise ValueError(f"checkpoint of step {step}: {name} has shape {stored.shape}, not {leaf.shape}")
        return restored.state

    def parameters(self, step: int) -> dict[str, np.ndarray]:
        """Reads the parameters alone, by path, as `trunk/conv1_1/kernel`: those that learnt and the frozen ones.

        The checkpoint itself says which ones there are, so that neither the optimiser nor the model is needed.

        Raises:
            ValueError: the checkpoint holds no parameters.
        """
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=self._processes)
        folder = self._manager.directory / str(step) / "state"
        stored = handler.metadata(folder).tree
        missing = [name for name in ("learning", "frozen") if name not in stored]
        if missing:
            raise ValueError(f"{folder}: the field {missing[0]} is missing: it is not the state of a training")
        wanted = {name: stored[name] for name in ("learning", "frozen")}
        arguments = ocp.args.PyTreeRestore(
            item=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted),
            restore_args=jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), wanted),
            partial_restore=True,
        )
        restored = handler.restore(folder, args=arguments)
        return {**restored["frozen"], **restored["learning"]}

    def about(self, step: int) -> dict:
        """What a checkpoint says of itself."""
        return self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about

    def wait(self) -> None:
        """Waits until everything is written."""
        if self._manager:
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the directory."""
        if self._manager:
            self.wait()
            self._manager.close()
