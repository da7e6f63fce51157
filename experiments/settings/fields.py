"""The tree of a `Config` as dotted names: their types, docs, values, and the way to JSON and back."""

import difflib
import inspect
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from experiments.settings.config import Config


class FieldError(ValueError):
    """A field that is unknown, missing or ill-typed."""


def field_types(config: type) -> dict[str, type]:
    """The type of every leaf by its dotted name, as `train.steps`."""
    types = {}
    for field in fields(config):
        if is_dataclass(field.type):
            types.update({f"{field.name}.{name}": kind for name, kind in field_types(field.type).items()})
        else:
            types[field.name] = field.type
    return types


def to_dict(config: Config) -> dict[str, Any]:
    """The nested dictionary of a config."""
    return asdict(config)


def from_dict(values: dict[str, Any], where: str = "config") -> Config:
    """The config of a nested dictionary.

    An int is taken for a float, and becomes one.

    Args:
        values: as `to_dict` gives.
        where: the source of the values, for messages.

    Raises:
        FieldError: a field is unknown, missing, ill-typed, or a float that is not finite.
    """
    return _build(Config, values, where, "")


def _build(kind: type, values: Any, where: str, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise FieldError(f"{where}: {prefix.rstrip('.') or 'it'} must be a group of fields, not {values!r}")
    types = {field.name: field.type for field in fields(kind)}
    for name in values:
        if name not in types:
            raise FieldError(f"{where}: no field is called {prefix}{name}{nearest(name, types)}")
    built = {}
    for name, expected in types.items():
        if name not in values:
            raise FieldError(f"{where}: the field {prefix}{name} is missing")
        value = values[name]
        if is_dataclass(expected):
            built[name] = _build(expected, value, where, f"{prefix}{name}.")
            continue
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise FieldError(f"{where}: {prefix}{name}={value!r} is not of type {expected.__name__}")
        if expected is float and not math.isfinite(value):
            raise FieldError(f"{where}: {prefix}{name}={value} is not a finite number")
        built[name] = value
    return kind(**built)


def with_overrides(config: Config, overrides: Mapping[str, Any], where: str = "override") -> Config:
    """A copy of a config with other values of some leaves, by dotted name.

    Args:
        config: stays as it is.
        overrides: as `{"train.steps": 100}`.
        where: the source of the overrides, for messages.

    Raises:
        FieldError: there is no such leaf, or the value is of another type.
    """
    values, types = to_dict(config), field_types(type(config))
    for name, value in overrides.items():
        if name not in types:
            raise FieldError(f"{where}: no field is called {name}{nearest(name, types)}")
        *groups, leaf = name.split(".")
        group = values
        for each in groups:
            group = group[each]
        group[leaf] = value
    return from_dict(values, where)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested dictionary by their dotted names."""
    flat = {}
    for name, value in values.items():
        flat.update(flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat


def differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The dotted names of the leaves in which two nested dictionaries differ."""
    a, b = flatten(before), flatten(now)
    absent = object()
    return [name for name in {**b, **a} if a.get(name, absent) != b.get(name, absent)]


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The leaves in which two nested dictionaries differ, as `train.steps: 10 (workdir) != 20 (now)`."""
    a, b = flatten(before), flatten(now)

    def shown(values: dict[str, Any], name: str) -> str:
        return repr(values[name]) if name in values else "absent"

    return [f"{name}: {shown(a, name)} (workdir) != {shown(b, name)} (now)" for name in differing(before, now)]


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


def describe_fields(config: Config) -> str:
    """Every field with its value, type and documentation, for a terminal."""
    values = flatten(to_dict(config))
    types = field_types(type(config))
    docs = _field_docs(type(config))
    return "\n".join(
        f"--config.{name}={values[name]}\n    {kind.__name__}: {docs.get(name, '')}" for name, kind in types.items()
    )


def _field_docs(kind: type) -> dict[str, str]:
    """The docs of the leaves by dotted name, from the `Attributes:` of the docstrings."""
    section = inspect.getdoc(kind).partition("\nAttributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    texts = {name: " ".join(text.split()) for name, text in entries}
    docs = {}
    for field in fields(kind):
        if is_dataclass(field.type):
            docs.update({f"{field.name}.{name}": text for name, text in _field_docs(field.type).items()})
        else:
            docs[field.name] = texts.get(field.name, "")
    return docs
