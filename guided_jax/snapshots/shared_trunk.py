"""Several models on one frozen trunk share its file: a model's own file then holds the rest, and names the trunk's."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.known_file import checksum
from guided_jax.backbones.weight_files import read_arrays

TRUNK_KEY = "guided_jax.trunk"
"""Key of a safetensors file's metadata: the file beside it that holds the trunk, and its checksum, as JSON."""

_PREFIX = "trunk/"


def without_trunk(
    arrays: Mapping[str, np.ndarray], path: Path, trunk: Path
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Leaves out the trunk's parameters, which another file holds.

    Args:
        arrays: of a model by their names, in the type in which they are written.
        path: where they will be written.
        trunk: a `.safetensors` of a model, in the same folder.

    Returns:
        What is left, and the metadata that name the other file.

    Raises:
        WeightsError: that file lies elsewhere, cannot be read, or holds another trunk.
    """
    if trunk.parent.resolve() != path.parent.resolve() or trunk.name == path.name:
        raise WeightsError(f"{trunk}: the file of the trunk must lie beside {path}, under another name")
    there, _ = read_arrays(trunk)
    own = {name for name in arrays if name.startswith(_PREFIX)}
    same = own == {name for name in there if name.startswith(_PREFIX)} and all(
        there[name].shape == arrays[name].shape and np.array_equal(there[name].astype(arrays[name].dtype), arrays[name])
        for name in own
    )
    if not own or not same:
        raise WeightsError(f"{trunk}: holds another trunk than the model; write a file of the whole model")
    told = json.dumps({"file": trunk.name, "sha256": checksum(trunk)})
    return {name: value for name, value in arrays.items() if name not in own}, {TRUNK_KEY: told}


def with_trunk(arrays: dict[str, np.ndarray], metadata: Mapping[str, str], path: Path) -> dict[str, np.ndarray]:
    """The parameters of a file, with those of the trunk that it names.

    Raises:
        WeightsError: the file that it names is missing or another one.
    """
    if TRUNK_KEY not in metadata:
        return arrays
    try:
        told = json.loads(metadata[TRUNK_KEY])
        name, expected = str(told["file"]), str(told["sha256"])
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path}: its metadata {TRUNK_KEY} cannot be read: {error}") from error
    if Path(name).name != name or name in ("", ".", ".."):
        raise WeightsError(f"{path}: its metadata {TRUNK_KEY} name {name!r}, which is no file beside it")
    trunk = path.with_name(name)
    if not trunk.is_file():
        raise WeightsError(f"{path}: its trunk is in {name}, which is missing beside it")
    if (found := checksum(trunk)) != expected:
        raise WeightsError(f"{path}: its trunk is in {name}, of the sha256 {expected}; that of {trunk} is {found}")
    there, _ = read_arrays(trunk)
    return arrays | {name: value for name, value in there.items() if name.startswith(_PREFIX)}
