"""What a traced function computes, read from its graph: nothing is computed."""

from collections.abc import Iterator
from functools import partial

import jax


def equations(function, *args, **static) -> list:
    """All equations of a function on arrays or on their shapes, those of inner functions too."""
    return list(_walk(jax.make_jaxpr(partial(function, **static))(*args)))


def named(found: list, name: str) -> list:
    return [each for each in found if each.primitive.name == name]


def _walk(graph) -> Iterator:
    for equation in graph.eqns:
        yield equation
        for value in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            if hasattr(value, "eqns"):
                yield from _walk(value)
