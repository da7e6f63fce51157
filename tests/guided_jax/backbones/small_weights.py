"""Weights of a VGG-16 with few channels, and their comparison."""

import numpy as np

from guided_jax.backbones.weight_layouts import kernel_shapes

SMALL = kernel_shapes(((4, 4), (5, 5), (6, 6, 6), (7, 7, 7), (8, 8, 8)), 9)
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
