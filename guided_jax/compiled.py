"""Methods of a model, compiled and counted."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax


class CompiledFunction:
    """A function under `jax.jit`.

    Attributes:
        programs: number of programs compiled so far; the function itself runs once for each of them.
    """

    def __init__(self, function: Callable, *static: str):
        """Compiles nothing yet.

        Args:
            function: gives a pytree of arrays.
            static: names of keyword arguments that are no arrays; each combination of their values is a program.
        """
        self.programs = 0

        def count_and_call(*args, **kwargs):
            self.programs += 1
            return function(*args, **kwargs)

        self._call = jax.jit(count_and_call, static_argnames=static)

    def __call__(self, *args, **kwargs):
        """What the function gives."""
        return self._call(*args, **kwargs)


class CompiledMethod(CompiledFunction):
    """A function of a bound model under `jax.jit`, called with (variables, ...)."""

    def __init__(self, model: nn.Module, method: Callable, *static: str):
        """Compiles nothing yet.

        Args:
            model: bound to the variables in each call.
            method: from (model, ...) to a pytree of arrays.
            static: as of `CompiledFunction`.
        """
        super().__init__(partial(model.apply, method=method), *static)
