"""The objects of a session, labels from 1 on that are named or annotated; and which of two sessions are the same."""

from collections.abc import Mapping
from itertools import count

Objects = Mapping[int, str]
"""Names by label; "" of one that was annotated and not named. No two have the same name."""


def free_label(objects: Objects) -> int:
    """The smallest label that is no object yet."""
    return next(label for label in count(1) if label not in objects)


def match_objects(mine: Objects, theirs: Objects) -> dict[int, int]:
    """Which label of mine each label of theirs is to be.

    Objects with a name are the same where their names are; objects without one, where their labels are. What is the
    same as none keeps its label where that is free, and else takes one that neither uses.
    """
    by_name = {name: label for label, name in mine.items() if name}
    found = {}
    for label, name in sorted(theirs.items()):
        if name in by_name:
            found[label] = by_name[name]
        elif label not in mine or (not name and not mine[label]):
            found[label] = label
        else:
            found[label] = free_label({**mine, **theirs, **dict.fromkeys(found.values(), "")})
    return found
