"""Checkpoints: Orbax, written atomically, resumable to the bit. The only file that knows Orbax."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from guided_jax.backbones.file_formats import plain
from guided_jax.learning.checksums import digests, first_changed, first_not_finite, named_leaves
from guided_jax.learning.damage import reading, steps_in
from guided_jax.learning.step import TrainState

_SUMS = "checksums"
"""Item of a checkpoint: the checksums of its arrays, and of what it says of itself. Older ones lack it."""


def _score(metrics: dict[str, float] | None) -> float:
    """Positive IU of a checkpoint; below every other where it was not evaluated."""
    score = (metrics or {}).get("pos_iu", math.nan)
    return -math.inf if math.isnan(score) else score


def _digest_of_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _read_scores(folder: Path) -> None:
    """Raises ValueError where the scores of a checkpoint are not JSON."""
    file = folder / "metrics" / "metrics"
    if file.is_file():
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"metrics/metrics: {error}") from error


def _refuse_not_finite(params: dict) -> None:
    if name := first_not_finite(params):
        raise ValueError(f"{name} holds NaN or infinity")


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

        Raises:
            DamagedCheckpoint: the scores of one cannot be read.
        """
        self._manager = None
        directory = self._directory = Path(directory).absolute()
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
        try:
            self._manager = ocp.CheckpointManager(directory, options=options)
        except Exception as error:  # Orbax reads the scores of all, and does not say of which it failed
            for step in steps_in(directory):
                with reading(self._directory, step):
                    _read_scores(directory / str(step))
            raise ValueError(f"{directory}: cannot be opened: {plain(str(error))}") from error

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
        about = json.loads(json.dumps(about))  # as it will be read
        sums = {**digests(state), "about": _digest_of_json(about)}
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            about=ocp.args.JsonSave(about),
            **{_SUMS: ocp.args.JsonSave(sums)},
        )
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
            DamagedCheckpoint: it is not what was written, or its parameters are not finite.
            ValueError: where the checkpoint's parameters are not those of `like`.
        """
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        with reading(self._directory, step):
            stored = named_leaves(self._stored(step))
        self._check_structure(step, {name: leaf.shape for name, leaf in stored.items()}, named_leaves(target))
        with reading(self._directory, step):
            restored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
            self._verify(step, restored.state)
            _refuse_not_finite({"learning": restored.state.learning, "frozen": restored.state.frozen})
        return restored.state

    def parameters(self, step: int) -> dict[str, np.ndarray]:
        """Reads the parameters alone, by path, as `trunk/conv1_1/kernel`: those that learnt and the frozen ones.

        The checkpoint itself says which ones there are, so that neither the optimiser nor the model is needed.

        Raises:
            DamagedCheckpoint: it is not what was written, or its parameters are not finite.
            ValueError: the checkpoint holds no parameters.
        """
        with reading(self._directory, step):
            stored = self._stored(step)
        missing = [name for name in ("learning", "frozen") if name not in stored]
        if missing:
            raise ValueError(
                f"{self._state_folder(step)}: the field {missing[0]} is missing: it is not the state of a training"
            )
        wanted = {name: stored[name] for name in ("learning", "frozen")}
        arguments = ocp.args.PyTreeRestore(
            item=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted),
            restore_args=jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), wanted),
            partial_restore=True,
        )
        with reading(self._directory, step):
            restored = self._handler().restore(self._state_folder(step), args=arguments)
            self._verify(step, restored)
            _refuse_not_finite(restored)
        return {**restored["frozen"], **restored["learning"]}

    def about(self, step: int) -> dict:
        """What a checkpoint says of itself.

        Raises:
            DamagedCheckpoint: it cannot be read, or is not what was written.
        """
        with reading(self._directory, step):
            about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
            sums = self._sums(step)
            if sums is not None and sums.get("about") != _digest_of_json(about):
                raise ValueError("what it says of itself is not what was written")
        return about

    def _handler(self) -> ocp.PyTreeCheckpointHandler:
        return ocp.PyTreeCheckpointHandler(multiprocessing_options=self._processes)

    def _state_folder(self, step: int) -> Path:
        return self._directory / str(step) / "state"

    def _stored(self, step: int) -> dict[str, Any]:
        """The tree of a checkpoint's arrays, with their shapes and dtypes alone."""
        return self._handler().metadata(self._state_folder(step)).tree

    def _sums(self, step: int) -> dict[str, str] | None:
        """The checksums of a checkpoint; None where it is of a version that wrote none."""
        if not (self._directory / str(step) / _SUMS).exists():
            return None
        return self._manager.restore(step, args=ocp.args.Composite(**{_SUMS: ocp.args.JsonRestore()}))[_SUMS]

    def _verify(self, step: int, tree) -> None:
        sums = self._sums(step)
        if sums is not None and (name := first_changed(tree, sums)):
            raise ValueError(f"{name} is not what was written: its checksum differs")

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
        if self._manager:
            self.wait()
            self._manager.close()
