"""Scores of pixels from scores of cells, with the image as a guide: its edges are taken over.

The guided filter (He, Sun, Tang 2013, equations 14 to 16 and 19 for a colour guide): within every window the result is
an affine function of the image's colours, that which is nearest to the scores; where windows overlap, the mean of these
functions. In its fast form (He, Sun 2015): the functions are found on blocks of pixels, and applied to every pixel.

    guide = filter_guide(image, size)         # once an image
    planes = apply_filter(guide, coarse)      # as often as the scores change; linear in them

What lies on the padding of a canvas never counts, so that an image gives the same on any canvas.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from guided_jax.backbones.geometry import Geometry
from guided_jax.resample import interpolate, valid_cells

BLOCK = 4
"""Pixels a side of the blocks on which the affine functions are found."""

RADIUS = 12
"""Pixels from the centre of a window to its side; a multiple of `BLOCK`, or it is rounded down to one."""

EPSILON = 1e-3
"""Variance of colours in [0, 1] below which a window counts as flat, and the scores are only smoothed there."""


class FilterGuide(NamedTuple):
    """All of images that filtering needs, whatever the scores; on blocks, c the three colours.

    Attributes:
        pixels: the images as stored.
        size: true height and width in pixels.
        colours: mean colour of each block, in [0, 1]; 0 on the padding.
        means: mean colour of each window.
        inverse: of the regularised covariance of each window's colours: its entries rr, rg, rb, gg, gb, bb.
        share: one over the number of blocks of each window that lie on the image; 0 on the padding.
    """

    pixels: UInt8[Array, "b h w 3"]
    size: Int32[Array, "b 2"]
    colours: Float[Array, "b 3 n m"]
    means: Float[Array, "b 3 n m"]
    inverse: Float[Array, "b 6 n m"]
    share: Float[Array, "b 1 n m"]


PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The entries of a symmetric matrix of three rows that stand for all."""


def filter_guide(
    image: UInt8[Array, "b h w 3"],
    size: Int32[Array, "b 2"],
    *,
    radius: int = RADIUS,
    epsilon: float = EPSILON,
    block: int = BLOCK,
) -> FilterGuide:
    """What guides the filter: the statistics of the image's colours in every window.

    Args:
        image: RGB, 0 to 255.
        size: true height and width of each image in pixels; what lies beyond is padding.
        radius: of the windows in pixels.
        epsilon: added to the variance of colours in [0, 1].
        block: pixels a side of a block.

    Raises:
        ValueError: the radius is smaller than a block.
    """
    if radius < block:
        raise ValueError(f"a radius of {radius} pixels is less than a block of {block}; nothing would be smoothed")
    colours, inside = _block_means(image, size, block)
    reach = radius // block
    counts = box_sum(inside, reach)
    share = jnp.where(inside > 0, 1 / jnp.maximum(counts, 1), 0.0)
    means = box_sum(colours, reach) * share
    products = jnp.stack([colours[:, i] * colours[:, j] for i, j in PAIRS], 1)
    expected = jnp.stack([means[:, i] * means[:, j] for i, j in PAIRS], 1)
    covariance = box_sum(products, reach) * share - expected
    return FilterGuide(image, size, colours, means, _inverse(covariance, epsilon), share)


def apply_filter(
    guide: FilterGuide, scores: Float[Array, "b k n m"], *, radius: int = RADIUS, block: int = BLOCK
) -> Float[Array, "b k h w"]:
    """Filters scores of blocks, and gives them at every pixel; float32.

    An affine function of the image's colours stays what it is where `epsilon` is small, a constant in any case. It is
    linear: of scores to be compared, all but one may be filtered, after that one is subtracted.

    Args:
        guide: of `filter_guide`, with the same radius and block.
        scores: of blocks, as `to_blocks` gives them; those on the padding do not matter.
        radius: of the windows in pixels.
        block: pixels a side of a block.
    """
    reach = radius // block
    inside = (guide.share > 0)[:, :, None]
    scores = jnp.where(inside, scores.astype(jnp.float32)[:, :, None], 0.0)
    # [b, k, 4, n, m]: the scores, and the scores times each colour.
    terms = jnp.concatenate([scores, scores * guide.colours[:, None]], 2)
    terms = box_sum(terms, reach) * guide.share[:, None]
    mean, means = terms[:, :, 0], guide.means[:, None]
    covariance = terms[:, :, 1:] - mean[:, :, None] * means
    rr, rg, rb, gg, gb, bb = (guide.inverse[:, None, i] for i in range(6))
    red, green, blue = (covariance[:, :, i] for i in range(3))
    slopes = [
        rr * red + rg * green + rb * blue,
        rg * red + gg * green + gb * blue,
        rb * red + gb * green + bb * blue,
    ]
    offset = mean - sum(slope * means[:, :, i] for i, slope in enumerate(slopes))
    functions = jnp.where(inside, jnp.stack([*slopes, offset], 2), 0.0)
    functions = box_sum(functions, reach) * guide.share[:, None]
    return _evaluate(functions, guide.pixels, guide.size, block)


