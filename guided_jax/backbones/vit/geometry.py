"""The grid of a vision transformer: a cell a patch, behind any of its blocks."""

from dataclasses import dataclass

from guided_jax.backbones.geometry import Geometry, Tap, check_kernel


@dataclass(frozen=True)
class ViTGeometry(Geometry):
    """The patches of an image; the last row and column may lie on it in part.

    Attributes:
        stride: side of a patch in pixels.
        kernel: side of fc6's kernel, in patches.
        depth: number of the transformer's blocks.
        layers: blocks (1-based) whose tokens are read, ascending; empty: the last one's.
    """

    stride: int
    kernel: int
    depth: int
    layers: tuple[int, ...] = ()

    def __post_init__(self):
        check_kernel(self.kernel)
        if wrong := [layer for layer in self.layers if not 1 <= layer <= self.depth]:
            raise ValueError(f"layer {wrong[0]}: this transformer has the blocks 1 to {self.depth}")

    @property
    def blocks(self) -> tuple[int, ...]:
        """Numbers, from 1, of the blocks that are read."""
        return self.layers or (self.depth,)

    @property
    def first(self) -> float:
        """The middle of the first patch."""
        return (self.stride - 1) / 2

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The tokens behind these blocks, all on the same grid."""
        return tuple(Tap(block, self.stride, self.first) for block in self.blocks)
