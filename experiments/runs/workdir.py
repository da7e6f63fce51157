"""The folder of a run: one config, one process at a time, and who made it with what.

    config.json     the config that it is bound to
    run.json        every start: command, code, packages, devices, versions of the data
    .lock           held by the process that is at work here

The run itself adds its metrics, checkpoints and results.
"""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from io import TextIOBase
from pathlib import Path
from typing import Any

import jax

import experiments
import guided_jax
from data_pipelines import disk
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import differences, differing, read_stored, to_dict
from experiments.settings.json_files import read_json, write_json
from experiments.settings.shapes import EACH, find_fault
from guided_jax.loading import CONFIG, read_run_config

FREE = (
    # Where the files lie; the versions of the data sets are compared instead.
    "data.root",
    "data.prepared",
    # How it is computed: the batches are the same, the update too but for the order of its sums.
    "data.workers",
    "train.accumulation",
    "eval.batch_size",
    # What is seen and kept of the run.
    "train.log_every",
    "train.evaluate_every",
    "train.checkpoint_every",
    "train.keep_last",
    "train.keep_best",
    "train.skip_damaged",
    "eval.save",
    "eval.name",
)
"""Fields that a resumed run may change, for they do not change its numbers."""

FREE_IN_EVAL = ("data.*", "eval.*", "tune.*", "seed")
"""Fields that `--mode=eval` may change besides: any trained model can be scored on anything.

Training may not change `eval.*`, or the best checkpoints would be chosen by scores that cannot be compared.
"""

FOLDERS = ("checkpoints", "tensorboard")
"""Of a run, in its workdir."""

START = {"mode": str, "name?": str, "data": {EACH: str}}
"""What is needed of an entry of `run.json`."""

_LOGS = (".log", ".out", ".err")  # of the shell or the scheduler, which are often sent to the workdir


@contextlib.contextmanager
def open_workdir(path: Path, config: Config, mode: str = "train_and_eval") -> Iterator[bool]:
    """Creates the folder or enters an existing one, and keeps other processes out until the end.

    To be called in the first process of a run only; nothing but the lock is written (see `record_start`).

    Args:
        path: of the folder.
        config: of the run.
        mode: train, eval or train_and_eval.

    Yields:
        Whether there is a run to resume.

    Raises:
        UserError: the folder cannot be written, holds other things or a run of another config, or is in use.
    """
    if mode == "eval" and not (path / "config.json").exists():
        raise UserError(f"--workdir={path}: holds no run to evaluate; train first")
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            _refuse_other_kinds(path)
            _refuse_foreign(path)
            lock = stack.enter_context(open(path / ".lock", "a+"))
        except FileExistsError as error:
            raise UserError(f"--workdir={path}: is a file, not a folder") from error
        except OSError as error:
            raise UserError(f"--workdir={path}: cannot be written: {error.strerror}") from error
        _lock(lock, path)
        refuse_other_config(path, config, mode)
        yield (path / "config.json").exists()


def _refuse_other_kinds(path: Path) -> None:
    """Raises UserError where a folder stands where the run would write a file, or a file where it needs a folder."""
    for name in FOLDERS:
        if os.path.lexists(path / name) and not (path / name).is_dir():
            raise UserError(f"{path / name}: is no folder, which the run needs there; move it away")
    for each in (*path.glob("*.json"), *path.glob("*.jsonl"), *path.glob("*.png"), path / ".lock"):
        if each.is_dir():
            raise UserError(f"{each}: is a folder, and the run needs a file there; move it away")


def record_start(path: Path, config: Config, *, mode: str, parallel: str, data: dict[str, str]) -> dict[str, Any]:
    """Binds the folder to the config and notes the start in `run.json`; once nothing can fail for the user any more.

    A later evaluation on its own does not change `config.json`.

    Args:
        path: of the folder, opened by `open_workdir`.
        config: of the run.
        mode: train, eval or train_and_eval.
        parallel: pmap, jit or fsdp.
        data: version of each data set by its name.

    Returns:
        The entry of `run.json`.

    Raises:
        UserError: as `refuse_other_data`.
    """
    earlier = refuse_other_data(path, config, mode=mode, data=data)
    start = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "mode": mode,
        "name": config.eval.name,
        "parallel": parallel,
        "data": data,
        **environment(),
    }
    if mode != "eval":
        write_json(path / "config.json", to_dict(config))
    write_json(path / "run.json", [*earlier, start])
    return start


