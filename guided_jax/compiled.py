"""Methods of a model, compiled and counted."""

from collections.abc import Callable

import flax.linen as nn
import jax


class CompiledMethod:
    """A function of a bound model under `jax.jit`, called with (variables, ...).

    Attributes:
        programs: number of programs compiled so far; the function itself runs once for each of them.
    """

    def __init__(self, model: nn.Module, method: Callable, *static: str):
        """Compiles nothing yet.

        Args:
            model: bound to the variables in each call.
            method: from (model, ...) to a pytree of arrays.
            static: names of keyword arguments that are no arrays; each combination of their values is a program.
        """
        self.programs = 0

        def count_and_apply(*args, **kwargs):
            self.programs += 1
            return model.apply(*args, method=method, **kwargs)

        self._call = jax.jit(count_and_apply, static_argnames=static)

    def __call__(self, *args, **kwargs):
        """What the method gives, on the model bound to the variables that come first."""
        return self._call(*args, **kwargs)
