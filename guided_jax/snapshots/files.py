"""Snapshots on disk: the reference's `.pth`, and `.safetensors` of any model here."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import save

from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.backbones.pretrained import METADATA_KEY
from guided_jax.backbones.weight_files import WeightsError, read_arrays
from guided_jax.loaded_model import LoadedModel, check_shapes
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor
from guided_jax.snapshots.layout import from_state, to_state
from guided_jax.snapshots.models import PREPROCESSING, find_model
from guided_jax.snapshots.shared_trunk import with_trunk, without_trunk
from guided_jax.stored_config import read_model_config

MODEL_KEY = "guided_jax.model"
"""Key of a safetensors file's metadata: the model's configuration as JSON."""

ABOUT_KEY = "guided_jax.about"
"""Key of a safetensors file's metadata: what is known of the training, as JSON."""

TOLD = ("name", "step", "trained_classes", "trained_on", "data", "snapshot", "started", "code", "packages")
"""What a file tells of the training. Paths, command and host stay behind: a file is made to be passed on."""


def read_snapshot(path: str | Path, model: str, *, way: int = 2) -> tuple[ModelConfig, dict, Preprocessing]:
    """Reads a snapshot of the reference: `torch.save(model.state_dict())`.

    The file does not tell its model: some have the same keys and shapes.

    Args:
        path: a `.pth` (needs torch), or a `.safetensors` of the same names.
        model: its name, of `guided_jax.snapshots.models.MODELS`.
        way: number of labels. The shared models have the same parameters for any.

    Returns:
        The model's configuration, its parameters for `Segmentor.apply`, float32, and the preprocessing of its images.

    Raises:
        WeightsError: the file cannot be read or is not the model's; what is wrong in one line.
    """
    path = Path(path)
    config = find_model(model, way).config
    arrays, _ = read_arrays(path)
    return config, from_state(arrays, model, way=way, where=str(path)), PREPROCESSING


def write_snapshot(path: str | Path, model: str, params: Mapping, *, way: int = 2, numbered: bool = False) -> None:
    """Writes a snapshot as the reference's `load_state_dict(strict=True)` takes it.

    Args:
        path: a file name that ends in `.pth` (needs torch).
        model: name of the reference's model, of `guided_jax.snapshots.models.MODELS`.
        params: the parameters of that model.
        way: number of labels.
        numbered: names the late models' encoder as recent torch does (`encoder.0.weight`); else
            `encoder.conv1_1.weight`.

    Raises:
        WeightsError: another suffix, no torch, or not the model's parameters.
    """
    path = Path(path)
    if path.suffix not in (".pth", ".pt"):
        raise WeightsError(f"{path}: the name must end in .pth")
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"{path}: writing {path.suffix} needs torch: pip install 'guided_jax[torch]'") from error
    state = to_state(params, model, way=way, numbered=numbered)
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    write_whole(path, lambda partial: torch.save(tensors, partial))


def write_parameters(
    path: str | Path,
    config: ModelConfig,
    params: Mapping,
    preprocessing: Preprocessing,
    about: Mapping[str, Any] | None = None,
    *,
    dtype: str = "float32",
    trunk: Path | None = None,
) -> None:
    """Writes a model with all that it needs, for `read_parameters`; any model.

    Args:
        path: a file name that ends in `.safetensors`.
        config: of the model.
        params: its parameters; names in the file are their paths, as `trunk/conv1_1/kernel`.
        preprocessing: of its images.
        about: what is known of the training, JSON-able; of it the entries in `TOLD` are written.
        dtype: of the numbers in the file, `float32` or `float16`, which halves it.
        trunk: a file beside it that holds the same trunk, which is then left out; None: the file is whole.

    Raises:
        WeightsError: another suffix, values that the dtype cannot hold, or another trunk.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: the name must end in .safetensors")
    # safetensors writes the memory of an array as it lies, also that of a transposed one.
    with np.errstate(over="ignore"):
        arrays = {name: np.ascontiguousarray(value, dtype) for name, value in flatten_dict(params, sep="/").items()}
    if too_great := next((name for name, value in arrays.items() if not np.isfinite(value).all()), None):
        raise WeightsError(f"{path}: {too_great} has values that {dtype} cannot hold")
    told = {name: about[name] for name in TOLD if name in about} if about else {}
    metadata = {
        MODEL_KEY: json.dumps(asdict(config)),
        METADATA_KEY: json.dumps(preprocessing.to_dict()),
        ABOUT_KEY: json.dumps(told),
    }
    if trunk:
        arrays, where = without_trunk(arrays, path, trunk)
        metadata |= where
    write_tensors(path, arrays, metadata)


def read_parameters(path: str | Path) -> LoadedModel:
    """Reads what `write_parameters` wrote, of this version or an older one.

    Raises:
        WeightsError: the file, or the one that holds its trunk, cannot be read, it does not tell its model, or its
            parameters are not the model's.
    """
    path = Path(path)
    arrays, metadata = read_arrays(path)
    if MODEL_KEY not in metadata or METADATA_KEY not in metadata:
        raise WeightsError(f"{path}: its metadata do not tell the model ({MODEL_KEY}, {METADATA_KEY})")
    try:
        config = read_model_config(json.loads(metadata[MODEL_KEY]), MODEL_KEY)
        preprocessing = Preprocessing.from_dict(json.loads(metadata[METADATA_KEY]))
        about = json.loads(metadata.get(ABOUT_KEY, "{}"))
        if not isinstance(about, dict):
            raise ValueError(f"{ABOUT_KEY} must be a group of fields, not {about!r}")
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: its metadata cannot be read: {error}") from error
    arrays = with_trunk(arrays, metadata, path)
    model = Segmentor(config, preprocessing)
    try:
        check_shapes(model, {name: value.shape for name, value in arrays.items()}, str(path))
    except ValueError as error:
        raise WeightsError(str(error)) from error
    # `jnp.asarray` would compile a program for each shape.
    params = jax.device_put({name: np.asarray(value, np.float32) for name, value in arrays.items()})
    return LoadedModel(model, unflatten_dict(params, sep="/"), about)


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a `.safetensors`, whole or not at all.

    Raises:
        WeightsError: it cannot be written.
    """
    # Not `save_file`, whose files nobody but their owner may read: a file is made to be passed on.
    write_whole(path, lambda partial: partial.write_bytes(save(dict(arrays), metadata=dict(metadata))))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file whole or not at all.

    Args:
        path: of the file.
        write: writes a file of the path that it is given, which is another one in the same folder.

    Raises:
        WeightsError: it cannot be written; the old file stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        partial.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch's own is a RuntimeError
        raise WeightsError(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
