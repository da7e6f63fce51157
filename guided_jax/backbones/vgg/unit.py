"""VGG as a backbone: a row for each table of widths."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from guided_jax.backbones.backbone import Backbone, Layers, ReadLayers
from guided_jax.backbones.geometry import read_layers
from guided_jax.backbones.known_file import KnownFile
from guided_jax.backbones.preprocessing import CAFFE, CAFFE_RGB, KERAS, Preprocessing
from guided_jax.backbones.vgg.files import VGG16_FILES
from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.backbones.vgg.layouts import kernel_shapes, to_layers
from guided_jax.backbones.vgg.trunk import STAGES, Trunk


@dataclass(frozen=True)
class VGG(Backbone):
    """A VGG.

    Attributes:
        name: value of `model.backbone`.
        title: the published name.
        stages: widths of the convolutions of each stage.
        fc_width: of fc6 and fc7 in files that have them.
        known_files: published files of its weights.
    """

    name: str
    title: str
    stages: tuple[tuple[int, ...], ...]
    fc_width: int = 4096
    known_files: tuple[KnownFile, ...] = ()

    # Further input channels get the mean of the file's, as in the reference's interactive-early.
    image_layer = "conv1_1"

    @property
    def usual_stride(self) -> int:
        """Of the last stage's convolutions."""
        return 2 ** (len(self.stages) - 1)

    def trunk(self, dtype: DTypeLike, *, remat: bool = False) -> nn.Module:
        """Its convolutions."""
        del remat
        return Trunk(self.stages, jnp.dtype(dtype))

    def geometry(self, grid: str, stride: int, kernel: int, layers: str) -> VGGGeometry:
        """One of three grids; see `guided_jax.backbones.vgg.geometry`."""
        return VGGGeometry(grid, len(self.stages), stride, kernel, read_layers(layers))

    def channels(self, geometry: VGGGeometry) -> tuple[int, ...]:
        """Those of the last convolution of each stage that is read."""
        return tuple(self.stages[stage - 1][-1] for stage in geometry.tap_stages or (len(self.stages),))

    def read(self, arrays: Mapping[str, np.ndarray], path: Path) -> ReadLayers:
        """Reads VGG's weights in any of their usual layouts.

        With this project's names (`conv1_1/kernel`), Keras's of all ages, with or without top, torchvision's, those of
        the Caffe-converted `.pth`, timm's, and D. Frossard's of `vgg16_weights.npz` (`conv1_1_W`).
        """
        layers, layout = to_layers(arrays, path, kernel_shapes(self.stages, self.fc_width), self.title)
        told = KERAS if layout in ("keras", "keras3") else _told_by_first_kernel(layers)
        return ReadLayers(layers, _SOURCES[layout], told)


_SOURCES = {
    "own": "guided_jax",
    "torch": "torchvision",
    "keras": "Keras",
    "keras3": "Keras",
    "counted": "Keras",
    "tensorflow": "TensorFlow",
}

_OXFORD = np.array([0.2023, 0.0658, -0.1776], np.float32)
"""Centre of the second kernel of Oxford's conv1_1: of blue, green and red."""


def _told_by_first_kernel(layers: Layers) -> Preprocessing | None:
    """The preprocessing of Oxford's weights, which conversions of them order in two ways; None for any others."""
    centre = layers["conv1_1"]["kernel"][1, 1, :, 1]
    for channels, preprocessing in ((centre, CAFFE), (centre[::-1], CAFFE_RGB)):
        if np.allclose(channels, _OXFORD, rtol=0, atol=1e-3):
            return preprocessing
    return None


_TITLES = {"vgg16": "VGG-16"}
_FILES = {"vgg16": VGG16_FILES}

VGGS = tuple(
    VGG(name, _TITLES.get(name, name), stages, known_files=_FILES.get(name, ())) for name, stages in STAGES.items()
)
"""VGG-16, and narrow ones to experiment with."""
