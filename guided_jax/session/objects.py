"""The objects of a session, labels from 1 on that are named or annotated; and which of two sessions are the same."""

from collections.abc import Iterable, Mapping
from itertools import count

from guided_jax.episode import UNKNOWN
from guided_jax.inputs import MOST_LABELS, describe

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


class Labelled:
    """The part of a `Session` that knows its labels: how many there are, and which of them are objects."""

    def __init__(self, way: int):
        """No objects yet.

        Args:
            way: number of labels, the negative included; `add_object` may raise it.
        """
        self._first_way = way
        self._forget_all()

    def _forget_all(self) -> None:
        """Makes all as it was at first."""
        self._way, self._objects = self._first_way, {}

    @property
    def way(self) -> int:
        """Number of labels, the negative included."""
        return self._way

    @property
    def objects(self) -> dict[int, str]:
        """Names of the labels that were added as objects or annotated; "" of one that has no name."""
        return dict(sorted(self._objects.items()))

    def add_object(self, name: str = "") -> int:
        """Adds an object; no edit, so that `undo` leaves it.

        Args:
            name: that no other object has; by it `merge` and `load_annotations` know the object again.

        Returns:
            Its label: the smallest from 1 on that is no object yet. Where it is not below `way`, that grows.

        Raises:
            ValueError: another object has the name, or the model takes no more labels.
        """
        self._check_new(name)
        label = free_label(self._objects)
        self._grow(label + 1)
        self._objects[label] = name
        return label

    def rename_object(self, label: int, name: str) -> None:
        """Gives an object another name; no edit, so that `undo` leaves it.

        Args:
            label: of the object.
            name: that no other object has; "" takes its name away.

        Raises:
            ValueError: there is no such object, or another one has the name.
        """
        if label not in self._objects:
            there = ", ".join(map(str, self.objects)) or "none yet"
            raise ValueError(f"there is no object of the label {describe(label)}; there are: {there}")
        if name != self._objects[label]:
            self._check_new(name)
        self._objects[label] = name

    def _check_new(self, name: str) -> None:
        if not isinstance(name, str):
            raise ValueError(f"the name of an object is {describe(name)}; it must be a str")
        if name and name in self._objects.values():
            raise ValueError(f"there is an object {name!r} already; give another name")

    def _claim(self, labels: Iterable[int]) -> None:
        """Makes objects without a name of labels that are none."""
        for label in labels:
            self._objects.setdefault(label, "")

    def _add_matched(self, labels: Mapping[int, int], objects: Mapping[int, str]) -> None:
        """Adds their objects, each by its label here, where they are none yet."""
        self._grow(max(labels.values(), default=1) + 1)
        for label, new in labels.items():
            self._objects.setdefault(new, objects[label])

    def _match(self, theirs: Mapping[int, str]) -> dict[int, int]:
        """The label here of each of their objects; refused where the model does not take as many labels."""
        labels = match_objects(self._objects, theirs)
        self._check_way(max(self.way, max(labels.values(), default=1) + 1))
        return labels

    def _grow(self, way: int) -> None:
        """Raises the number of labels where it is below this one."""
        if way > self._way:
            self._check_way(way)
            self._way = way
            self._grown()

    def _check_way(self, way: int) -> None:
        """Raises ValueError where so many labels cannot be."""
        if way > MOST_LABELS:
            raise ValueError(f"way={way}: at most {MOST_LABELS} labels: they are uint8, and {UNKNOWN} is unknown")

    def _grown(self) -> None:
        """What follows from the number of labels is stale."""
