"""How much regressed weights vary with the support (paper 4.2: they can converge to constants)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class WeightSums(NamedTuple):
    """Sums over rows of regressed weights, of any number of tasks; they add up over batches and devices.

    Attributes:
        total: of the weights.
        squares: of their squared lengths.
        rows: their number.
    """

    total: Float[Array, " p"]
    squares: Float[Array, ""]
    rows: Float[Array, ""]


def sum_weights(weights: Float[Array, "b r p"]) -> WeightSums:
    """Sums the weights of a batch; a row of zeros, of a label or a cell without guidance, is left out."""
    annotated = (weights != 0).any(-1).astype(jnp.float32)
    return WeightSums(weights.sum((0, 1)), jnp.sum(weights**2), annotated.sum())


def weight_variation(sums: Sequence[WeightSums]) -> float:
    """Share in [0, 1] of the weights' mean square that is not the square of their mean.

    0: the same weights whatever the support, a collapse; 1: nothing in common. NaN where all weights are zero, as
    they are before the first update.
    """
    total = np.sum([each.total for each in sums], axis=0, dtype=np.float64)
    squares = float(np.sum([each.squares for each in sums], dtype=np.float64))
    rows = float(np.sum([each.rows for each in sums], dtype=np.float64))
    return float("nan") if squares == 0 else max(0.0, 1 - float(total @ total) / rows / squares)
