"""Where the cells of a feature grid lie in the image: what every backbone tells of its own.

Cell c along a side is centred on pixel `first + stride * c`. A trunk gives one or several maps, each on a grid of its
own (`Tap`); the feature grid is that of the finest of them, or coarser grids are interpolated to it.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from guided_jax.resample import bilinear_weights, cell_centres


class Tap(NamedTuple):
    """A map that the trunk gives, as a grid over the image.

    Attributes:
        number: of the stage, layer or block behind which it is read; names the neck's layer for it (`tap4`).
        stride: pixels between its cells.
        first: pixel of its first cell's centre, from 0 to stride - 1.
    """

    number: int
    stride: int
    first: float

    def cells(self, pixels):
        """Number of cells along a side of `pixels` (an int or an integer array)."""
        return -(-pixels // self.stride)

    def centres(self, pixels: int) -> Float[np.ndarray, " n"]:
        """Positions of the cells along a side of `pixels`."""
        return cell_centres(self.cells(pixels), self.stride, self.first)


class Geometry(ABC):
    """Sizes and positions of everything between the image and the grid.

    A subclass is a frozen dataclass: geometries are compared, hashed and bound into compiled programs.

    Attributes:
        stride: pixels between the cells of the feature grid.
        kernel: side of fc6's kernel, in cells of the map that it is applied to (the last tap).
        fades: whether logits fade towards 0 beyond the outermost cells, as the reference's do; else the nearest
            value holds there.
        minimum_size: least side of an image in pixels that gives a grid of one cell.
        neck_padding: cells of zeros around the map that fc6 is applied to.
        neck_dilation: dilation of fc6.
    """

    stride: int
    kernel: int
    fades: bool = False
    minimum_size: int = 1
    neck_dilation: int = 1

    @property
    @abstractmethod
    def first(self) -> float:
        """Pixel of the first cell's centre."""

    @property
    @abstractmethod
    def taps(self) -> tuple[Tap, ...]:
        """The maps that the trunk gives, finest first, then in the order of the trunk; the last one goes to fc6.

        Empty where the trunk's only map lies on no grid of its own, so that fc6 must make the features of it.
        """

    @property
    def neck_padding(self) -> int:
        """As many as keep the number of cells."""
        return self.kernel // 2 * self.neck_dilation

    def key(self) -> str:
        """Text that is the same for equal maps of the trunk only: for cache keys. The weights are no part of it."""
        return repr(self)

    def cells(self, pixels):
        """Number of cells along a side of `pixels` (an int or an integer array)."""
        return -(-pixels // self.stride)

    def tap_sizes(self, pixels) -> list:
        """Valid extent of each map that the trunk hands to the neck, along a side of `pixels`."""
        return [tap.cells(pixels) for tap in self.taps]

    def centres(self, pixels: int) -> Float[np.ndarray, " n"]:
        """Positions of the cells along a side of `pixels`."""
        return cell_centres(self.cells(pixels), self.stride, self.first)

    def pixel_weights(self, pixels: int) -> Float[np.ndarray, "pixels n"]:
        """Bilinear weights between the pixels of a side and its cells."""
        return self.weights_at(np.arange(pixels, dtype=np.float64), pixels)

    def weights_at(self, positions: Float[np.ndarray, " n"], pixels: int) -> Float[np.ndarray, "n cells"]:
        """Bilinear weights between positions along a side of `pixels` and its cells."""
        return bilinear_weights(positions, self.centres(pixels), self.stride)


def check_kernel(kernel: int) -> None:
    """Raises ValueError where fc6's kernel has no middle."""
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"fc6's kernel must be odd, 1 or more, not {kernel}")


def read_layers(text: str) -> tuple[int, ...]:
    """The numbers of `model.layers`, as `3,4`, in ascending order; empty where the text is.

    Raises:
        ValueError: it is no list of whole numbers from 0 on, or names one twice.
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        raise ValueError(f"layers {text[:40]!r}: numbers with commas between them were expected, as 3,4")
    numbers = [int(part) for part in parts]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"layers {text[:40]!r}: names one of them twice")
    return tuple(sorted(numbers))
