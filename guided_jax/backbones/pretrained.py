"""Pretrained weights: read with the preprocessing that they expect, and loaded into a model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from guided_jax.backbones.backbone import Backbone, Layers, ReadLayers
from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.known_file import checksum
from guided_jax.backbones.known_weights import identify
from guided_jax.backbones.preprocessing import Preprocessing, named_preprocessing
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.weight_downloads import locate
from guided_jax.backbones.weight_files import read_arrays

METADATA_KEY = "guided_jax.preprocessing"
"""Key of a safetensors file's metadata: the preprocessing as JSON."""


@dataclass(frozen=True)
class Pretrained:
    """Weights and what they expect of their input.

    Attributes:
        layers: of the trunk, and `fc6` and `fc7` where the file has them (`guided_jax.backbones.backbone.Layers`).
        preprocessing: preprocessing of images that the weights expect.
        sha256: checksum of the file in hexadecimal.
        source: whose weights they are in words, or else the file's name.
        image_layer: the backbone's layer that reads the image.
    """

    layers: Layers
    preprocessing: Preprocessing
    sha256: str
    source: str
    image_layer: str


@dataclass(frozen=True)
class LoadReport:
    """What `load_into` did, in paths of the model's layers (`trunk/conv1_1`) and names of the file's layers.

    Attributes:
        loaded: paths of the layers that now hold the file's weights.
        untouched: paths of the layers that keep what they had.
        unused: names of the file's layers that went nowhere.
    """

    loaded: tuple[str, ...]
    untouched: tuple[str, ...]
    unused: tuple[str, ...]


def read_weights(
    path: str | Path, backbone: Backbone, *, preprocessing: Preprocessing | str | None = None
) -> Pretrained:
    """Reads a backbone's weights from a file in any of its usual layouts.

    Formats: `.npz`, `.safetensors`, Keras's `.h5` and `.keras`, and `.pth` (needs torch), alone or as the only state
    dict of a training's checkpoint.

    Args:
        path: the file, or the name of published weights (`known_weights.named_weights`), which are downloaded once.
        backbone: whose weights they are.
        preprocessing: that the weights expect, or its name in `PREPROCESSINGS`. Needed where neither the file's
            checksum, nor its metadata, nor its arrays, nor the backbone tells: torchvision's arrays and those that are
            converted from Caffe can have the same names and like magnitudes. Where the file tells, only the mean may
            differ from it (`caffe-ilsvrc` in place of `caffe`).

    Raises:
        WeightsError: one line that says what is wrong with the file, or what to pass.
    """
    if isinstance(preprocessing, str):
        preprocessing = named_preprocessing(preprocessing)
    path = locate(path)
    sha256 = checksum(path)
    known = identify(path, sha256, trust_name=preprocessing is not None)
    arrays, metadata = read_arrays(path)
    read = _read(arrays, path, backbone)
    stated = known.preprocessing if known else _stated(metadata, path) or read.preprocessing
    agreed = _agreed(stated, preprocessing or (None if stated else backbone.usual), path)
    return Pretrained(read.layers, agreed, sha256, known.source if known else path.name, backbone.image_layer)


def _read(arrays: Mapping[str, np.ndarray], path: Path, backbone: Backbone) -> ReadLayers:
    """What the backbone reads, or an error that names the one whose weights they are instead."""
    try:
        return backbone.read(arrays, path)
    except WeightsError as error:
        for other in BACKBONES.values():
            try:
                layout = other.read(arrays, path).layout
            except WeightsError:
                continue
            raise WeightsError(
                f"{path}: this file holds a {other.title} ({layout}); the configuration asks for {backbone.name}: "
                f"give weights of that, or set model.backbone={other.name}"
            ) from error
        raise


def _stated(metadata: Mapping[str, str], path: Path) -> Preprocessing | None:
    """The preprocessing as the file's metadata tell it."""
    if METADATA_KEY not in metadata:
        return None
    try:
        return Preprocessing.from_dict(json.loads(metadata[METADATA_KEY]))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: its metadata {METADATA_KEY} cannot be read: {error}") from error


def _agreed(stated: Preprocessing | None, passed: Preprocessing | None, path: Path) -> Preprocessing:
    if stated is None and passed is None:
        raise WeightsError(
            f"{path}: not a file that is known by its checksum, and its arrays do not tell how images are prepared "
            "for it: pass preprocessing='caffe' (BGR, 0 to 255, minus the mean: the Caffe-converted weights) or "
            "preprocessing='torchvision' (RGB, 0 to 1, minus the mean, over the deviation: torchvision's and timm's); "
            "of a command, --config.weights_preprocessing"
        )
    if stated is None or passed is None:
        return stated or passed
    if (stated.channels, stated.scale, stated.std) != (passed.channels, passed.scale, passed.std):
        raise WeightsError(f"{path}: its weights expect {stated.key()}, but the preprocessing passed is {passed.key()}")
    return passed


