"""Pretrained weights of a tiny VGG."""

from pathlib import Path

import numpy as np

from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.backbones.vgg.layouts import kernel_shapes
from guided_jax.backbones.vgg.trunk import STAGES
from tests.guided_jax.backbones.small_weights import write_weights

SHAPES = kernel_shapes(STAGES["vgg-tiny"], 8)


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
