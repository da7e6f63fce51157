"""What one tab works on: images, their annotations and the objects as the page shows them; changed by events alone.

An event is a JSON object with the field `edit`, as the page sends it and the journal keeps it. The same events in the
same order make the same workspace, so that a journal brings everything back, what can be undone too.

    {"edit": "click", "image": NAME, "row": 120, "column": 340, "label": 1}
    {"edit": "unclick", "image": NAME, "row": 120, "column": 340}
    {"edit": "move", "image": NAME, "start": [120, 340], "end": [122, 344]}
    {"edit": "scribble", "image": NAME, "points": [[10, 20], [30, 40]], "label": 0, "width": 5}
    {"edit": "marks", "image": NAME, "size": [480, 854], "marks": [...]}      as the annotation file has them; over all
    {"edit": "clear", "image": NAME}                                          takes all marks of an image away
    {"edit": "undo"}, {"edit": "redo"}
    {"edit": "add_object", "name": "dog"}
    {"edit": "object", "label": 1, "name": "dog", "colour": "#2a78d6", "hidden": false, "locked": false}   any of them
    {"edit": "delete_object", "label": 1}
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from guided_jax.annotate.files.gallery import Gallery, Picture
from guided_jax.annotate.objects import Shown, change_look, check_object_name, first_look
from guided_jax.episode import UNKNOWN, Click
from guided_jax.inputs import describe
from guided_jax.session import Session
from guided_jax.session.annotation_file import AnnotatedImage, Annotations, from_json, to_json
from guided_jax.session.marks import LabelMap, Mark, Scribble, labels_of, paint
from guided_jax.session.objects import free_label

MOST_POINTS = 5000
"""Corners of a scribble; a page sends far fewer, and each is a segment to draw."""


class Workspace:
    """A session on the images of a gallery, and its objects. Not for several threads at once."""

    def __init__(self, session: Session, gallery: Gallery):
        """Nothing is annotated yet, and no image read.

        Args:
            session: a fresh one, which the workspace owns.
            gallery: the images.
        """
        self.session, self.gallery = session, gallery
        self._shown: dict[int, Shown] = {}
        self._opened: set[str] = set()

    def apply(self, event: Mapping[str, Any]) -> str | None:
        """Makes what an event says so.

        Returns:
            The name of the image whose annotation it changed, the first one of several; None: of none.

        Raises:
            ValueError: the event is not sound, or refused; nothing is changed then.
        """
        session = self.session
        match dict(event):
            case {"edit": "click", "image": name, "row": row, "column": column, "label": label, **rest} if not rest:
                mark = Click(*_whole(row, column, label))
                self._check_mark(name, mark)
                session.click(name, *mark)
            case {"edit": "scribble", "image": name, "points": points, "label": label, "width": width, **rest} if (
                not rest
            ):
                _check_points(points)
                mark = Scribble(tuple(map(tuple, points)), *_whole(label, width))
                self._check_mark(name, mark)
                session.scribble(name, *mark)
            case {"edit": "unclick", "image": name, "row": row, "column": column, **rest} if not rest:
                self._check_mark(name, Click(*_whole(row, column), UNKNOWN))
                session.unclick(name, row, column)
            case {"edit": "move", "image": name, "start": start, "end": end, **rest} if not rest:
                _check_points([start, end])
                for point in (start, end):
                    self._check_mark(name, Click(*point, UNKNOWN))
                session.move(name, start, end)
            case {"edit": "marks", "image": name, "size": size, "marks": marks, **rest} if not rest:
                self._extend(name, size, marks)
            case {"edit": "clear", "image": name, **rest} if not rest:
                self.open(name)
                self._check_free(session.annotations().images.get(name, AnnotatedImage((0, 0), ())).marks)
                session.clear(name)
            case {"edit": "undo" | "redo" as edit, **rest} if not rest:
                return self._travel(edit)
            case {"edit": "add_object", "name": name, **rest} if not rest:
                self._show(session.add_object(self._free_name(check_object_name(name))))
                return None
            case {"edit": "object", "label": label, **changes} if changes:
                self._change(label, changes)
                return None
            case {"edit": "delete_object", "label": label, **rest} if not rest:
                return self._delete(label)
            case _:
                raise ValueError(f"the edit {describe(event.get('edit'))} is none, or its fields are not sound")
        return name

    def open(self, name: Any) -> None:
        """Adds an image to the session, where it is encoded when it is first used.

        Raises:
            ValueError: there is none of the name, or it cannot be read.
        """
        if not isinstance(name, str):
            raise ValueError(f"the name of an image is {describe(name)}; it must be a text")
        if name not in self._opened:
            self.session.add(name, self.gallery.find(name).read)
            self._opened.add(name)

    def adopt(self, other: Session) -> None:
        """Takes over what another thread has encoded, in a fresh session."""
        self.session.merge(other)
        self._opened |= {*other.names}

    def needs(self, name: str) -> bool:
        """Whether an image is not encoded."""
        return name not in self._opened or name in self.session.to_encode(name)

    def add_picture(self, picture: Picture) -> None:
        """Adds an image to the gallery.

        Raises:
            ValueError: there is one of the name.
        """
        if any(each.name == picture.name for each in self.gallery.pictures):
            raise ValueError(f"there is an image {picture.name!r} already; rename the file")
        self.gallery = self.gallery._replace(pictures=(*self.gallery.pictures, picture))

    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return self.session.steps[0] > 0

    def can_redo(self) -> bool:
        """Whether there is an edit to make again."""
        return self.session.steps[1] > 0

    def objects(self) -> dict[int, tuple[str, Shown]]:
        """Name and appearance of the objects that are there, by label."""
        names, marked = self.session.objects, self.marked_labels()
        shown = {label: self._shown.get(label, first_look(label)) for label in names}
        return {
            label: (names[label] or f"Object {label}", each._replace(deleted=False))
            for label, each in shown.items()
            if not each.deleted or label in marked
        }

    def next_label(self) -> int:
        """The label of the object that is added next."""
        return free_label(self.session.objects)

    def mask(self, name: str) -> UInt8[np.ndarray, "h w"]:
        """The label of every pixel of an image; nothing is there of an object that is annotated nowhere."""
        return only_marked(self.session.mask(name), self.marked_labels())

    def annotations(self) -> Annotations:
        """What is annotated, with the names of the objects that the page shows."""
        names = {label: name for label, (name, _) in self.objects().items()}
        return self.session.annotations()._replace(objects=names)

    def marks_json(self, name: str) -> list[dict[str, Any]]:
        """The clicks and scribbles on an image, as the annotation file has them; label maps are left out."""
        image = self.session.annotations().images.get(name)
        if image is None:
            return []
        drawn = tuple(mark for mark in image.marks if not isinstance(mark, LabelMap))
        return to_json(Annotations({}, {name: image._replace(marks=drawn)}))["images"][0]["marks"]

    def counts(self) -> dict[str, int]:
        """Number of marks on each image that has any."""
        return {name: len(image.marks) for name, image in self.session.annotations().images.items()}

    def _check_mark(self, name: Any, mark: Click | Scribble) -> None:
        """Adds the image, and refuses what would change a locked object."""
        self.open(name)
        if self._locked():
            self._check_free((mark,), name)

    def _extend(self, name: Any, size: Any, marks: Any) -> None:
        self.open(name)
        objects = [{"label": label, "name": ""} for label in self.session.objects]
        image = {"name": name, "size": size, "marks": marks}
        values = {"format": "guided_jax annotations", "version": 1, "objects": objects, "images": [image]}
        read = from_json(values, f"the annotation of image {name!r}").images[name]
        self._check_free(read.marks, name)
        self.session.load_annotations(Annotations({}, {name: read}))

    def _travel(self, edit: str) -> str | None:
        before = self.session.annotations().images
        self.session.undo() if edit == "undo" else self.session.redo()
        after = self.session.annotations().images
        return next((name for name in {**before, **after} if before.get(name) != after.get(name)), None)

    def _change(self, label: Any, changes: Mapping[str, Any]) -> None:
        shown = self._find(label)
        match dict(changes):
            case {"name": name}:
                check_object_name(name)
                if not name:
                    raise ValueError("an object needs a name")
                if any(name == other for key, (other, _) in self.objects().items() if key != label):
                    raise ValueError(f"there is an object {name!r} already; give another name")
        looks = {field: value for field, value in changes.items() if field != "name"}
        shown = change_look(shown, looks)
        if "name" in changes:
            self._yield_name(changes["name"])
            self.session.rename_object(label, changes["name"])
        self._shown[label] = shown

    def _delete(self, label: Any) -> str | None:
        shown = self._find(label)
        if shown.locked:
            raise ValueError(f"{self.objects()[label][0]} is locked; unlock it first")
        before = self.session.annotations().images
        self.session.clear(label=label)
        self._shown[label] = shown._replace(deleted=True)
        after = self.session.annotations().images
        return next((name for name in before if before[name] != after.get(name)), None)

    def _find(self, label: Any) -> Shown:
        if type(label) is not int or label not in self.objects():
            raise ValueError(f"there is no object of the label {describe(label)}")
        return self._shown.get(label, first_look(label))

    def _show(self, label: int) -> None:
        self._shown[label] = first_look(label)

    def _free_name(self, name: str) -> str:
        """A name that no object has: the one asked for or, where none is asked for, one that counts up."""
        taken = {*self.session.objects.values(), *(each for each, _ in self.objects().values())}
        if name:
            self._yield_name(name)
            return name
        return next(each for number in range(1, 1 << 20) if (each := f"Object {number}") not in taken)

    def _yield_name(self, name: str) -> None:
        """Takes a name from an object that was deleted."""
        gone = [label for label, other in self.session.objects.items() if other == name and label not in self.objects()]
        for label in gone:
            self.session.rename_object(label, "")

    def marked_labels(self) -> set[int]:
        """Labels that are annotated anywhere."""
        images = self.session.annotations().images.values()
        return {label for image in images for mark in image.marks for label in labels_of(mark)}

    def _locked(self) -> set[int]:
        return {label for label, shown in self._shown.items() if shown.locked}

    def _check_free(self, marks: tuple, name: str = "") -> None:
        """Raises ValueError where marks are of a locked object, or lie over one of its pixels."""
        if not (locked := self._locked()):
            return
        touched = set().union(*map(labels_of, marks)) & locked
        if name:
            there = self.session.annotation(name)
            under = np.zeros(there.shape, bool)
            for mark in marks:
                ink = mark if isinstance(mark, LabelMap) else mark._replace(label=0)
                if _is_inside(ink, there.shape):  # else the session refuses it
                    under |= paint((ink,), there.shape) != UNKNOWN
            touched |= {*np.unique(there[under]).tolist()} & locked
        if touched:
            raise ValueError(f"{self.objects()[min(touched)][0]} is locked; unlock it first")


def only_marked(labels: UInt8[np.ndarray, "h w"], marked: set[int]) -> UInt8[np.ndarray, "h w"]:
    """A label map without the labels that are annotated nowhere, for a model may say anything of them."""
    table = np.zeros(UNKNOWN + 1, np.uint8)
    table[[*marked]] = [*marked]
    return table[labels]


def _is_inside(mark: Mark, size: tuple[int, int]) -> bool:
    """Whether a mark can be painted."""
    if isinstance(mark, LabelMap):
        return mark.size == size
    points = mark.points if isinstance(mark, Scribble) else (mark[:2],)
    inside = all(0 <= at < side for point in points for at, side in zip(point, size, strict=True))
    return inside and bool(points) and (isinstance(mark, Click) or 1 <= mark.width <= sum(size))


def _check_points(points: Any) -> None:
    sound = isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 and all(type(part) is int for part in point) for point in points
    )
    if not sound or len(points) > MOST_POINTS:
        raise ValueError(f"points must be a list of at most {MOST_POINTS} pairs of whole numbers, [row, column]")


def _whole(*values: Any) -> tuple[int, ...]:
    if not all(type(value) is int for value in values):
        raise ValueError("positions, labels and widths must be whole numbers")
    return values
