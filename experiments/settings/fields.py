"""The tree of a `Config` as dotted names: their types, docs, values, and the way to JSON and back."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from experiments.settings.config import Config
from guided_jax.stored_config import FieldError, nearest, read_fields


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
    return read_fields(Config, values, where)


def read_stored(values: Any, where: str) -> Config:
    """The config of a nested dictionary that this version or an older one wrote; see `guided_jax.stored_config`.

    Args:
        values: of `config.json`, a result or an index.
        where: the file, for messages.

    Raises:
        FieldError: a field is unknown, ill-typed, or a float that is not finite.
    """
    return read_fields(Config, values, where, defaults=Config())


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
