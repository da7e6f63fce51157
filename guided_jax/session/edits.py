"""Edits of an image's marks, as values: a list of edits makes the marks, whatever was taken back before.

An edit is a mark, which comes to the others, or one of the kinds below. Nothing here knows an image or a model.
"""

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

from guided_jax.episode import UNKNOWN, Click
from guided_jax.session.marks import LabelMap, Mark, Point, Scribble, covers, labels_of, relabel

Marks = tuple[Mark, ...]
"""The marks on an image, in their order."""


class Unclick(NamedTuple):
    """Takes the clicks on a pixel away."""

    row: int
    column: int


class Move(NamedTuple):
    """Moves the last click on a pixel to another one, and takes any others on it away; it is then the last mark."""

    start: Point
    end: Point


class Clear(NamedTuple):
    """Takes all marks away; or those of a label, in label maps its pixels."""

    label: int | None = None


class Replace(NamedTuple):
    """Puts marks in the place of all others."""

    marks: Marks


class Extend(NamedTuple):
    """Puts marks over those that are there."""

    marks: Marks


Edit = Mark | Unclick | Move | Clear | Replace | Extend


def fold(edits: Iterable[Edit]) -> Marks:
    """The marks that a list of edits makes."""
    return reduce(apply, edits, ())


def apply(marks: Marks, edit: Edit) -> Marks:
    """The marks after one more edit."""
    match edit:
        case Unclick():
            return tuple(mark for mark in marks if not _clicks(mark, edit))
        case Move():
            moved = last_click(marks, edit.start)
            kept = apply(marks, Unclick(*edit.start))
            return marks if moved is None else (*kept, Click(*edit.end, moved.label))
        case Clear(label=None):
            return ()
        case Clear():
            return tuple(left for mark in marks if (left := _without(mark, edit.label)) is not None)
        case Replace():
            return edit.marks
        case Extend():
            return (*marks, *edit.marks)
        case Scribble() if edit.erases:
            # Clicks beneath are gone, so that none is listed that says nothing; beneath it may lie a part of the rest.
            kept = tuple(mark for mark in marks if not (isinstance(mark, Click) and covers(edit, mark[:2])))
            return kept if all(isinstance(mark, Click) for mark in kept) else (*kept, edit)
        case _:
            return (*marks, edit)


def last_click(marks: Marks, point: Point) -> Click | None:
    """The click on a pixel that counts."""
    return next((mark for mark in reversed(marks) if _clicks(mark, point)), None)


def _clicks(mark: Mark, point: Point | Unclick) -> bool:
    return isinstance(mark, Click) and mark[:2] == tuple(point)


def _without(mark: Mark, label: int) -> Mark | None:
    """What is left of a mark without a label."""
    if label not in labels_of(mark):
        return mark
    if not isinstance(mark, LabelMap) or labels_of(mark) == {label}:
        return None
    return relabel(mark, {label: UNKNOWN})


def added(edit: Edit) -> Marks:
    """The marks that an edit brings, but for a moved one."""
    match edit:
        case Replace() | Extend():
            return edit.marks
        case Unclick() | Move() | Clear():
            return ()
        case _:
            return (edit,)
