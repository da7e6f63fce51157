"""What the device can do at most: products of matrices, 3x3 convolutions, and copies, measured in this run.

    guided_jax benchmark roof [--workdir=DIR]

The greatest rate over a few sizes, on one device. The other benchmarks state how much of it they reach. A convolution's
operations are counted as two for each product of a weight and a value; where the compiler needs fewer (Winograd), its
rate can exceed that of matrix products.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmarks.command import define_result, open_result, write_result
from experiments.benchmarks.timing import milliseconds
from experiments.settings.command_flags import own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.help_texts import Command

COMMAND = Command("guided_jax benchmark roof", __doc__)

MATRICES = {"cpu": (1024, 2048), "other": (4096, 8192)}
"""Sides of the square matrices, by platform."""

CONVOLUTIONS = {"cpu": ((1, 96, 128, 128), (1, 48, 64, 256), (1, 48, 64, 512)), "other": ((8, 96, 128, 256),)}
"""Batch, height, width and channels of the maps that are convolved, as in VGG-16."""

BYTES = {"cpu": 2**28, "other": 2**30}
"""Size of what is copied, far beyond the caches."""


class Roof(NamedTuple):
    """The greatest rates of a device.

    Attributes:
        matmul: operations a second of a product of matrices, by data type.
        convolution: operations a second of a 3x3 convolution, by data type.
        bandwidth: bytes a second, read and written, of an element-wise operation.
    """

    matmul: dict[str, float]
    convolution: dict[str, float]
    bandwidth: float

    def of(self, dtype: str) -> float:
        """The greatest number of operations a second in a data type."""
        return max(self.matmul[dtype], self.convolution[dtype])


def measure_roof(dtypes: tuple[str, ...] = ("float32", "bfloat16"), repeats: int = 5) -> Roof:
    """Measures the first device.

    Args:
        dtypes: data types of the operands.
        repeats: timings of each operation; the fastest counts.
    """
    kind = "cpu" if jax.devices()[0].platform == "cpu" else "other"
    matmul, convolution = {}, {}
    for dtype in dtypes:
        matmul[dtype] = max(_matmul(side, dtype, repeats) for side in MATRICES[kind])
        convolution[dtype] = max(_convolution(shape, dtype, repeats) for shape in CONVOLUTIONS[kind])
    values = jnp.zeros(BYTES[kind] // 4, jnp.float32)
    seconds = _fastest(jax.jit(lambda x: x + 1), values, repeats=repeats)
    return Roof(matmul, convolution, 2 * values.nbytes / seconds)


def _matmul(side: int, dtype: str, repeats: int) -> float:
    values = jnp.ones((side, side), dtype)
    return 2 * side**3 / _fastest(jax.jit(jnp.matmul), values, values, repeats=repeats)


def _convolution(shape: tuple[int, int, int, int], dtype: str, repeats: int) -> float:
    maps, kernel = jnp.ones(shape, dtype), jnp.ones((3, 3, shape[-1], shape[-1]), dtype)
    convolve = jax.jit(
        lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    )
    return 2 * maps.size * 9 * shape[-1] / _fastest(convolve, maps, kernel, repeats=repeats)


def _fastest(function: Callable, *values: jax.Array, repeats: int) -> float:
    jax.block_until_ready(function(*values))  # compiles
    return min(milliseconds(lambda: jax.block_until_ready(function(*values))) for _ in range(repeats)) / 1000


def count_operations(traced: jax.stages.Traced) -> float:
    """Floating-point operations of a traced program as the compiler counts them; 0 where it does not.

    Lowered for another platform than a CPU, and not optimised: the compiler counts what stands in a loop once, and on a
    CPU gradients of kernels are loops (`guided_jax.layers.convolution`).
    """
    return (traced.lower(lowering_platforms=("tpu",)).cost_analysis() or {}).get("flops", 0.0)


def describe_roof(roof: Roof) -> str:
    """One line."""
    rates = [
        f"{dtype} {rate / 1e9:,.0f} GFLOP/s in matrices, {roof.convolution[dtype] / 1e9:,.0f} in 3x3 convolutions"
        for dtype, rate in roof.matmul.items()
    ]
    device = jax.devices()[0]
    return f"{device.device_kind} ({device.platform}): {'; '.join(rates)}; {roof.bandwidth / 1e9:,.0f} GB/s"


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    define_result(values, "roof")
    read_flags(argv, values, COMMAND)
    workdir = open_result(values)
    roof = measure_roof()
    print(describe_roof(roof))
    write_result(workdir, "roof", roof._asdict())


if __name__ == "__main__":
    sys.exit(start(main))
