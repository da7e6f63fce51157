"""What a JSON file must hold, checked where it enters: a damaged file is not to look like a fault of the code."""

from types import NoneType
from typing import Any

EACH = "*"
"""As a key of a shape: every entry, whatever its name."""

SCORE = (int, float, NoneType)
"""A number, or null where there was nothing to measure."""

Shape = type | tuple[type, ...] | list | dict[str, Any]
"""What a value must be.

A type or several: an instance of one. A list of one shape: a list of such values. A dict: a dict that has these keys,
each with a value of its shape; a key that ends in `?` may be missing, or null.
"""


def find_fault(value: Any, shape: Shape, where: str = "") -> str | None:
    """The first thing that a value lacks of a shape, as `scores.5.pos_iu: is missing`; None where it lacks nothing.

    Args:
        value: from a JSON file.
        shape: what it must be.
        where: the value's place in the file, for the message.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return _say(where, "is no object")
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if key == EACH:
                pairs = list(value.items())
            elif name in value and not (name != key and value[name] is None):
                pairs = [(name, value[name])]
            elif name == key:
                return _say(_join(where, name), "is missing")
            else:
                pairs = []
            if fault := _first([find_fault(each, inner, _join(where, part)) for part, each in pairs]):
                return fault
        return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _say(where, "is no list")
        return _first([find_fault(each, shape[0], _join(where, str(i))) for i, each in enumerate(value)])
    return None if isinstance(value, shape) else _say(where, f"is {value!r:.40}")


def _say(where: str, what: str) -> str:
    return f"{where}: {what}" if where else what


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _first(faults: list[str | None]) -> str | None:
    return next((fault for fault in faults if fault), None)
