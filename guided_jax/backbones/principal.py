"""Principal directions of a trunk's features: few channels whose cosines are about those of many."""

import numpy as np
from jaxtyping import Float


def principal_directions(moment: Float[np.ndarray, "c c"], number: int) -> Float[np.ndarray, "c k"]:
    """Orthonormal directions along which vectors are longest in the mean square, the longest first.

    Not centred: it is the inner products that are to be kept, not the deviations from a mean. Of the default backbone's
    maps, scaled to unit length, 128 directions of 512 keep cosines to a correlation of 0.93.

    Args:
        moment: sum of the outer products of the vectors with themselves.
        number: of directions, at most c.

    Raises:
        ValueError: there are not so many directions.
    """
    if not 1 <= number <= len(moment):
        raise ValueError(f"{number} principal directions of {len(moment)} channels; there are 1 to {len(moment)}")
    vectors = np.linalg.eigh(moment.astype(np.float64))[1][:, ::-1][:, :number]
    # The sign of a direction is free, and libraries differ in it.
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(number)])
    return (vectors * signs).astype(np.float32)
