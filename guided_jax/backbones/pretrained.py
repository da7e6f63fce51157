"""Pretrained weights of VGG-16: read with the preprocessing that they expect, and loaded into a model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.known_weights import checksum, identify
from guided_jax.backbones.preprocessing import CAFFE, CAFFE_RGB, KERAS, Preprocessing, named_preprocessing
from guided_jax.backbones.weight_downloads import locate
from guided_jax.backbones.weight_files import read_arrays
from guided_jax.backbones.weight_layouts import VGG16, Layers, Shapes, to_layers

METADATA_KEY = "guided_jax.preprocessing"
"""Key of a safetensors file's metadata: the preprocessing as JSON."""


@dataclass(frozen=True)
class Pretrained:
    """Weights and what they expect of their input.

    Attributes:
        layers: `conv1_1` ... `conv5_3`, and `fc6`, `fc7` as convolutions where the file has them, each with
            `kernel` (height, width, in, out) and `bias`, float32.
        preprocessing: preprocessing of images that the weights expect.
        sha256: checksum of the file in hexadecimal.
        source: whose weights they are in words, or else the file's name.
    """

    layers: Layers
    preprocessing: Preprocessing
    sha256: str
    source: str


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
    path: str | Path, *, preprocessing: Preprocessing | str | None = None, shapes: Shapes = VGG16
) -> Pretrained:
    """Reads VGG-16's weights from a file in any of its usual layouts.

    `.npz` and `.safetensors` with this project's names (`conv1_1/kernel`), Keras's `.h5` of all ages and `.keras`, with
    or without top, torchvision's and the Caffe-converted `.pth` (needs torch), alone or as the only state dict of a
    training's checkpoint, `.safetensors` with torchvision's or timm's names, D. Frossard's `vgg16_weights.npz`
    (`conv1_1_W`).

    Args:
        path: the file, or the name of published weights (`known_weights.named_weights`), which are downloaded once.
        preprocessing: that the weights expect, or its name in `PREPROCESSINGS`. Needed where neither the file's
            checksum, nor its metadata, nor Keras's layout, nor its first kernel tells (Oxford's own is known): the
            arrays of torchvision's and the Caffe-converted files have the same names and like magnitudes. Where one
            of them tells, only the mean may differ from it (`caffe-ilsvrc` in place of `caffe`).
        shapes: of the kernels.

    Raises:
        WeightsError: one line that says what is wrong with the file, or what to pass.
    """
    if isinstance(preprocessing, str):
        preprocessing = named_preprocessing(preprocessing)
    path = locate(path)
    sha256 = checksum(path)
    known = identify(path, sha256, trust_name=preprocessing is not None)
    arrays, metadata = read_arrays(path)
    layers, layout = to_layers(arrays, path, shapes)
    stated = known.preprocessing if known else _stated(metadata, layout, path) or _told_by_first_kernel(layers)
    source = known.source if known else path.name
    return Pretrained(layers, _agreed(stated, preprocessing, path), sha256, source)


def _stated(metadata: Mapping[str, str], layout: str, path: Path) -> Preprocessing | None:
    """The preprocessing as the file itself tells it."""
    if METADATA_KEY in metadata:
        try:
            return Preprocessing.from_dict(json.loads(metadata[METADATA_KEY]))
        except (ValueError, TypeError) as error:
            raise WeightsError(f"{path}: its metadata {METADATA_KEY} cannot be read: {error}") from error
    return KERAS if layout in ("keras", "keras3") else None


_OXFORD = np.array([0.2023, 0.0658, -0.1776], np.float32)
"""Centre of the second kernel of Oxford's conv1_1: of blue, green and red."""


def _told_by_first_kernel(layers: Layers) -> Preprocessing | None:
    """The preprocessing of Oxford's weights, which conversions of them order in two ways; None for any others."""
    centre = layers["conv1_1"]["kernel"][1, 1, :, 1]
    for channels, preprocessing in ((centre, CAFFE), (centre[::-1], CAFFE_RGB)):
        if np.allclose(channels, _OXFORD, rtol=0, atol=1e-3):
            return preprocessing
    return None


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
"""Nodes of a model that hold VGG's convolutions, and its fc6; early fusion has encoders of its own for the support."""


def load_into(params: Mapping, pretrained: Pretrained) -> tuple[dict, LoadReport]:
    """Loads weights into a model's parameters.

    - Every layer of `trunk` and `support_trunk` is taken from the file. Where conv1_1 has more than 3 input channels,
      for an annotation, each of the further ones gets the mean of the file's 3 kernels (the reference's
      interactive-early).
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
    trunk = [layer for layer in models if _within(layer, TRUNKS)]
    if not trunk:
        raise WeightsError(f"the model has no 'trunk' to put weights into; its parts are {', '.join(params)}")
    missing = [layer[-1] for layer in trunk if not models[layer].keys() <= pretrained.layers.get(layer[-1], {}).keys()]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise WeightsError(f"{pretrained.source}: does not have the trunk's {names}")
    values = {layer: _trunk_values(layer, models[layer], pretrained) for layer in trunk}
    for layer, parts in models.items():
        if _within(layer, NECKS) and _fits(parts, pretrained.layers.get(layer[-1], {})):
            values[layer] = pretrained.layers[layer[-1]]
    for layer, parts in models.items():
        if layer[-2:] == ("head", "fc7") and "fc7" in pretrained.layers and (*layer[:-2], "neck", "fc6") in values:
            fc7 = {**pretrained.layers["fc7"], "kernel": pretrained.layers["fc7"]["kernel"][0, 0]}
            if _fits(parts, fc7):
                values[layer] = fc7
    for layer, parts in values.items():
        for part, leaf in models[layer].items():
            flat[*layer, part] = jnp.asarray(parts[part], leaf.dtype)
    used = {layer[-1] for layer in values}
    return unflatten_dict(flat), LoadReport(
        loaded=tuple("/".join(layer) for layer in models if layer in values),
        untouched=tuple("/".join(layer) for layer in models if layer not in values),
        unused=tuple(layer for layer in pretrained.layers if layer not in used),
    )


def _trunk_values(layer: tuple[str, ...], parts: Mapping, pretrained: Pretrained) -> dict[str, np.ndarray]:
    """The file's layer, with further input channels where the model's conv1_1 has them."""
    values = dict(pretrained.layers[layer[-1]])
    further = parts["kernel"].shape[-2] - values["kernel"].shape[-2]
    if layer[-1] == "conv1_1" and further > 0:
        mean = values["kernel"].mean(-2, keepdims=True)
        values["kernel"] = np.concatenate([values["kernel"], *[mean] * further], axis=-2)
    for part, leaf in parts.items():
        if leaf.shape != values[part].shape:
            raise WeightsError(
                f"{'/'.join(layer)}/{part} is {leaf.shape} in the model and "
                f"{pretrained.layers[layer[-1]][part].shape} in {pretrained.source}: "
                "its weights fit a backbone of the same widths only"
            )
    return values


def _within(layer: tuple[str, ...], nodes: tuple[str, ...]) -> bool:
    return len(layer) > 1 and layer[-2] in nodes


def _fits(parts: Mapping, values: Mapping) -> bool:
    return {part: leaf.shape for part, leaf in parts.items()} == {part: value.shape for part, value in values.items()}
