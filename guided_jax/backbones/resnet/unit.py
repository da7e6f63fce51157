"""ResNet as a backbone, and the published files of its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from guided_jax.backbones.backbone import Backbone, ReadLayers
from guided_jax.backbones.geometry import read_layers
from guided_jax.backbones.known_file import KnownFile
from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.backbones.resnet.geometry import ResNetGeometry
from guided_jax.backbones.resnet.layouts import to_layers
from guided_jax.backbones.resnet.trunk import EXPANSION, ResNetTrunk


@dataclass(frozen=True)
class ResNet(Backbone):
    """A ResNet of bottlenecks.

    Attributes:
        name: value of `model.backbone`.
        title: the published name.
        blocks: number of bottlenecks of each layer.
        width: channels of the stem.
        known_files: published files of its weights.
    """

    name: str
    title: str
    blocks: tuple[int, int, int, int]
    width: int = 64
    known_files: tuple[KnownFile, ...] = ()

    # torchvision's, and of all but a few of timm's.
    usual = TORCHVISION
    image_layer = "conv1"

    def trunk(self, dtype: DTypeLike, *, remat: bool = False) -> nn.Module:
        """The stem and its layers."""
        del remat
        return ResNetTrunk(self.blocks, self.width, jnp.dtype(dtype))

    def geometry(self, grid: str, stride: int, kernel: int, layers: str) -> ResNetGeometry:
        """One of two grids; see `guided_jax.backbones.resnet.geometry`."""
        return ResNetGeometry(grid, stride, kernel, read_layers(layers))

    def channels(self, geometry: ResNetGeometry) -> tuple[int, ...]:
        """Those of the layers that are read: 256, 512, 1024 and 2048 from a stem of 64."""
        return tuple(EXPANSION * self.width * 2 ** (tap.number - 1) for tap in geometry.taps)

    def read(self, arrays: Mapping[str, np.ndarray], path: Path) -> ReadLayers:
        """Reads weights with the names of torchvision, which timm has, too."""
        return ReadLayers(to_layers(arrays, path, self.blocks, self.width, self.name, self.title), "torchvision")


def _of_torchvision(title: str, version: int, short: str, file: str, megabytes: int) -> KnownFile:
    """A file of torchvision, whose name holds the beginning of its sha256."""
    checksum = file.removesuffix(".pth").rpartition("-")[2]
    source = f"torchvision's {title}, ImageNet V{version}"
    url = f"https://download.pytorch.org/models/{file}"
    return KnownFile(file, "sha256", checksum, TORCHVISION, source, short=short, url=url, megabytes=megabytes)


RESNETS = (
    ResNet(
        "resnet50",
        "ResNet-50",
        (3, 4, 6, 3),
        known_files=(
            _of_torchvision("ResNet-50", 1, "resnet50", "resnet50-0676ba61.pth", 103),
            _of_torchvision("ResNet-50", 2, "resnet50-v2", "resnet50-11ad3fa6.pth", 103),
        ),
    ),
    ResNet(
        "resnet101",
        "ResNet-101",
        (3, 4, 23, 3),
        known_files=(
            _of_torchvision("ResNet-101", 1, "resnet101", "resnet101-63fe2227.pth", 179),
            _of_torchvision("ResNet-101", 2, "resnet101-v2", "resnet101-cd907fc2.pth", 179),
        ),
    ),
    ResNet("resnet-tiny", "resnet-tiny", (1, 1, 1, 1), width=4),
)
"""ResNet-50 and -101, and a narrow one to experiment with."""
