"""Files of weights: the arrays in them, as they are named there."""

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open

from guided_jax.backbones.file_formats import SUFFIXES, WeightsError, file_format, looks_like, no_weights, plain

_WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.")
"""What torch's DataParallel and compile, and others' classes around a network, put before all names."""


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads every array of a file, under its name there, and the file's metadata (safetensors only).

    Of a training's checkpoint by torch the only state dict in it is read. A word before all names of a state dict
    that tells of what was around the network (`module.`) is left out.

    Raises:
        WeightsError: no such file, a kind of file that is not read here, one that is broken or no weights, or values
            that are not finite.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'} of weights")
    kind = file_format(path)
    if kind not in _READERS:
        raise WeightsError(f"{path}: weights are read from {', '.join(SUFFIXES)}, not from '{path.suffix}'")
    if kind == ".pth":
        _import_torch(path)
    if foreign := no_weights(path):
        raise WeightsError(f"{path}: {foreign}")
    try:
        arrays, metadata = _READERS[kind](path)
    except WeightsError:
        raise
    except Exception as error:  # each library has its own kinds, and they all mean this
        detail = plain((str(error).strip().splitlines() or [""])[0])
        if "weights_only" in str(error):  # torch's advice is to load what may run code
            detail = "not a state dict as torch.save writes it"
        reason = looks_like(path, kind) or "the file is broken or cut"
        raise WeightsError(f"{path}: cannot be read as {kind} ({type(error).__name__}: {detail}): {reason}") from error
    _check_finite(arrays, path)
    return arrays, metadata


def _check_finite(arrays: dict[str, np.ndarray], path: Path) -> None:
    for name, value in arrays.items():
        if not np.issubdtype(value.dtype, np.floating):
            continue
        with np.errstate(over="ignore"):  # what float32 cannot hold is as bad
            wrong = value.size - int(np.isfinite(value.astype(np.float32, copy=False)).sum())
        if wrong:
            raise WeightsError(
                f"{path}: {name} holds NaN or infinity ({wrong} of {value.size} values): the file is damaged, or "
                "its training diverged"
            )


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with path.open("rb") as file:  # numpy would guess another format by the content
        if file.read(2) != b"PK":
            raise ValueError("not a zip archive")
    with np.load(path) as file:
        try:
            return dict(file), {}
        except ValueError as error:
            if "allow_pickle" in str(error):  # numpy's advice is to load what may run code
                raise WeightsError(f"{path}: holds Python objects, not arrays alone; they can run code") from error
            raise


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, "numpy") as file:
        names, metadata = list(file.keys()), file.metadata() or {}
        halves = _bfloat16(path)
        arrays = {name: halves[name] if name in halves else file.get_tensor(name) for name in names}
    return _unwrapped(arrays), metadata


def _bfloat16(path: Path) -> dict[str, np.ndarray]:
    """The arrays in bfloat16, which safetensors does not give to numpy; float32."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, start, arrays = json.loads(file.read(length)), 8 + length, {}
        for name, entry in header.items():
            if entry.get("dtype") == "BF16":
                first, end = entry["data_offsets"]
                file.seek(start + first)
                value = np.frombuffer(file.read(end - first), jnp.bfloat16)
                arrays[name] = value.reshape(entry["shape"]).astype(np.float32)
    return arrays


def _import_torch(path: Path):
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"{path}: reading {path.suffix} needs torch: pip install 'guided_jax[torch]'") from error
    return torch


def _read_torch(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    torch = _import_torch(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise WeightsError(f"{path}: is a program of TorchScript, not a state dict; {_HOW_TO_SAVE}")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise WeightsError(
                f"{path}: cannot be read as .pth: it holds a Python object ({refused[1]}), not arrays alone, as where "
                f"a whole module was saved; objects can run code and are not loaded; {_HOW_TO_SAVE}"
            ) from error
        raise
    dicts = dict(_state_dicts(stored, torch))
    if len(dicts) != 1:
        what = f"several state dicts ({', '.join(dicts)})" if dicts else "not a state dict (name -> tensor)"
        raise WeightsError(f"{path}: {what}; {_HOW_TO_SAVE}")
    (state,) = dicts.values()
    for name, value in state.items():
        if kind := _unlike_an_array(value, torch):
            raise WeightsError(f"{path}: {name} is {kind}; weights must be dense and real: {_HOW_TO_SAVE}")
    return _unwrapped({name: value.detach().to(torch.float32).numpy() for name, value in state.items()}), {}


def _unlike_an_array(tensor: Any, torch) -> str:
    """What keeps a tensor from being an array of real numbers; empty where nothing does."""
    if tensor.layout is not torch.strided:
        return "a sparse tensor"
    if tensor.is_quantized:
        return "a quantized tensor"
    if tensor.is_meta:
        return "a tensor without values (device meta)"
    return "complex" if tensor.is_complex() else ""


_HOW_TO_SAVE = "save model.state_dict() where it was made: torch.save(model.state_dict(), FILE)"


def _state_dicts(stored: Any, torch, where: str = "") -> Iterator[tuple[str, dict]]:
    """The dictionaries from names to tensors in what torch stored, by their place in it."""
    # The state of an optimiser is numbered, not named.
    if not isinstance(stored, dict) or not stored or not all(isinstance(name, str) for name in stored):
        return
    if all(isinstance(value, torch.Tensor) for value in stored.values()):
        yield where, stored
        return
    for name, value in stored.items():
        yield from _state_dicts(value, torch, f"{where}.{name}" if where else name)


def _unwrapped(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for wrapper in _WRAPPERS:
        if arrays and all(name.startswith(wrapper) for name in arrays):
            return _unwrapped({name.removeprefix(wrapper): value for name, value in arrays.items()})
    return arrays


def _read_h5(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with h5py.File(path) as file:
        return _datasets(file), {}


def _read_keras(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        return _datasets(file), {}


def _datasets(file: h5py.File) -> dict[str, np.ndarray]:
    """Every array by its path; in Keras 3's layout with the layer's own name before `vars`, where that is stored."""
    arrays = {}

    def visit(name: str, node) -> None:
        if not isinstance(node, h5py.Dataset) or name.startswith("optimizer"):
            return
        parts = name.split("/")
        layer = node.parent.attrs.get("name", "") if parts[-2:-1] == ["vars"] else ""
        # An automatic name counts the layers of a process; the path counts those of the model.
        if layer and not re.fullmatch(r"(conv2d|dense)(_\d+)?", layer):
            parts.insert(-2, layer)
        arrays["/".join(parts)] = node[()]

    # A whole model that Keras saved has its optimizer's arrays beside this group.
    file.get("model_weights", file).visititems(visit)
    return arrays


_READERS = {
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".keras": _read_keras,
    ".pth": _read_torch,
    ".safetensors": _read_safetensors,
}
