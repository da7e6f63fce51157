"""Weights of a VGG-16 with few channels, their comparison, and their file with its preprocessing."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.backbones.pretrained import METADATA_KEY
from guided_jax.backbones.vgg.layouts import kernel_shapes
from guided_jax.backbones.vgg.unit import VGG

SMALL_VGG = VGG("small", "VGG-16", ((4, 4), (5, 5), (6, 6, 6), (7, 7, 7), (8, 8, 8)), fc_width=9)
SMALL = kernel_shapes(SMALL_VGG.stages, SMALL_VGG.fc_width)
CONVS = [layer for layer in SMALL if layer.startswith("conv")]


def make_layers(shapes=SMALL, seed=0) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {
        layer: {
            "kernel": rng.standard_normal(shape, np.float32),
            "bias": rng.standard_normal(shape[-1:], np.float32),
        }
        for layer, shape in shapes.items()
    }


LAYERS = make_layers()


def only_convs(layers):
    return {layer: parts for layer, parts in layers.items() if layer.startswith("conv")}


def check_layers(actual, expected):
    assert list(actual) == list(expected)
    for layer, parts in expected.items():
        assert set(actual[layer]) == {"kernel", "bias"}
        for part, value in parts.items():
            assert actual[layer][part].dtype == np.float32
            np.testing.assert_array_equal(actual[layer][part], value, err_msg=f"{layer}/{part}")


def write_weights(path: Path, layers: Mapping[str, Mapping], preprocessing: Preprocessing) -> None:
    """Writes layers under this project's names, with the preprocessing of their input."""
    flat = {f"{layer}/{part}": value for layer, parts in layers.items() for part, value in parts.items()}
    save_file(flat, path, metadata={METADATA_KEY: json.dumps(preprocessing.to_dict())})
