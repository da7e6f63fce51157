"""The checkpoints of a run: Orbax, written atomically, resumable to the bit.

With `stored_checkpoint` the only file that knows Orbax.
"""

import contextlib
import json
import logging
import math
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from guided_jax.backbones.file_formats import plain
from guided_jax.learning.checksums import named_leaves
from guided_jax.learning.damage import DamagedCheckpoint, no_late_answers, quiet_orbax, reading, set_aside, steps_in
from guided_jax.learning.parallel import gather
from guided_jax.learning.step import TrainState
from guided_jax.learning.stored_checkpoint import SUMS, StoredCheckpoint, checksums, score_of

logger = logging.getLogger(__name__)


class _Keep(NamedTuple):
    """Orbax's protocol of a policy: keeps the newest, and the best of those that were evaluated."""

    last: int
    best: int

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        newest = range(len(checkpoints))[-self.last :]
        scores = [score_of(each.metrics) for each in checkpoints]
        scored = sorted((i for i, score in enumerate(scores) if score > -math.inf), key=lambda i: scores[i])
        kept = {*newest, *scored[max(0, len(scored) - self.best) :]}
        return [i in kept for i in range(len(checkpoints))]


class Checkpoints:
    """The checkpoints of one run: the newest, and the best by positive IU.

    The position in the data needs no saving: the episodes of a step follow from the seed and the step.
    Of several processes only the first writes; to the others the folder is empty, unless they only read.
    """

    def __init__(
        self, directory: Path, *, keep_last: int, keep_best: int, read_only: bool = False, skip_damaged: bool = False
    ):
        """Opens the folder.

        Args:
            directory: made where it does not exist.
            keep_last: number of the newest checkpoints to keep.
            keep_best: number of those with the highest positive IU to keep, besides.
            read_only: nothing will be saved; what a run at work is writing there is left alone.
            skip_damaged: damaged checkpoints are passed over: they are moved to a folder `damaged` beside this one,
                and a line says so.

        Raises:
            DamagedCheckpoint: the scores of one are not what was written; or none is sound, where damaged ones are to
                be passed over.
        """
        self._manager = None
        self._quiet = contextlib.ExitStack()
        directory = self._directory = Path(directory).absolute()
        if not directory.is_dir() if read_only else jax.process_index() > 0:
            return
        if not read_only:
            directory.mkdir(parents=True, exist_ok=True)
        self._quiet.enter_context(quiet_orbax())
        self._quiet.enter_context(no_late_answers())
        alone = {jax.process_index()} if jax.process_count() > 1 else None
        self._processes = ocp.options.MultiprocessingOptions(jax.process_index(), active_processes=alone)
        if skip_damaged:
            self._set_aside_damaged()
        # `best_fn` is what makes Orbax write the metrics; which checkpoints stay, the policy says.
        options = ocp.CheckpointManagerOptions(
            best_fn=score_of,
            preservation_policy=_Keep(keep_last, keep_best),
            cleanup_tmp_directories=not read_only,
            create=False,
            multiprocessing_options=self._processes,
        )
        try:
            self._manager = ocp.CheckpointManager(directory, options=options)
        except Exception as error:  # Orbax reads the scores of all, and does not say of which it failed
            self._scores()
            raise ValueError(f"{directory}: cannot be opened: {plain(str(error))}") from error
        if not read_only:  # by them it is chosen what is deleted
            self._scores()

    def _scores(self) -> dict[int, float]:
        """The positive IU of each checkpoint, compared with its checksum."""
        return {step: self._score(step) for step in steps_in(self._directory)}

    def _score(self, step: int) -> float:
        empty = not any((self._directory / str(step)).iterdir())  # it has none, and is told where it is read
        return -math.inf if empty else self._stored(step).score()

    def _set_aside_damaged(self) -> None:
        damaged, steps = {}, steps_in(self._directory)
        for step in steps:
            try:
                self._stored(step).check()
            except DamagedCheckpoint as error:
                damaged[step] = error
        if damaged and len(damaged) == len(steps):
            reason = f"{damaged[steps[-1]].reason}, and no other is sound"
            raise DamagedCheckpoint(self._directory / str(steps[-1]), reason, None)
        if damaged:
            told = ", ".join(f"checkpoint {step} ({error.reason})" for step, error in damaged.items())
            folder = set_aside(self._directory, list(damaged))
            logger.warning("passed over as damaged, and moved to %s: %s", folder, told)

    def save(self, state: TrainState, about: dict, metrics: dict[str, float] | None) -> None:
        """Starts to write a checkpoint; training may go on, and may donate the state.

        Args:
            state: after `state.step` updates.
            about: what the checkpoint must say of itself, JSON-able: config, code and data versions.
            metrics: of an evaluation of this very state, with `pos_iu`; None where there was none.
        """
        if self._manager is None:
            if not all(leaf.is_fully_replicated for leaf in jax.tree.leaves(state)):
                gather(state)  # the first process asks for what lies here
            return
        step = int(state.step)
        # To the host first: pmap's outputs are local to it, and the next update donates them.
        state = gather(state)
        about = json.loads(json.dumps(about))  # as it will be read
        metrics = json.loads(json.dumps(metrics or {}))
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            about=ocp.args.JsonSave(about),
            **{SUMS: ocp.args.JsonSave(checksums(state, about, metrics))},
        )
        self._manager.save(step, args=arguments, metrics=metrics, force=True)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, rising."""
        return sorted(self._manager.all_steps()) if self._manager else []

    def newest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return self._manager.latest_step() if self._manager else None

    def best(self) -> int | None:
        """Step of the checkpoint with the highest positive IU, the newer of equals; the newest if none has one.

        Raises:
            DamagedCheckpoint: the score of one is not what was written.
        """
        if self._manager is None:
            return None
        scores = {step: self._score(step) for step in self._manager.all_steps()}
        return max(scores, key=lambda step: (scores[step], step), default=None)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Reads a checkpoint into numpy arrays of the structure of `like`.

        Raises:
            DamagedCheckpoint: it is not what was written, or its parameters are not finite.
            ValueError: where the checkpoint's parameters are not those of `like`.
        """
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        with reading(self._directory, step):
            stored = named_leaves(self._stored(step).shapes())
        self._check_structure(step, {name: leaf.shape for name, leaf in stored.items()}, named_leaves(target))
        with reading(self._directory, step):
            restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
            self._stored(step).verify(restored.state)
        return restored.state

    def parameters(self, step: int) -> dict[str, np.ndarray]:
        """Reads the parameters alone, by path, as `trunk/conv1_1/kernel`: those that learnt and the frozen ones.

        The checkpoint itself says which ones there are, so that neither the optimiser nor the model is needed.

        Raises:
            DamagedCheckpoint: it is not what was written, or its parameters are not finite.
            ValueError: the checkpoint holds no parameters.
        """
        return self._stored(step).parameters()

    def about(self, step: int) -> dict:
        """What a checkpoint says of itself.

        Raises:
            DamagedCheckpoint: it cannot be read, or is not what was written.
        """
        return self._stored(step).about()

    def _stored(self, step: int) -> StoredCheckpoint:
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=self._processes)
        return StoredCheckpoint(self._directory, step, handler)

    def _check_structure(self, step: int, stored: dict[str, tuple[int, ...]], like: dict[str, np.ndarray]) -> None:
        where = f"checkpoint of step {step}"
        for name, leaf in like.items():
            if name not in stored:
                raise ValueError(f"{where}: {name} is missing")
            if tuple(stored[name]) != leaf.shape:  # Orbax lets this pass
                raise ValueError(f"{where}: {name} has shape {tuple(stored[name])}, not {leaf.shape}")
        surplus = [name for name in stored if name not in like]
        if surplus:
            raise ValueError(f"{where}: {surplus[0]} is not a part of this model and its optimizer")

    def wait(self) -> None:
        """Waits until everything is written."""
        if self._manager:
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the directory."""
        with self._quiet:
            if self._manager:
                self.wait()
                self._manager.close()