def refuse_other_data(path: Path, config: Config, *, mode: str, data: dict[str, str]) -> list[dict[str, Any]]:
    """Refuses data that are not what they were when the run, or the evaluation of the same name, was started.

    Args:
        path: of the folder.
        config: of the run; `eval.name` tells evaluations on several data apart.
        mode: train, eval or train_and_eval.
        data: version of each data set by its name.

    Returns:
        What `run.json` holds so far.

    Raises:
        UserError: a data set is another now, or the file is damaged.
    """
    file = path / "run.json"
    earlier = read_json(file) if file.exists() else []
    if fault := find_fault(earlier, [START]):
        raise UserError(f"{file}: cannot be read: {fault}; delete it, and the starts so far are forgotten")
    for start in earlier:
        if "eval" in (mode, start["mode"]) and (start.get("name") or "") != config.eval.name:
            continue
        for name, version in start["data"].items():
            if data.get(name, version) != version:
                way_out = "give another --workdir, or the data of then"
                if mode == "eval":
                    way_out = (
                        "to score the model on these, too, give their result a name: --config.eval.name=NAME "
                        "(result-NAME.json)"
                    )
                raise UserError(
                    f"--workdir={path}: the data set {name} has changed since: version {version} (workdir) != "
                    f"{data[name]} (now); {way_out}"
                )
    return earlier


def environment() -> dict[str, Any]:
    """What the numbers of this process depend on besides config and data, for results and checkpoints."""
    device = jax.devices()[0]
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "code": code_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "devices": {
            "kind": device.device_kind,
            "platform": device.platform,
            "count": jax.device_count(),
            "processes": jax.process_count(),
        },
    }


def code_version() -> str:
    """The commit of the checkout, with `-dirty` where it was changed; else the version of the package."""
    checkout = Path(experiments.__file__).parents[1]
    if (checkout / ".git").exists():  # else git could answer for a repository around an installed package
        describe = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        with contextlib.suppress(OSError):
            answer = subprocess.run(describe, capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                return answer.stdout.strip()
    return guided_jax.__version__


def _refuse_foreign(path: Path) -> None:
    if (path / "config.json").exists():
        return
    others = sorted(
        entry.name for entry in path.iterdir() if not entry.name.startswith(".") and entry.suffix not in _LOGS
    )
    if others:
        raise UserError(
            f"--workdir={path}: is neither empty nor a workdir (it holds {others[0]!r} but no config.json); "
            "give a new folder"
        )


def _lock(lock: TextIOBase, path: Path) -> None:
    try:
        locked = disk.lock(lock, wait=False)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "another process"
        raise UserError(f"--workdir={path}: is in use by {owner}; wait for it, or give another folder") from None
    if locked:
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}\n")
        lock.flush()


def refuse_other_config(path: Path, config: Config, mode: str) -> None:
    """Raises UserError, with what differs, where the folder holds a run of another config."""
    if not (path / "config.json").exists():
        return
    try:
        before = to_dict(read_stored(read_run_config(path), str(path / CONFIG)))
    except ValueError as error:
        raise UserError(str(error)) from error
    now = to_dict(config)
    bound = bound_fields(before, now, mode)
    if bound:
        lines = [line for line in differences(before, now) if line.partition(": ")[0] in bound]
        way_out = "give another --workdir, or delete this one"
        if all(_matches(name, FREE_IN_EVAL) for name in bound):
            way_out = "give another --workdir, or --mode=eval to score what is trained there"
        raise UserError(f"--workdir={path}: is of another config: {'; '.join(lines)}; {way_out}")


def bound_fields(before: dict[str, Any], now: dict[str, Any], mode: str) -> list[str]:
    """The fields in which two configs, as dictionaries, differ and which a run, or its evaluation, must not change."""
    free = FREE + (FREE_IN_EVAL if mode == "eval" else ())
    if now["train"]["schedule"] == "constant":  # any other depends on where it ends
        free += ("train.steps",)
    return [name for name in differing(before, now) if not _matches(name, free)]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
