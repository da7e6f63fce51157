"""Pretrained weights of a tiny VGG, which the reader of VGG-16's weights takes once it is told their shapes."""

from functools import partial
from pathlib import Path

import numpy as np

from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.backbones.pretrained import read_weights
from guided_jax.backbones.vgg import STAGES
from guided_jax.backbones.weight_layouts import kernel_shapes
from tests.guided_jax.backbones.small_weights import write_weights

SHAPES = kernel_shapes(STAGES["vgg-tiny"], 8)

read_tiny_weights = partial(read_weights, shapes=SHAPES)


def write_tiny_weights(path: Path, preprocessing: Preprocessing) -> None:
    rng = np.random.default_rng(0)
    layers = {
        name: {
            "kernel": (rng.normal(size=shape) / np.sqrt(np.prod(shape[:3]))).astype(np.float32),
            "bias": rng.normal(size=shape[-1]).astype(np.float32),
        }
        for name, shape in SHAPES.items()
        if name.startswith("conv")
    }
    write_weights(path, layers, preprocessing)
