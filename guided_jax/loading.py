"""A trained model from a file or from the folder of a run: `guided_jax.load`.

The module is not called `load`: importing it would then put itself in the place of the function.
"""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
from flax.traverse_util import unflatten_dict

from guided_jax.backbones.file_formats import file_format
from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.inputs import check_whole, describe
from guided_jax.loaded_model import LoadedModel, check_shapes
from guided_jax.segmentor import Segmentor
from guided_jax.shipped import DEFAULT, SHIPPED, shipped_file
from guided_jax.snapshots.files import read_parameters
from guided_jax.stored_config import read_model_config

CONFIG = "config.json"
"""In the folder of a run: its configuration, that of the model under `model`."""


def load(path: str | Path = DEFAULT, *, best: bool = False, step: int | None = None) -> LoadedModel:
    """Reads a trained model; nothing of the optimiser's state is read.

    Args:
        path: the name of a guide that comes with the package (`guided_jax.shipped`; a folder of that name is `./NAME`),
            a `.safetensors` that `guided_jax snapshot export` wrote, or the workdir of a run, of which the newest
            checkpoint is read.
        best: of a workdir: the checkpoint with the highest positive IU in the evaluations during training.
        step: of a workdir: the checkpoint after so many updates.

    Raises:
        ValueError: there is no such file or folder, it is neither of the two, it holds no such checkpoint, or what it
            holds is not sound; in one line.
    """
    name = path if isinstance(path, str) else ""
    try:
        path = model_file(path)
        is_folder, is_there = path.is_dir(), path.exists()
    except TypeError:
        raise ValueError(f"the path of a model is {describe(path)}; it must be a str or a Path") from None
    except (OSError, RuntimeError) as error:  # a folder that may not be looked into, a name too long, no such home
        raise ValueError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    step = step if step is None else check_whole(step, "step")
    if best and step is not None:
        raise ValueError(f"{path}: best and step={step} ask for two checkpoints; give one of them")
    if is_folder:
        return _load_checkpoint(path, best, step)
    if not is_there:
        raise ValueError(
            f"{path}: no such file or folder; a .safetensors, the workdir of a run or a name ({', '.join(SHIPPED)}) "
            "was expected"
        )
    if file_format(path) == ".pth":
        raise ValueError(
            f"{path}: a {path.suffix} does not tell its model; make a workdir of it, and load that: "
            f"guided_jax snapshot import {path.name} --model=NAME --workdir=DIR"
        )
    if file_format(path) != ".safetensors":
        raise ValueError(f"{path}: is neither a .safetensors nor the workdir of a run")
    if best or step is not None:
        raise ValueError(f"{path}: holds one model; best and step choose among the checkpoints of a workdir")
    loaded = read_parameters(path)
    return loaded._replace(about={**loaded.about, "max_side": SHIPPED[name].max_side}) if name in SHIPPED else loaded


def model_file(path: str | Path) -> Path:
    """The path of a model that is given as a path, or by the name of a guide that comes with the package.

    Raises:
        TypeError: this is no path.
        ValueError: the guide is missing or damaged.
        RuntimeError: there is no such home.
    """
    return shipped_file(path) if isinstance(path, str) and path in SHIPPED else Path(path).expanduser()


def read_run_config(workdir: Path) -> dict[str, Any]:
    """The configuration of a run as it was written, of this version or an older one.

    Raises:
        ValueError: the folder is not the workdir of a run, or the file cannot be read.
    """
    path = Path(workdir) / CONFIG
    if not path.is_file():
        raise ValueError(f"{workdir}: is not the workdir of a run (it holds no {CONFIG})")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: is not a config")
    return values


def _load_checkpoint(workdir: Path, best: bool, step: int | None) -> LoadedModel:
    from guided_jax.learning.checkpoints import Checkpoints  # Orbax takes a second, and a file does not need it

    values = read_run_config(workdir)
    if "model" not in values:
        raise ValueError(f"{workdir / CONFIG}: the field model is missing")
    config = read_model_config(values["model"], str(workdir / CONFIG))
    with closing(Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=0, read_only=True)) as kept:
        step = _choose(workdir, kept.steps(), kept.best() if best else kept.newest(), step)
        about, params = kept.about(step), kept.parameters(step)
    where = f"{workdir}: the checkpoint of step {step}"
    if "preprocessing" not in about:
        raise ValueError(f"{where} does not tell how images are prepared for it: the field preprocessing is missing")
    try:
        model = Segmentor(config, Preprocessing.from_dict(about["preprocessing"]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    check_shapes(model, {name: value.shape for name, value in params.items()}, where)
    # A run tells the name of its evaluation under the same word.
    about = {**about, "name": values.get("name") or about.get("name", ""), "step": step}
    return LoadedModel(model, jax.device_put(unflatten_dict(params, sep="/")), about)


def _choose(workdir: Path, steps: list[int], preferred: int | None, asked: int | None) -> int:
    if preferred is None:
        raise ValueError(f"{workdir}: holds no checkpoint; train first")
    if asked is not None and asked not in steps:
        there = ", ".join(map(str, steps))
        raise ValueError(f"{workdir}: holds no checkpoint of step {asked}; there are those of steps {there}")
    return preferred if asked is None else asked
