"""Guidance in a file: what annotated images say of the task, without their pixels, as safetensors.

The file holds the arrays of each shot as `SHOT/TASK/FIELD` (`guided_jax.guides.guidance.Guidance`; the task 0 is that
of all labels), and in its metadata the objects and what the model is: guidance means nothing to any other model.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from guided_jax.backbones.weight_files import read_arrays
from guided_jax.guides.guidance import Guidance
from guided_jax.inputs import MOST_LABELS
from guided_jax.model_config import ModelConfig, feature_channels, guidance_labels
from guided_jax.segmentor import Segmentor
from guided_jax.session.tasks import ALL, tasks_of
from guided_jax.snapshots.files import write_tensors

KEY, VERSION = "guided_jax.guidance", 1
"""Key of the file's metadata, and the version that stands there."""

Shot = Mapping[int, Guidance]
"""Guidance [1, k, ...] of an annotated image by task (`guided_jax.session.tasks`)."""


class StoredGuidance(NamedTuple):
    """What a file holds.

    Attributes:
        objects: names of the labels from 1 on; "" where one has none.
        shots: of each annotated image.
    """

    objects: dict[int, str]
    shots: tuple[Shot, ...]


def fingerprint(model: Segmentor, params: Mapping) -> str:
    """What tells a model from any other: a digest of its configuration, preprocessing and parameters."""
    digest = hashlib.sha256(json.dumps([asdict(model.config), model.preprocessing.to_dict()], sort_keys=True).encode())
    for name, value in sorted(flatten_dict(params, sep="/").items()):
        value = np.ascontiguousarray(value, np.float32)
        digest.update(f"{name} {value.shape}".encode())
        digest.update(value)
    return digest.hexdigest()


def write_guidance(path: str | Path, model: str, stored: StoredGuidance) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: a file name that ends in `.safetensors`.
        model: its `fingerprint`.
        stored: what to write.

    Raises:
        ValueError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: the name must end in .safetensors")
    arrays = {
        f"{number}/{task}/{field}": np.ascontiguousarray(value, np.float32)
        for number, shot in enumerate(stored.shots)
        for task, guidance in shot.items()
        for field, value in guidance._asdict().items()
        if value is not None
    }
    metadata = {KEY: json.dumps({"version": VERSION, "model": model, "objects": [*stored.objects.items()]})}
    write_tensors(path, arrays, metadata)


def read_guidance(path: str | Path, model: Segmentor, expected: str) -> StoredGuidance:
    """Reads what `write_guidance` wrote.

    Args:
        path: of the file.
        model: that the guidance is for.
        expected: its `fingerprint`.

    Raises:
        ValueError: the file cannot be read, is of another model, or is not sound.
    """
    arrays, metadata = read_arrays(Path(path))
    if KEY not in metadata:
        raise ValueError(f"{path}: holds no guidance (its metadata lack {KEY})")
    try:
        about = json.loads(metadata[KEY])
        version, of_model, objects = (about.get(field) for field in ("version", "model", "objects"))
        if version != VERSION:
            raise ValueError(f"it is of version {version}, and this one reads version {VERSION}")
        if of_model != expected:
            raise ValueError("it is of another model; guidance is understood by the model alone that made it")
        return StoredGuidance(_read_objects(objects), _read_shots(arrays, model.config))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: its guidance cannot be taken: {error}") from None


def _read_objects(objects: Any) -> dict[int, str]:
    read = dict(objects)
    sound = all(type(label) is int and 1 <= label < MOST_LABELS and type(name) is str for label, name in read.items())
    names = [name for name in read.values() if name]
    if not sound or len(read) < len(objects) or len({*names}) < len(names):
        raise ValueError("its objects must be labels, 1 to 254, and names, none of them twice")
    return read


def _read_shots(arrays: Mapping[str, np.ndarray], config: ModelConfig) -> tuple[Shot, ...]:
    found: dict[int, dict[int, dict[str, jax.Array]]] = {}
    for name, value in arrays.items():
        number, task, field = name.split("/")
        found.setdefault(int(number), {}).setdefault(int(task), {})[field] = jnp.asarray(value, jnp.float32)
    at_once = tasks_of(config, config.way) == (ALL,)
    for shot in found.values():
        if {*shot} != {*next(iter(found.values()))} or (ALL in shot) != at_once or (at_once and len(shot) > 1):
            raise ValueError("its tasks are not those of the model")
        for fields in shot.values():
            _check_shapes({field: value.shape for field, value in fields.items()}, config)
    return tuple(
        {task: Guidance(**fields) for task, fields in sorted(shot.items())} for _, shot in sorted(found.items())
    )


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], config: ModelConfig) -> None:
    """Of the arrays of a shot for a task, which must be those of the model's guidance and fit each other."""
    rows, channels = shapes.get("total", ())[1:2], feature_channels(config)
    wanted = {"total": (1, *rows, channels), "mass": (1, *rows), "points": (1, *rows)}
    if config.locality != "global":
        cells = shapes.get("weights", ())[2:]
        wanted |= {"features": (1, *cells, channels), "weights": (1, *rows, *cells)}
    if shapes != wanted or (guidance_labels(config) == 1) != (rows == (1,)):
        raise ValueError(f"its arrays {', '.join(wanted)} do not fit each other or the model")


def fit(shots: Iterable[Shot], labels: Mapping[int, int], tasks: Sequence[int], way: int) -> tuple[Shot, ...]:
    """The shots with other labels, and more of them; a label that they do not know is not annotated in them.

    Args:
        shots: of one or several images.
        labels: the new label of each of their objects.
        tasks: of the model for the new number of labels.
        way: the new number of labels.

    Raises:
        ValueError: the guidance is one for all labels together, so that these cannot be told apart and changed.
    """
    if tasks == (ALL,):
        return tuple({ALL: _fit_rows(shot[ALL], labels, way)} for shot in shots)
    fitted = []
    for shot in shots:
        unknown = jax.tree.map(jnp.zeros_like, next(iter(shot.values())))
        known = {labels[task]: guidance for task, guidance in shot.items() if task in labels}
        fitted.append({task: known.get(task, unknown) for task in tasks})
    return tuple(fitted)


def _fit_rows(guidance: Guidance, labels: Mapping[int, int], way: int) -> Guidance:
    rows = {0: 0, **labels}
    number = guidance.total.shape[1]
    if all(old == new for old, new in rows.items()) and number in (1, way):
        return guidance
    if number == 1:
        raise ValueError("the model's guidance is one for all labels together, so that labels cannot be changed in it")
    old, new = np.array([(old, new) for old, new in rows.items() if old < number]).T

    def move(values):
        return jnp.zeros((1, way, *values.shape[2:]), values.dtype).at[:, new].set(values[:, old])

    weights = None if guidance.weights is None else move(guidance.weights)
    return Guidance(*map(move, guidance[:3]), guidance.features, weights)
