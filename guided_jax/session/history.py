"""What was edited and what was taken back, as a value: undo and redo of a whole session, or of one image alone.

Images do not depend on each other: the marks of each follow from its own edits, so that one image's last edit can be
taken back from beneath another's.
"""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from guided_jax.session.edits import Edit


class Step(NamedTuple):
    """An edit of an image.

    Attributes:
        number: of the step; edits of several images that were made at once share it.
        name: of the image.
        edit: of its marks.
    """

    number: int
    name: Hashable
    edit: Edit


class History(NamedTuple):
    """The edits of a session.

    Attributes:
        done: in the order of their numbers.
        undone: what was taken back, the steps of an undo together, the last undo last.
    """

    done: tuple[Step, ...] = ()
    undone: tuple[tuple[Step, ...], ...] = ()

    def edits(self, name: Hashable) -> list[Edit]:
        """The edits of an image that are not taken back, in their order."""
        return [step.edit for step in self.done if step.name == name]


def record(history: History, edits: Mapping[Hashable, Edit]) -> History:
    """The history with edits of one or several images more, made at once; nothing is left to redo."""
    number = history.done[-1].number + 1 if history.done else 0
    return History((*history.done, *(Step(number, name, edit) for name, edit in edits.items())))


def undo(history: History, name: Hashable | None = None) -> tuple[History, tuple[Step, ...]]:
    """Takes the last edits back, or (name) the last one of an image.

    Returns:
        The history after that, and what was taken back; nothing where there is nothing.
    """
    mine = [step for step in history.done if name is None or step.name == name]
    taken = tuple(step for step in mine if step.number == mine[-1].number)
    if not taken:
        return history, ()
    done = tuple(step for step in history.done if step not in taken)
    return History(done, (*history.undone, taken)), taken


def redo(history: History, name: Hashable | None = None) -> tuple[History, tuple[Step, ...]]:
    """Makes the last edits that were taken back again, or (name) the last one of an image.

    Returns:
        The history after that, and what was made again; nothing where there is nothing.
    """
    for place in reversed(range(len(history.undone))):
        group = history.undone[place]
        again = tuple(step for step in group if name is None or step.name == name)
        if again:
            rest = tuple(step for step in group if step not in again)
            undone = (*history.undone[:place], *([rest] if rest else []), *history.undone[place + 1 :])
            return History(tuple(sorted((*history.done, *again), key=lambda step: step.number)), undone), again
    return history, ()


def forget(history: History, name: Hashable) -> History:
    """The history without an image."""
    groups = (tuple(step for step in group if step.name != name) for group in history.undone)
    done = tuple(step for step in history.done if step.name != name)
    return History(done, tuple(group for group in groups if group))
