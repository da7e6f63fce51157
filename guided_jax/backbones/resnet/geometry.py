"""Where the cells of ResNet's grids lie in the image.

Its layers 1 to 4 have strides of 4, 8, 16 and 32. Every strided step reads an odd window around every second cell, so
that cell c of stride s is centred on pixel s c, and there are ceil(side / s) of them. Two grids:

* `taps`: a stride of 32, 16, 8 or 4; the maps of all layers that are not finer, interpolated to the finest.
* `dilated`: a stride of 16 or 8; later layers keep it and dilate their 3x3 convolutions instead, as torchvision's
  `replace_stride_with_dilation`. The map of layer 4 alone, unless `layers` names others that are not finer.
"""

from dataclasses import dataclass

from guided_jax.backbones.geometry import Geometry, Tap, check_kernel

STRIDES = {1: 4, 2: 8, 3: 16, 4: 32}
"""Of the layers, without dilation."""

GRIDS = {"dilated": (16, 8), "taps": (32, 16, 8, 4)}
"""The strides that each grid can have."""


@dataclass(frozen=True)
class ResNetGeometry(Geometry):
    """Sizes and positions of everything between the image and the grid.

    Attributes:
        grid: `dilated` or `taps`.
        stride: pixels between the cells of the feature grid.
        kernel: side of fc6's kernel, in cells of the map that it is applied to.
        layers: numbers of the layers whose maps are read, ascending; empty: the usual ones of the grid.
    """

    grid: str
    stride: int
    kernel: int
    layers: tuple[int, ...] = ()

    def __post_init__(self):
        if self.grid not in GRIDS:
            raise ValueError(f"grid {self.grid!r} is not one of {', '.join(GRIDS)}, which a ResNet has")
        if self.stride not in GRIDS[self.grid]:
            having = ", ".join(map(str, GRIDS[self.grid]))
            raise ValueError(f"stride {self.stride} does not fit the grid {self.grid!r} of a ResNet: choose {having}")
        check_kernel(self.kernel)
        readable = [number for number, stride in STRIDES.items() if stride >= self.stride]
        if wrong := [number for number in self.layers if number not in readable]:
            having = ", ".join(map(str, readable))
            raise ValueError(f"layer {wrong[0]} cannot be read on a grid of stride {self.stride}; there: {having}")

    def stride_of(self, number: int) -> int:
        """Pixels between the cells of a layer's map."""
        return min(STRIDES[number], self.stride) if self.grid == "dilated" else STRIDES[number]

    def dilation_of(self, number: int) -> int:
        """Dilation of a layer's 3x3 convolutions, its first block aside, which has that of the layer before."""
        return STRIDES[number] // self.stride_of(number)

    @property
    def first(self) -> float:
        """Pixel of the first cell's centre."""
        return 0.0

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The maps of the layers that are read, finest first."""
        usual = (4,) if self.grid == "dilated" else (n for n, stride in STRIDES.items() if stride >= self.stride)
        return tuple(Tap(number, self.stride_of(number), 0.0) for number in self.layers or usual)

    @property
    def neck_dilation(self) -> int:
        """That of the layer that fc6 reads, so that fc6 sees what it sees without dilation."""
        return self.dilation_of(self.taps[-1].number)

    def key(self) -> str:
        """What the maps depend on: the layers that are read, and how far apart their cells are."""
        return "resnet " + " ".join(f"layer{tap.number}/{tap.stride}" for tap in self.taps)
