"""Vision transformers as backbones: a row for each of DINOv2 and DINOv3."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict
from jax.typing import DTypeLike

from guided_jax.backbones.backbone import Backbone, Layers, ReadLayers
from guided_jax.backbones.geometry import read_layers
from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.backbones.vit.architecture import VITS, Architecture
from guided_jax.backbones.vit.geometry import ViTGeometry
from guided_jax.backbones.vit.layouts import layout_of, to_trunk
from guided_jax.backbones.vit.trunk import Trunk


@dataclass(frozen=True)
class ViT(Backbone):
    """A vision transformer.

    Attributes:
        name: value of `model.backbone`.
        title: the published name.
        architecture: what it is.
    """

    name: str
    title: str
    architecture: Architecture

    # Mean and deviation of ImageNet, on which both were normalised.
    usual = TORCHVISION
    image_layer = "patches"
    no_stack = (
        "a vision transformer's patches have a pretrained meaning for the image's three channels alone; "
        "set model.fusion=late, or a convolutional backbone"
    )
    remats = True

    @property
    def usual_stride(self) -> int:
        """The patch."""
        return self.architecture.patch

    def trunk(self, dtype: DTypeLike, *, remat: bool = False) -> nn.Module:
        """Its patches and blocks."""
        return Trunk(self.architecture, remat, dtype)

    def geometry(self, grid: str, stride: int, kernel: int, layers: str) -> ViTGeometry:
        """The grid of its patches, which is called `taps`."""
        patch = self.architecture.patch
        if grid != "taps" or stride != patch:
            raise ValueError(
                f"grid {grid!r} with stride {stride}: {self.name} has the grid of its patches alone: set "
                f"model.grid=taps and model.stride={patch}"
            )
        return ViTGeometry(patch, kernel, self.architecture.depth, read_layers(layers))

    def channels(self, geometry: ViTGeometry) -> tuple[int, ...]:
        """The width, for every block that is read."""
        return (self.architecture.width,) * len(geometry.blocks)

    def read(self, arrays: Mapping[str, np.ndarray], path: Path) -> ReadLayers:
        """Reads weights with the names of Meta, Hugging Face or timm; see `guided_jax.backbones.vit.layouts`."""
        layers: Layers = {}
        for (*layer, part), value in flatten_dict(to_trunk(arrays, path, self.architecture)).items():
            layers.setdefault("/".join(layer), {})[part] = value
        return ReadLayers(layers, layout_of(arrays))


def _title(name: str, a: Architecture) -> str:
    if "tiny" in name:
        return name
    registers = " with registers" if name.endswith("-registers") else ""
    return f"{a.family} ViT-{name.split('-')[1].upper()}/{a.patch}{registers}"


TRANSFORMERS = tuple(ViT(name, _title(name, a), a) for name, a in VITS.items())
"""DINOv2 with and without registers, DINOv3, and narrow ones to experiment with."""
