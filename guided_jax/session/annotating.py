"""Images, and what a person says of them: marks and objects, with undo and redo. Nothing here knows a model."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from jaxtyping import UInt8

from guided_jax.episode import UNKNOWN, Click
from guided_jax.inputs import check_annotation, check_labels, check_whole, describe
from guided_jax.session import history
from guided_jax.session.annotation_file import AnnotatedImage, Annotations, read_annotations, write_annotations
from guided_jax.session.checks import check_label, check_name, check_pair, check_pixel
from guided_jax.session.edits import (
    Clear,
    Edit,
    Extend,
    Marks,
    Move,
    Replace,
    Unclick,
    added,
    apply,
    fold,
    last_click,
)
from guided_jax.session.history import History
from guided_jax.session.marks import LabelMap, Point, Scribble, labels_of, paint, relabel
from guided_jax.session.objects import Labelled

TOLD = 8
"""Names of images that a message tells at most."""


@dataclass
class Marked:
    """The marks on an image of a size (height, width), and whether they annotate any pixel."""

    size: tuple[int, int]
    marks: Marks = ()
    annotated: bool = False


class Annotating(Labelled):
    """The part of a `Session` that edits annotations. Every method that edits is a step that `undo` takes back.

    An edit that is refused, or that changes nothing, leaves no step.
    """

    def _forget_all(self) -> None:
        super()._forget_all()
        self._marked: dict[Hashable, Marked] = {}
        self._history = History()

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Names of the images, in the order in which they were added."""
        return tuple(self._marked)

    def click(self, name: Hashable, row: SupportsIndex, column: SupportsIndex, label: SupportsIndex) -> None:
        """Adds a click. A later click on the same pixel takes the place of the earlier one.

        Args:
            name: of the image.
            row: in pixels from the top, a whole number.
            column: in pixels from the left, a whole number.
            label: 0 is the negative.

        Raises:
            ValueError: there is no such image or label, row, column or label is no int (of Python, numpy or JAX), or
                the click lies outside the image.
        """
        what, mark, size = f"a click on image {name!r}", "the click", self._at(name).size
        point = check_pixel(row, column, what, mark, name, size)
        self._edit({name: Click(*point, check_label(label, what, mark, self.way))})

    def move(self, name: Hashable, start: Sequence[SupportsIndex], end: Sequence[SupportsIndex]) -> None:
        """Moves a click to another pixel, where it takes the place of what is there.

        Args:
            name: of the image.
            start: row and column of the click.
            end: row and column of where it shall lie.

        Raises:
            ValueError: there is no such image, no click on that pixel, or the other one lies outside the image.
        """
        what, mark, size = f"a click on image {name!r}", "the click", self._at(name).size
        start, end = (check_pixel(*check_pair(each, what), what, mark, name, size) for each in (start, end))
        self._check_clicked(name, start)
        if start != end:
            self._edit({name: Move(start, end)})

    def unclick(self, name: Hashable, row: SupportsIndex, column: SupportsIndex) -> None:
        """Removes the click on a pixel, whatever came after it; what lay beneath counts again, unless it is a click.

        Raises:
            ValueError: there is no such image, or no click on that pixel.
        """
        point = check_pixel(row, column, f"a click on image {name!r}", "the click", name, self._at(name).size)
        self._check_clicked(name, point)
        self._edit({name: Unclick(*point)})

    def scribble(
        self, name: Hashable, points: Iterable[Sequence[SupportsIndex]], label: SupportsIndex, width: SupportsIndex = 1
    ) -> None:
        """Adds a polyline: the pixels whose centres are at most half its width from it are annotated.

        Args:
            name: of the image.
            points: row and column of its corners; a single one makes a disc.
            label: 0 is the negative; 255 takes the annotation of the pixels away.
            width: in pixels, 1 up to the image's height and width together.

        Raises:
            ValueError: there is no such image or label, there is no point, one lies outside the image, or a value is
                none of these.
        """
        what, mark, size = f"a scribble on image {name!r}", "the scribble", self._at(name).size
        if not isinstance(points, Iterable):
            raise ValueError(f"the points of {what} are {describe(points)}; they must be a list of (row, column)")
        points = tuple(check_pixel(*check_pair(each, what), what, mark, name, size) for each in points)
        label = check_label(label, what, mark, self.way, UNKNOWN)
        width = check_whole(width, f"the width of {what}")
        if not points:
            raise ValueError(f"{what} has no points; it needs one at least")
        if not 1 <= width <= sum(size):
            raise ValueError(f"{what} is {width} pixels wide; it must be 1 to {sum(size)}")
        self._edit({name: Scribble(points, label, width)})

    def annotate(
        self, name: Hashable, annotation: UInt8[np.ndarray, "h w"], *, negatives_only: bool = False, over: bool = False
    ) -> None:
        """Annotates an image by a label map, in place of what it has or over it; further edits add to it.

        Args:
            name: of the image.
            annotation: labels at the image's own size; 255 where unannotated.
            negatives_only: says that a map of 0 and 255 alone is meant: it shows negatives and no object. Without it
                such a map is refused, for elsewhere it is the mask of an object, which is labelled 1 here.
            over: keeps what the image has where the map is 255.

        Raises:
            ValueError: there is no such image, the map is no uint8 array, the size is another, a label is not the
                session's, or the map shows no object (see `negatives_only`).
        """
        size, what = self._at(name).size, f"the annotation of image {name!r}"
        wanted = f"{size}, as high and wide as the image"
        annotation = check_labels(annotation, what, wanted, lambda shape: shape == size)
        check_annotation(annotation, what, self.way, negatives_only=negatives_only)
        marks = (LabelMap.of(annotation),) if (annotation != UNKNOWN).any() else ()
        if over:
            self._edit({name: Extend(marks)})
        else:
            self._edit({name: Replace(marks)})

    def clear(self, name: Hashable | None = None, *, label: SupportsIndex | None = None) -> None:
        """Takes the annotation of an image or (None) of all away, or that of a label; what is encoded stays.

        Raises:
            ValueError: there is no such image or label.
        """
        if label is not None:
            label = check_label(label, "what is to be cleared", "what is to be cleared", self.way)
        self._edit(dict.fromkeys(self.names if name is None else (check_name(name),), Clear(label)))

    def undo(self, name: Hashable | None = None) -> Edit | None:
        """Takes back the last edit, of an image or (None) of all; gives it, or None where there is none.

        A click is given as `Click`, any other edit as `guided_jax.session.edits` has it.
        """
        return self._travel(history.undo, name)

    def redo(self, name: Hashable | None = None) -> Edit | None:
        """Makes the last edit that was taken back again; gives it, or None where there is none. An edit clears these.

        As often as it was undone, it gives what was there before, to the bit.
        """
        return self._travel(history.redo, name)

    def clicks(self, name: Hashable) -> tuple[Click, ...]:
        """The clicks on an image, in their order."""
        return tuple(mark for mark in self._at(name).marks if isinstance(mark, Click))

    def annotation(self, name: Hashable) -> UInt8[np.ndarray, "h w"]:
        """The annotation of an image as a label map; 255 where there is none."""
        marked = self._at(name)
        return paint(marked.marks, marked.size)

    def annotations(self) -> Annotations:
        """The annotations of all images that have any, as a file holds them."""
        images = {name: AnnotatedImage(each.size, each.marks) for name, each in self._marked.items() if each.marks}
        return Annotations(self.objects, images)

    def save_annotations(self, path: str | Path) -> None:
        """Writes the annotations as JSON (`guided_jax.session.annotation_file`), without history and pixels.

        Raises:
            ValueError: the file cannot be written, or an image's name is neither a str nor an int.
        """
        write_annotations(path, self.annotations())

    def load_annotations(self, annotations: str | Path | Annotations) -> None:
        """Lays annotations over those that are there, as one edit.

        Objects with names are known again by them, those without by their labels; any other gets a label of its own.

        Args:
            annotations: the path of a file, or what one holds, as `annotations` gives it.

        Raises:
            ValueError: the file cannot be read, it annotates an image that is not here or has another size, or the
                model takes no more labels.
        """
        if isinstance(annotations, Annotations):
            self._take(annotations, "the annotations")
        else:
            self._take(read_annotations(annotations), str(annotations))

    def _take(self, theirs: Annotations, where: str) -> None:
        """Lays annotations over those that are there."""
        for name, image in theirs.images.items():
            if name not in self._marked:
                raise ValueError(f"{where}: annotates image {name!r}, which the session does not hold; add it first")
            self._check_size(name, image.size, where)
        labels = self._match(theirs.objects)
        self._add_matched(labels, theirs.objects)
        self._edit(
            {
                name: Extend(tuple(relabel(mark, labels) for mark in image.marks))
                for name, image in theirs.images.items()
            }
        )

    def _edit(self, edits: Mapping[Hashable, Edit]) -> None:
        marks = {name: apply(self._at(name).marks, edit) for name, edit in edits.items()}
        changed = {name: edit for name, edit in edits.items() if marks[name] != self._at(name).marks}
        if not changed:
            return
        self._history = history.record(self._history, changed)
        for name, edit in changed.items():
            self._claim(set().union(*map(labels_of, added(edit))) - {0})
            self._set(name, marks[name])

    def _travel(self, go, name: Hashable | None) -> Edit | None:
        if name is not None:
            self._at(name)
        self._history, steps = go(self._history, name)
        for step in steps:
            self._set(step.name, fold(self._history.edits(step.name)))
        return steps[-1].edit if steps else None

    def _set(self, name: Hashable, marks: Marks) -> None:
        marked = self._at(name)
        erased = any(isinstance(mark, Scribble) and mark.erases for mark in marks)
        marked.marks = marks
        marked.annotated = bool((paint(marks, marked.size) != UNKNOWN).any()) if erased else bool(marks)
        self._changed(name)

    def _at(self, name: Hashable) -> Marked:
        if check_name(name) not in self._marked:
            there = ", ".join(map(repr, islice(self._marked, TOLD))) or "none yet"
            more = f", and {len(self._marked) - TOLD} more" if len(self._marked) > TOLD else ""
            raise ValueError(f"the session holds no image {name!r}; there are: {there}{more}")
        return self._marked[name]

    def _check_clicked(self, name: Hashable, point: Point) -> None:
        if last_click(self._at(name).marks, point) is None:
            raise ValueError(f"there is no click at row {point[0]}, column {point[1]} of image {name!r}")

    def _check_size(self, name: Hashable, size: tuple[int, int], where: str) -> None:
        if size != self._at(name).size:
            (h, w), (height, width) = size, self._at(name).size
            raise ValueError(
                f"{where}: image {name!r} is {h}x{w} pixels (height x width) there and {height}x{width} here"
            )

    def _forget(self, name: Hashable) -> None:
        """Forgets an image and its edits."""
        self._at(name)
        self._history = history.forget(self._history, name)
        del self._marked[name]

    def _grown(self) -> None:
        for name in self.names:
            self._changed(name)

    def _changed(self, name: Hashable) -> None:
        """What follows from the annotation of an image is stale."""
