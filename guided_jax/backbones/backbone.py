"""A backbone as one unit: all that the rest of the project asks of an encoder of images.

`guided_jax.backbones.table.BACKBONES` has one by each name of `model.backbone`. A family of networks is a folder here
with a subclass of `Backbone`, and its rows in that table; nothing outside the folder names it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Float32

from guided_jax.backbones.geometry import Geometry
from guided_jax.backbones.known_file import KnownFile
from guided_jax.backbones.preprocessing import Preprocessing

Layers = dict[str, dict[str, Float32[np.ndarray, "..."]]]
"""Arrays as the trunk's parameters hold them: by the layer's path in the trunk (`layer1_0/conv1`; empty for parameters
of the trunk itself), then by the parameter's name (`kernel`, `bias`). `fc6` and `fc7`, where a file has them, are those
of the neck and of the head, as convolutions."""


class ReadLayers(NamedTuple):
    """The arrays of a file of weights, understood.

    Attributes:
        layers: in the common form, float32.
        layout: whose names the file has, for messages: `torchvision`, `timm`.
        preprocessing: of the images, where the arrays or their names tell it.
    """

    layers: Layers
    layout: str
    preprocessing: Preprocessing | None = None


class Backbone(ABC):
    """An encoder: its trunk, the geometry of its grids, what it expects of images, and the files of its weights.

    A subclass is a frozen dataclass; its methods are pure.

    Attributes:
        name: value of `model.backbone`.
        title: the published name, for messages.
        known_files: published files of its weights.
        usual: preprocessing that its weights expect where neither their file nor the user says so; None: ask.
        image_layer: the layer that reads the image. Its kernel's input axis is the last but one; early fusion by
            stacking adds channels there, each of which gets the mean of the file's three.
        no_stack: the reason why channels beside the image's can mean nothing to it, so that `model.fusion=stack` is
            refused; empty: they can.
        usual_stride: stride of the grid `taps` at which its own maps are compared without training.
        remats: whether its trunk has blocks that the gradient can compute again (`model.remat`).
    """

    name: str
    title: str
    known_files: tuple[KnownFile, ...] = ()
    usual: Preprocessing | None = None
    image_layer: str = ""
    no_stack: str = ""
    usual_stride: int = 16
    remats: bool = False

    @abstractmethod
    def trunk(self, dtype: DTypeLike, *, remat: bool = False) -> nn.Module:
        """A new trunk that computes in `dtype`; its parameters are float32 and the same on every grid.

        With `remat`, which is for backbones that `remats` alone, the gradient computes what lies inside a block again.

        It is called as `trunk(image, size, geometry)`, with normalised images [b, h, w, 3] (or more channels, under
        early fusion) on a canvas, their true heights and widths int32 [b, 2], and a geometry of this backbone. It
        gives the maps of `geometry.taps` as a tuple of [b, n, m, c], 0 on the padding. What lies on the padding of the
        canvas, and how large it is, must change nothing: the maps are those of each image alone.
        """

    @abstractmethod
    def geometry(self, grid: str, stride: int, kernel: int, layers: str) -> Geometry:
        """The geometry of one of its grids.

        Args:
            grid: `exact`, `dilated` or `taps`, of which a backbone need not have all. Where it has one only, `taps`.
            stride: pixels between the cells of the feature grid.
            kernel: side of fc6's kernel.
            layers: which maps of the trunk are read, as `guided_jax.backbones.geometry.read_layers` takes them;
                empty: the usual ones of the grid.

        Raises:
            ValueError: there is no such grid; with those that there are.
        """

    @abstractmethod
    def channels(self, geometry: Geometry) -> tuple[int, ...]:
        """Channels of each map that the trunk gives on a grid, in their order."""

    @abstractmethod
    def read(self, arrays: Mapping[str, np.ndarray], path: Path) -> ReadLayers:
        """Brings the arrays of a file, in any layout in which the weights are published, to the common form.

        Args:
            arrays: as the file names them (`guided_jax.backbones.weight_files`).
            path: of the file, for errors.

        Raises:
            WeightsError: they are not those of this very backbone.
        """
