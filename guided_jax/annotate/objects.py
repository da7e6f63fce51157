"""How the page shows objects: colours, what is hidden or locked, and what names may be."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from guided_jax.inputs import describe

COLOURS = ("#2f81f7", "#f0883e", "#3fb950", "#db61a2", "#a371f7", "#e3b341", "#39c5cf", "#f85149", "#8ddb8c", "#b08968")
"""Of the first objects, in turn."""

LONGEST_NAME = 80
"""Characters in the name of an object."""


class Shown(NamedTuple):
    """An object as the page shows it.

    Attributes:
        colour: as `#rrggbb`.
        hidden: whether its mask is not drawn.
        locked: whether its annotation is kept as it is.
        deleted: whether it was deleted; it is there again while it has marks, after an undo.
    """

    colour: str
    hidden: bool = False
    locked: bool = False
    deleted: bool = False


def first_look(label: int) -> Shown:
    """Of an object that nobody has changed yet."""
    return Shown(COLOURS[(label - 1) % len(COLOURS)])


def change_look(shown: Shown, changes: Mapping[str, Any]) -> Shown:
    """An appearance with other values of colour, hidden or locked.

    Raises:
        ValueError: one of them is none.
    """
    changed = {"colour": shown.colour, "hidden": shown.hidden, "locked": shown.locked, **changes}
    colour, hidden, locked = changed["colour"], changed["hidden"], changed["locked"]
    if not (isinstance(colour, str) and re.fullmatch(r"#[0-9a-f]{6}", colour)):
        raise ValueError(f"the colour {describe(colour)} is none; one is written #rrggbb")
    if type(hidden) is not bool or type(locked) is not bool or len(changed) > 3:
        raise ValueError("an object has the fields name, colour, hidden and locked")
    return shown._replace(**changed)


def check_object_name(name: Any) -> str:
    """The name of an object, as it may be shown; "" is none yet.

    Raises:
        ValueError: it is no such text.
    """
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not (name.isprintable() and name == name.strip()):
        raise ValueError(f"the name {describe(name)} is none; it must be a text of at most {LONGEST_NAME} characters")
    return name
