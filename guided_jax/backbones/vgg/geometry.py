"""Where the cells of the feature grid lie in the image, for each way to make the grid.

Three grids, for a VGG of n stages with a 2x2 pooling behind each (full stride F = 2^n):

* `exact`: the reference's. Stride F; the first convolution is padded (by 81 for VGG-16), fc6 is not.
  Cell c is centred on pixel F c + F - 1/2, there are ceil(H / F) - 1 cells, H must exceed F.
* `dilated`: a stride of F / 2 or F / 4: the last poolings keep their window but move by one, and what
  follows is dilated. The kernels see what they see in `exact`, at more positions; the pretrained fc6 fits.
* `taps`: a stride of F, F / 2, F / 4, F / 8 or F / 16 from maps inside the trunk, without extra padding:
  fc6 on the coarsest map, 1x1 convolutions on the finer ones, summed on the finest. `layers` chooses among the
  stages whose maps are not finer than the grid; without it all of them are read.
"""

from dataclasses import dataclass

from guided_jax.backbones.geometry import Geometry, Tap, check_kernel

GRIDS = ("exact", "dilated", "taps")


@dataclass(frozen=True)
class VGGGeometry(Geometry):
    """Sizes and positions of everything between the image and the grid.

    Attributes:
        grid: `exact`, `dilated` or `taps`.
        stages: number of stages of the backbone, each of which ends in a pooling.
        stride: pixels between the cells of the feature grid.
        kernel: side of fc6's kernel, in cells of the map that it is applied to.
        layers: stages (1-based) whose maps are read, ascending; empty: all that the stride leaves.
    """

    grid: str
    stages: int
    stride: int
    kernel: int
    layers: tuple[int, ...] = ()

    def __post_init__(self):
        full = 2**self.stages
        allowed = {"exact": (full,), "dilated": (full // 2, full // 4), "taps": tuple(full // 2**i for i in range(5))}
        if self.grid not in allowed:
            raise ValueError(f"grid {self.grid!r} is not one of {', '.join(GRIDS)}")
        if self.stride not in allowed[self.grid] or self.stride < 2:
            raise ValueError(
                f"stride {self.stride} does not fit the grid {self.grid!r} of a backbone with {self.stages} stages: "
                f"choose one of {', '.join(str(s) for s in allowed[self.grid] if s > 1)}"
            )
        check_kernel(self.kernel)
        if wrong := [layer for layer in self.layers if layer not in self._readable]:
            having = ", ".join(map(str, self._readable)) or "none"
            raise ValueError(
                f"layer {wrong[0]} cannot be read on the grid {self.grid!r} of stride {self.stride}; there: {having}"
            )

    @property
    def _readable(self) -> tuple[int, ...]:
        if self.grid != "taps":
            return ()
        return tuple(stage for stage in range(1, self.stages + 1) if 2 ** (stage - 1) >= self.stride)

    def key(self) -> str:
        """As it was written when this was the only kind of backbone: caches of features go by it."""
        layers = f", layers={self.layers!r}" if self.layers else ""
        return f"Geometry(grid={self.grid!r}, stages={self.stages}, stride={self.stride}, kernel={self.kernel}{layers})"

    @property
    def fades(self) -> bool:
        """Not on the grid `taps`."""
        return self.grid != "taps"

    @property
    def full_stride(self) -> int:
        """Stride behind the last pooling."""
        return 2**self.stages

    @property
    def pad(self) -> int:
        """Padding of the first convolution: 81 for VGG-16 in its exact form."""
        if self.grid == "taps":
            return 1
        return 1 + self.full_stride * self.kernel // 2 - self.stride

    @property
    def neck_padding(self) -> int:
        """None where the first convolution has it."""
        return self.kernel // 2 if self.grid == "taps" else 0

    @property
    def neck_dilation(self) -> int:
        """That of what follows the last stage."""
        return self.dilation(self.stages + 1)

    @property
    def tap_stages(self) -> tuple[int, ...]:
        """Stages (1-based) whose maps the neck reads before their pooling, finest first; empty: the last pooling."""
        return self.layers or self._readable

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The maps of these stages."""
        return tuple(Tap(stage, 2 ** (stage - 1), (2 ** (stage - 1) - 1) / 2) for stage in self.tap_stages)

    @property
    def minimum_size(self) -> int:
        """Least side of an image in pixels that gives a grid of one cell."""
        return 1 if self.grid == "taps" else self.stride + 1

    def cells(self, pixels):
        """Number of cells along a side of `pixels` (an int or an integer array)."""
        up = -(-pixels // self.stride)
        return up if self.grid == "taps" else up - 1

    @property
    def first(self) -> float:
        """Pixel of the first cell's centre."""
        return (self.stride - 1) / 2 if self.grid == "taps" else self.stride - 0.5

    def stage_sizes(self, pixels) -> list:
        """Valid extent of the maps of each stage, before its pooling, then behind the last one."""
        size = pixels + 2 * (self.pad - 1)
        sizes = [size]
        for stage in range(1, self.stages + 1):
            if self.pool_stride(stage) == 2:
                size = -(-size // 2)
            sizes.append(size)
        return sizes

    def pool_stride(self, stage: int) -> int:
        """2, or 1 where dilation takes the pooling's place."""
        return 1 if self.grid == "dilated" and 2**stage > self.stride else 2

    def dilation(self, stage: int) -> int:
        """Dilation of the convolutions of a stage (1-based; `stages + 1` is fc6)."""
        return max(1, 2 ** (stage - 1) // self.stride) if self.grid == "dilated" else 1

    def tap_sizes(self, pixels) -> list:
        """Valid extent of each map that the trunk hands to the neck."""
        sizes = self.stage_sizes(pixels)
        return [sizes[stage - 1] for stage in self.tap_stages] or [sizes[-1]]
