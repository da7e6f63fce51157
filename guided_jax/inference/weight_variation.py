"""How much regressed weights vary with the support (paper 4.2: they can converge to constants).

What tells the labels of a task apart is measured, not the weights of each label: those of positives and negatives
differ from each other, and yet the network has collapsed where they are the same for every support.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class WeightSums(NamedTuple):
    """Sums over rows of regressed weights, of any number of tasks; they add up over batches and devices.

    Attributes:
        total: sum of the rows.
        squares: sum of the squares of their lengths.
        rows: number of rows, those of no guidance left out.
    """

    total: Float[Array, " p"]
    squares: Float[Array, ""]
    rows: Float[Array, ""]


def sum_weights(weights: Float[Array, "b r p"]) -> WeightSums:
    """Sums the weights of a batch, as the head gives them; a row of zeros, of no guidance, is left out."""
    guided = (weights != 0).any(-1).astype(jnp.float32)
    return WeightSums(weights.sum((0, 1)), jnp.sum(weights**2), guided.sum())


def weight_variation(sums: Sequence[WeightSums]) -> float:
    """Share in [0, 1] of the weights' mean square that is not the square of their mean.

    0: the same weights whatever the support, a collapse; 1: nothing in common. NaN of less than two rows, and
    where all weights are zero, as they are before the first update.
    """
    total = np.sum([each.total for each in sums], axis=0, dtype=np.float64)
    squares = float(np.sum([each.squares for each in sums], dtype=np.float64))
    rows = float(np.sum([each.rows for each in sums], dtype=np.float64))
    return float("nan") if rows < 2 or squares == 0 else max(0.0, 1 - float(total @ total) / rows / squares)
