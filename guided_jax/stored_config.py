"""Configurations as JSON holds them, also those that an older version wrote: one rule, of a model and of a whole run.

A field that came later than the file has its default, which always means what was there before. A field that there is
no more is refused by name, for the file means something that this version cannot do.
"""

import difflib
import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig

T = TypeVar("T")


class FieldError(ValueError):
    """A field that is unknown, missing or ill-typed."""


def read_fields(kind: type[T], values: Any, where: str, *, prefix: str = "", defaults: T | None = None) -> T:
    """The dataclass of a nested dictionary, as `dataclasses.asdict` gives.

    An int is taken for a float, and becomes one.

    Args:
        kind: the dataclass; its fields are int, float, bool, str, or such dataclasses.
        values: from JSON.
        where: the source of the values, for messages.
        prefix: of the fields' names in messages, as `model.`.
        defaults: of the fields that are missing; None: every field must be there.

    Raises:
        FieldError: a field is unknown, missing, ill-typed, or a float that is not finite.
    """
    if not isinstance(values, dict):
        raise FieldError(f"{where}: {prefix.rstrip('.') or 'it'} must be a group of fields, not {values!r}")
    types = {field.name: field.type for field in fields(kind)}
    for name in values:
        if name not in types:
            raise FieldError(f"{where}: no field is called {prefix}{name}{nearest(name, types)}")
    built = {}
    for name, expected in types.items():
        if name not in values and defaults is None:
            raise FieldError(f"{where}: the field {prefix}{name} is missing")
        if is_dataclass(expected):
            inner = None if defaults is None else getattr(defaults, name)
            built[name] = read_fields(expected, values.get(name, {}), where, prefix=f"{prefix}{name}.", defaults=inner)
            continue
        value = values[name] if name in values else getattr(defaults, name)
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise FieldError(f"{where}: {prefix}{name}={value!r} is not of type {expected.__name__}")
        if expected is float and not math.isfinite(value):
            raise FieldError(f"{where}: {prefix}{name}={value} is not a finite number")
        built[name] = value
    return kind(**built)


def read_model_config(values: Any, where: str) -> ModelConfig:
    """The model's configuration of a nested dictionary that this version or an older one wrote.

    Args:
        values: from JSON.
        where: the source of the values, for messages.

    Raises:
        FieldError: a field is unknown or ill-typed.
        ValueError: the fields make no model.
    """
    config = read_fields(ModelConfig, values, where, prefix="model.", defaults=ModelConfig())
    try:
        check_model(config)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return config


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean A or B?` with the names that are most like a misspelt one, or nothing."""
    names = list(names)
    last = name.rpartition(".")[2]
    lasts = [candidate.rpartition(".")[2] for candidate in names]
    alike = difflib.get_close_matches(last, dict.fromkeys(lasts), n=2, cutoff=0.8)
    close = [candidate for match in alike for candidate, end in zip(names, lasts, strict=True) if end == match]
    close.sort(key=lambda candidate: -difflib.SequenceMatcher(None, candidate, name).ratio())
    close = (close or difflib.get_close_matches(name, names, n=2))[:3]
    return f"; did you mean {' or '.join(close)}?" if close else ""