def filter_logits(guide: FilterGuide, logits: Float[Array, "b k h w"]) -> Float[Array, "b k h w"]:
    """Filters logits that were interpolated to pixels, by the guide of `filter_guide` with its usual sizes.

    Args:
        guide: of the same images.
        logits: at every pixel of the canvas; those on the padding do not matter.
    """
    h, w = logits.shape[2:]
    padding = ((0, 0), (0, 0), (0, -h % BLOCK), (0, -w % BLOCK))
    inside = valid_cells((h, w), guide.size)[:, None].astype(jnp.float32)

    def sums(planes):
        planes = jnp.pad(planes, padding)
        return planes.reshape(*planes.shape[:2], planes.shape[2] // BLOCK, BLOCK, -1, BLOCK).sum((3, 5))

    blocks = sums(logits.astype(jnp.float32) * inside) / jnp.maximum(sums(inside), 1.0)
    return apply_filter(guide, blocks)


def to_blocks(
    scores: Float[Array, "b k n m"],
    geometry: Geometry,
    canvas: tuple[int, int],
    size: Int32[Array, "b 2"],
    *,
    block: int = BLOCK,
) -> Float[Array, "b k n2 m2"]:
    """Interpolates scores of the cells of a grid to the centres of blocks, as a model's logits are to pixels.

    Args:
        scores: on the grid.
        geometry: where the cells lie.
        canvas: height and width of the canvas in pixels.
        size: true height and width of each image in pixels.
        block: pixels a side of a block.
    """
    centres = [block * np.arange(-(-side // block)) + (block - 1) / 2 for side in canvas]
    weights = (geometry.weights_at(each, side) for each, side in zip(centres, canvas, strict=True))
    return interpolate(scores, *weights, valid=geometry.cells(size)[:, None])


def box_sum(planes: Float[Array, "*b n m"], reach: int) -> Float[Array, "*b n m"]:
    """Sum over the square of 2 reach + 1 entries a side around each entry; beyond the border all is 0.

    By shifts: as exact as a sum is, and for the few entries of a window faster than differences of running sums.
    """
    for axis in (-2, -1):
        side = planes.shape[axis]
        padding = [(0, 0)] * planes.ndim
        padding[axis] = (reach, reach)
        padded = jnp.pad(planes, padding)
        axis = axis % planes.ndim
        planes = sum(padded[(slice(None),) * axis + (slice(shift, shift + side),)] for shift in range(2 * reach + 1))
    return planes


def _block_means(image, size, block):
    """Mean colours of blocks, in [0, 1], of their pixels on the image; and 1 for blocks that have any, else 0."""
    h, w = image.shape[1:3]
    n, m = -(-h // block), -(-w // block)
    inside = valid_cells((h, w), size)[:, None].astype(jnp.float32)
    planes = jnp.moveaxis(image, -1, 1).astype(jnp.float32) * np.float32(1 / 255) * inside
    padding = ((0, 0), (0, 0), (0, n * block - h), (0, m * block - w))

    def sums(values):
        return jnp.pad(values, padding).reshape(len(values), -1, n, block, m, block).sum((3, 5))

    pixels = sums(inside)
    return sums(planes) / jnp.maximum(pixels, 1), jnp.minimum(pixels, 1)


def _inverse(covariance: Float[Array, "b 6 n m"], epsilon: float) -> Float[Array, "b 6 n m"]:
    """Entries of the inverse of symmetric matrices of three rows, epsilon added on their diagonals."""
    rr, rg, rb, gg, gb, bb = (covariance[:, i] + (epsilon if i in (0, 3, 5) else 0.0) for i in range(6))
    cofactors = [gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb, rr * bb - rb * rb, rg * rb - rr * gb]
    cofactors.append(rr * gg - rg * rg)
    determinant = rr * cofactors[0] + rg * cofactors[1] + rb * cofactors[2]
    return jnp.stack(cofactors, 1) / determinant[:, None]


def _evaluate(functions, pixels, size, block):
    """The affine functions [b, k, 4, n, m] at every pixel: interpolated between blocks, and applied to its colour."""
    (b, k, _, n, _), (h, w) = functions.shape, pixels.shape[1:3]
    last = -(-size // block) - 1
    functions = jnp.stack(_between_blocks(functions, last[:, 1], block, 4), -1).reshape(b, k, 4, n, -1)[..., :w]
    colours = jnp.moveaxis(pixels, -1, 1).astype(jnp.float32) * np.float32(1 / 255)
    colours = jnp.pad(colours, ((0, 0), (0, 0), (0, n * block - h), (0, 0))).reshape(b, 1, 3, n, block, w)
    # A row of each block at a time: no index is computed, and all of it is one loop over the pixels.
    rows = [
        each[:, :, 3] + sum(each[:, :, i] * colours[:, :, i, :, offset] for i in range(3))
        for offset, each in enumerate(_between_blocks(functions, last[:, 0], block, 3))
    ]
    return jnp.stack(rows, -2).reshape(b, k, n * block, w)[:, :, :h]


def _between_blocks(values, last, block, axis):
    """Values of blocks at each of their pixels along an axis: between two centres linearly, beyond the outermost none.

    Args:
        values: of blocks, [b, ...].
        last: of each image, the number of its last block; those behind it are padding.
        block: pixels a side of a block.
        axis: of the blocks.
    """
    index = jax.lax.broadcasted_iota(jnp.int32, values.shape, axis)
    last = last.reshape(-1, *[1] * (values.ndim - 1))
    at_last = jnp.sum(jnp.where(index == last, values, 0.0), axis, keepdims=True)
    values = jnp.where(index <= last, values, at_last)
    ends = (1, 0), (0, 1)
    before, after = (_shift(values, each, axis) for each in ends)
    offsets = [(offset - (block - 1) / 2) / block for offset in range(block)]
    return [values * (1 - abs(part)) + (before if part < 0 else after) * abs(part) for part in offsets]


def _shift(values, ends, axis):
    """Values moved along an axis by one; the border's is repeated."""
    side = values.shape[axis]
    padded = jnp.pad(values, [ends if i == axis else (0, 0) for i in range(values.ndim)], mode="edge")
    return jax.lax.slice_in_dim(padded, ends[1], ends[1] + side, axis=axis)