TRUNKS, NECKS = ("trunk", "support_trunk"), ("neck", "support_neck")
"""Nodes of a model that hold an encoder, and its fc6; early fusion has encoders of its own for the support."""


def load_into(params: Mapping, pretrained: Pretrained) -> tuple[dict, LoadReport]:
    """Loads weights into a model's parameters.

    - Every layer of `trunk` and `support_trunk` is taken from the file. Where the layer that reads the image has more
      than 3 input channels, for an annotation, each of the further ones gets the mean of the file's 3 kernels.
    - A layer of `neck` or `support_neck` (fc6) is taken where the file has one of the same shape.
    - `head/fc7`, a matrix, is taken where the file's fc7 has its shape and fc6 was taken (the reference's fcn32s).
    - All else stays as it is.

    Args:
        params: tree of a flax model, such as `{'trunk': {'conv1_1': {'kernel', 'bias'}}, 'neck': {'fc6': ...}}`.
        pretrained: of `read_weights`.

    Returns:
        A new tree of the same structure, shapes and dtypes, and a report of what was done.

    Raises:
        WeightsError: a layer of a trunk is not in the file or has another shape there.
    """
    flat = flatten_dict(params, keep_empty_nodes=True)
    models: dict[tuple[str, ...], dict] = {}
    for path, leaf in flat.items():
        if hasattr(leaf, "shape"):
            models.setdefault(path[:-1], {})[path[-1]] = leaf
    trunk = {layer: name for layer in models if (name := _inside(layer, TRUNKS)) is not None}
    if not trunk:
        raise WeightsError(f"the model has no 'trunk' to put weights into; its parts are {', '.join(params)}")
    missing = [n for layer, n in trunk.items() if not models[layer].keys() <= pretrained.layers.get(n, {}).keys()]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise WeightsError(f"{pretrained.source}: does not have the trunk's {names}")
    values = {layer: _trunk_values(layer, name, models[layer], pretrained) for layer, name in trunk.items()}
    used = set(trunk.values())
    for layer, parts in models.items():
        name = _inside(layer, NECKS)
        if name is not None and _fits(parts, pretrained.layers.get(name, {})):
            values[layer] = pretrained.layers[name]
            used.add(name)
    for layer, parts in models.items():
        if layer[-2:] == ("head", "fc7") and "fc7" in pretrained.layers and (*layer[:-2], "neck", "fc6") in values:
            fc7 = {**pretrained.layers["fc7"], "kernel": pretrained.layers["fc7"]["kernel"][0, 0]}
            if _fits(parts, fc7):
                values[layer] = fc7
                used.add("fc7")
    for layer, parts in values.items():
        for part, leaf in models[layer].items():
            flat[*layer, part] = jax.device_put(np.array(parts[part], leaf.dtype))
    return unflatten_dict(flat), LoadReport(
        loaded=tuple("/".join(layer) for layer in models if layer in values),
        untouched=tuple("/".join(layer) for layer in models if layer not in values),
        unused=tuple(layer for layer in pretrained.layers if layer not in used),
    )


def _inside(layer: tuple[str, ...], nodes: tuple[str, ...]) -> str | None:
    """The path of a layer below one of the nodes, empty for the node itself; None where it lies in none of them."""
    at = next((i for i, node in enumerate(layer) if node in nodes), None)
    return None if at is None else "/".join(layer[at + 1 :])


def _trunk_values(layer: tuple[str, ...], name: str, parts: Mapping, pretrained: Pretrained) -> dict[str, np.ndarray]:
    """The file's layer, with further input channels where the model reads more than an image."""
    values = dict(pretrained.layers[name])
    if name == pretrained.image_layer and (further := parts["kernel"].shape[-2] - values["kernel"].shape[-2]) > 0:
        mean = values["kernel"].mean(-2, keepdims=True)
        values["kernel"] = np.concatenate([values["kernel"], *[mean] * further], axis=-2)
    for part, leaf in parts.items():
        if leaf.shape != values[part].shape:
            raise WeightsError(
                f"{'/'.join(layer)}/{part} is {leaf.shape} in the model and "
                f"{pretrained.layers[name][part].shape} in {pretrained.source}: "
                "its weights fit a backbone of the same widths only"
            )
    return values


def _fits(parts: Mapping, values: Mapping) -> bool:
    return {part: leaf.shape for part, leaf in parts.items()} == {part: value.shape for part, value in values.items()}
