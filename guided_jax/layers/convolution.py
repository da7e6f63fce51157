"""Convolutions of large maps, the gradient of whose kernel is fast on a CPU, too.

XLA takes that gradient for a convolution by a kernel as large as the image, for which its CPU has no fast program: at
128 channels on 188x250 pixels it takes nine times as long as the convolution itself. On a CPU it is computed here as a
matrix product for each position of the kernel, summed over bands of a few rows, which the caches hold. For small maps,
where XLA is as fast, and on other devices it is XLA's own.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

BAND = 4
"""Rows whose products are summed at a time."""

LARGE = 4096
"""Pixels of a map from which on bands are faster."""

NHWC = ("NHWC", "HWIO", "NHWC")

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(
    maps: Float[Array, "b n m c"],
    kernel: Float[Array, "kn km _ d"],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    rhs_dilation: Sequence[int],
    **options,
) -> Float[Array, "b n2 m2 d"]:
    """What `jax.lax.conv_general_dilated` gives, for the convolutions of flax (`nn.Conv.conv_general_dilated`).

    Args:
        maps: what is convolved.
        kernel: of the same type.
        window_strides: as in `jax.lax`; with any but 1 the gradient is XLA's own.
        padding: rows before and after, columns before and after; with a word of `jax.lax` the gradient is XLA's own.
        rhs_dilation: of the kernel.
        **options: the others of `jax.lax`, which flax gives, axes as in `NHWC`; with groups, or dilated maps, the
            gradient is XLA's own.
    """
    plain = options.get("feature_group_count", 1) == 1 and set(options.get("lhs_dilation") or (1,)) == {1}
    plain = plain and set(window_strides) == {1} and not isinstance(padding, str)
    if not plain or maps.shape[1] * maps.shape[2] < LARGE:
        return lax.conv_general_dilated(maps, kernel, window_strides, padding, rhs_dilation=rhs_dilation, **options)
    (top, bottom), (left, right) = padding
    return _convolve(maps, kernel, ((top, bottom), (left, right)), tuple(rhs_dilation))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(maps, kernel, padding: Padding, dilation: tuple[int, int]):
    return lax.conv_general_dilated(maps, kernel, (1, 1), padding, rhs_dilation=dilation, dimension_numbers=NHWC)


def _forward(maps, kernel, padding: Padding, dilation: tuple[int, int]):
    return _convolve(maps, kernel, padding, dilation), (maps, kernel)


def _backward(padding: Padding, dilation: tuple[int, int], kept, gradient):
    maps, kernel = kept
    plain = partial(_convolve.fun, padding=padding, dilation=dilation)
    (of_maps,) = jax.vjp(lambda maps: plain(maps, kernel), maps)[1](gradient)
    of_kernel = lax.platform_dependent(
        maps,
        gradient,
        cpu=lambda maps, gradient: _in_bands(maps, gradient, kernel.shape[:2], padding, dilation).astype(kernel.dtype),
        default=lambda maps, gradient: jax.vjp(lambda kernel: plain(maps, kernel), kernel)[1](gradient)[0],
    )
    return of_maps, of_kernel


_convolve.defvjp(_forward, _backward)


def _in_bands(
    maps: Float[Array, "b n m c"],
    gradient: Float[Array, "b n2 m2 d"],
    size: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int],
) -> Float[Array, "kn km c d"]:
    """Gradient of the kernel, in float32, by bands of rows of the result's gradient."""
    rows, columns, width = *gradient.shape[1:3], gradient.shape[3]
    bands = -(-rows // BAND)
    (top, bottom), sides = padding
    filled = bands * BAND - rows
    maps = jnp.pad(maps, ((0, 0), (top, bottom + filled), sides, (0, 0)))
    gradient = jnp.pad(gradient, ((0, 0), (0, filled), (0, 0), (0, 0)))
    places = [
        (i, j)
        for i in range(0, size[0] * dilation[0], dilation[0])
        for j in range(0, size[1] * dilation[1], dilation[1])
    ]

    def add(total, row):
        near = lax.dynamic_slice_in_dim(maps, row, BAND + dilation[0] * (size[0] - 1), 1)
        band = lax.dynamic_slice_in_dim(gradient, row, BAND, 1).reshape(-1, width)
        seen = (near[:, i : i + BAND, j : j + columns].reshape(len(band), -1) for i, j in places)
        products = [jnp.einsum("pc,pd->cd", each, band, preferred_element_type=jnp.float32) for each in seen]
        return total + jnp.stack(products), None

    start = jnp.zeros((len(places), maps.shape[3], width), jnp.float32)
    total, _ = lax.scan(add, start, BAND * jnp.arange(bands))
    return total.reshape(*size, *total.shape[1:])
