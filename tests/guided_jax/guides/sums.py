"""Sums and differences of guidance, by which the tests state that it is additive."""

import jax.numpy as jnp

from guided_jax.guides.guidance import Guidance


def add(guidance: Guidance, clicks: Guidance, pooling: str = "average") -> Guidance:
    """Guidance of two annotations of the same image together, from that of each; in any order."""
    join = jnp.maximum if pooling == "maximum" else jnp.add
    return guidance._replace(
        total=join(guidance.total, clicks.total),
        mass=guidance.mass + clicks.mass,
        points=guidance.points + clicks.points,
        weights=None if guidance.weights is None else guidance.weights + clicks.weights,
    )


def take_back(guidance: Guidance, clicks: Guidance) -> Guidance:
    """Undoes `add` (of `pooling=average`), to rounding; a label whose last point goes is exactly unannotated.

    To the rounding of the largest sum it has held: after a dense annotation is taken back, a click on the image's
    border, whose mass is small, may be lost in it.
    """
    negative = clicks._replace(
        total=-clicks.total,
        mass=-clicks.mass,
        points=-clicks.points,
        weights=None if clicks.weights is None else -clicks.weights,
    )
    return add(guidance, negative)
