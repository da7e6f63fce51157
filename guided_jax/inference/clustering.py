"""Several prototypes a label: k-means of the representations that stand for it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

ITERATIONS = 10


def k_means(
    values: Float[Array, "j c"], counts: Bool[Array, " j"], number: int
) -> tuple[Float[Array, "p c"], Bool[Array, " p"]]:
    """Centres of clusters by Lloyd's algorithm; the same for the same values, in whatever order and place they lie.

    It starts from the value that is farthest from the mean and then each time from that which is farthest from all
    starts (as k-means++ without chance). A cluster that loses its last value keeps its centre.

    Args:
        values: to be clustered; float32.
        counts: which of them count.
        number: of clusters.

    Returns:
        The centres, and which of them are any: as many as there are different values, `number` at most.
    """

    def squares(centre: Float[Array, " c"]) -> Float[Array, " j"]:
        return jnp.where(counts, ((values - centre[None]) ** 2).sum(-1), -1.0)

    mean = jnp.where(counts[:, None], values, 0.0).sum(0) / jnp.maximum(counts.sum(), 1).astype(jnp.float32)
    first = values[jnp.argmax(squares(mean))]
    starts, nearest, there = [first], squares(first), [counts.any()]
    for _ in range(number - 1):
        farthest = jnp.argmax(nearest)
        starts.append(values[farthest])
        there.append(nearest[farthest] > 0)
        nearest = jnp.minimum(nearest, squares(values[farthest]))
    exists = jnp.stack(there)

    def step(_, centres):
        products = jnp.einsum("jc,pc->jp", values, centres, precision=jax.lax.Precision.HIGHEST)
        distances = jnp.where(exists[None], (centres**2).sum(-1)[None] - 2 * products, jnp.inf)
        member = jax.nn.one_hot(jnp.argmin(distances, -1), number) * counts[:, None].astype(jnp.float32)
        sums = jnp.einsum("jp,jc->pc", member, values, precision=jax.lax.Precision.HIGHEST)
        sizes = member.sum(0)[:, None]
        return jnp.where(sizes > 0, sums / jnp.maximum(sizes, 1.0), centres)

    return jax.lax.fori_loop(0, ITERATIONS, step, jnp.stack(starts)), exists
