"""One checkpoint on the disk: what it holds is read, and compared with the checksums that were written with it."""

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from guided_jax.learning.checksums import digests, first_changed, first_not_finite, named_leaves
from guided_jax.learning.damage import reading

logger = logging.getLogger(__name__)

SUMS = "checksums"
"""Item of a checkpoint: the checksums of its arrays, and of what it says of itself. Older ones lack it."""


def checksums(state, about: dict, metrics: dict[str, float]) -> dict[str, str]:
    """What `SUMS` holds: of each array by its path, of `about`, and of the metrics (`scores`)."""
    return {**digests(state), "about": _digest_of_json(about), "scores": _digest_of_json(metrics)}


def score_of(metrics: dict[str, float] | None) -> float:
    """Positive IU of a checkpoint; below every other where it was not evaluated."""
    score = (metrics or {}).get("pos_iu", math.nan)
    return -math.inf if math.isnan(score) else score


class StoredCheckpoint:
    """A checkpoint that was written whole. Whatever is read of it raises `DamagedCheckpoint` where it is not so."""

    def __init__(self, directory: Path, step: int, handler: ocp.PyTreeCheckpointHandler):
        """Reads nothing yet.

        Args:
            directory: of all checkpoints of the run.
            step: of this one.
            handler: reads arrays.
        """
        self._directory, self._step, self._handler = directory, step, handler
        self._folder = directory / str(step)

    def about(self) -> dict:
        """What it says of itself."""
        with reading(self._directory, self._step):
            about, sums = self._json("about"), self._sums()
            if sums is not None and sums.get("about") != _digest_of_json(about):
                raise ValueError("what it says of itself is not what was written")
        return about

    def score(self) -> float:
        """Its positive IU, see `score_of`."""
        with reading(self._directory, self._step):
            there = (self._folder / "metrics").exists()
            metrics, sums = self._json("metrics", "metrics") if there else {}, self._sums()
            # Checksums that lack them are of a version that did not take them in.
            if sums and sums.get("scores", _digest_of_json(metrics)) != _digest_of_json(metrics):
                raise ValueError("its scores are not what was written: their checksum differs")
            return score_of(metrics)

    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters by path, as `trunk/conv1_1/kernel`: those that learnt and the frozen ones.

        Raises:
            ValueError: it holds none.
        """
        with reading(self._directory, self._step):
            stored = self.shapes()
        missing = [name for name in ("learning", "frozen") if name not in stored]
        if missing:
            raise ValueError(f"{self._state}: the field {missing[0]} is missing: it is not the state of a training")
        with reading(self._directory, self._step):
            restored = self._read({name: stored[name] for name in ("learning", "frozen")})
            self.verify(restored)
        return {**restored["frozen"], **restored["learning"]}

    def check(self) -> None:
        """Reads all of it."""
        self.about()
        self.score()
        with reading(self._directory, self._step):
            self.verify(self._read(self.shapes()))

    def verify(self, tree) -> None:
        """Raises ValueError where arrays of the state are not what was written, or parameters are not finite."""
        found, sums = named_leaves(tree), self._sums()
        if sums is None:
            logger.warning("%s: an older version wrote it without checksums: damage would not be seen", self._folder)
            sums = {}
        groups = {name.partition("/")[0] for name in found}
        if lost := [name for name in sums if name.partition("/")[0] in groups and name not in found]:
            raise ValueError(f"{lost[0]} is missing")
        if sums and (name := first_changed(tree, sums)):
            raise ValueError(f"{name} is not what was written: its checksum differs")
        params = {name: leaf for name, leaf in found.items() if name.startswith(("learning/", "frozen/"))}
        if name := first_not_finite(params):
            raise ValueError(f"{name} holds NaN or infinity")

    def shapes(self) -> dict[str, Any]:
        """The tree of its arrays, with their shapes and dtypes alone."""
        return self._handler.metadata(self._state).tree

    @property
    def _state(self) -> Path:
        return self._folder / "state"

    def _read(self, wanted: dict[str, Any]) -> dict[str, Any]:
        arguments = ocp.args.PyTreeRestore(
            item=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted),
            restore_args=jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), wanted),
            partial_restore=True,
        )
        return self._handler.restore(self._state, args=arguments)

    def _json(self, item: str, name: str = "metadata") -> Any:
        file = self._folder / item / name
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{item}/{name} is missing") from None
        except ValueError as error:
            raise ValueError(f"{item}/{name}: {error}") from error
        if not isinstance(found, dict):
            raise ValueError(f"{item}/{name}: holds no fields")
        return found

    def _sums(self) -> dict[str, str] | None:
        """Its checksums; None where it is of a version that wrote none, by the list of what was written."""
        if (self._folder / SUMS).exists():
            return self._json(SUMS)
        written = json.loads((self._folder / "_CHECKPOINT_METADATA").read_text(encoding="utf-8"))
        if SUMS in written["item_handlers"]:
            raise ValueError(f"{SUMS} is missing")
        return None


def _digest_of_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
