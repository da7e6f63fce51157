"""What a session keeps in its folder: every edit in a journal, uploaded images, masks of runs, and its annotations."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from guided_jax.annotate.files.gallery import Gallery, Picture
from guided_jax.annotate.files.journal import NAME, Journal
from guided_jax.annotate.files.pictures import read_picture
from guided_jax.annotate.files.results import Result, read_result, write_result
from guided_jax.annotate.objects import Shown
from guided_jax.annotate.workspace import Workspace
from guided_jax.session import Session
from guided_jax.session.annotation_file import write_annotations
from guided_jax.session.marks import LabelMap

ANNOTATIONS = "annotations.json"
"""In the folder of a session: its annotations as any program reads them, a moment after each edit."""

log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """What a session holds at a moment, for another thread.

    Attributes:
        session: one of its own, with what is annotated.
        gallery: the images.
        objects: name and appearance by label.
        marked: labels that are annotated anywhere.
        results: that images show, by their names.
        version: of the annotations.
    """

    session: Session
    gallery: Gallery
    objects: dict[int, tuple[str, Shown]]
    marked: set[int]
    results: dict[str, Result]
    version: int


class Record:
    """A workspace, and the folder from which it comes back as it was left. Not for several threads at once.

    Attributes:
        folder: of the session.
        workspace: what the edits made.
        seq: number of the last edit of the page.
        version: counts the changes of annotations.
        results: masks of runs, by image.
    """

    def __init__(self, folder: Path, session: Session, gallery: Gallery):
        """Opens a folder, or makes it.

        Args:
            folder: of the session.
            session: a fresh one.
            gallery: the images.

        Raises:
            ValueError: what the folder holds cannot be read.
            BlockingIOError: another server has it open.
        """
        self.folder, self.workspace = folder, Workspace(session, gallery)
        self.seq, self.version, self.results = 0, 0, dict[str, Result]()
        self._last: int | None = None
        self._unsaved = False
        self._journal = Journal(folder / NAME)
        for event in self._journal.events:
            self._again(event)
        if not self._journal.events:
            self.make({"edit": "add_object", "name": ""})

    @property
    def unsaved(self) -> bool:
        """Whether there are edits that the file of annotations lacks."""
        return self._unsaved

    @property
    def uploads(self) -> Path:
        """The folder of the images that were uploaded."""
        return self.folder / "images"

    def make(self, event: Mapping[str, Any]) -> str | None:
        """Makes an edit and writes it; gives the image that it changes.

        Raises:
            ValueError: it is refused.
        """
        touched = self.workspace.apply({key: value for key, value in event.items() if key != "seq"})
        self._journal.add(event)
        self.version += touched is not None
        self._last, self._unsaved = event.get("seq"), True
        return touched

    def is_last(self, seq: Any) -> bool:
        """Whether the edit of a number was the last one made: a click may turn out to begin a scribble."""
        return seq is not None and seq == self._last

    def keep(self, name: str, result: Result) -> None:
        """Keeps the mask of a run.

        Raises:
            ValueError: it cannot be written.
        """
        self.results[name] = result
        write_result(self.folder / "masks", name, result.labels.labels())
        self._journal.add({"result": name, "kind": result.kind, "version": result.version})

    def add_upload(self, name: str) -> None:
        """Adds an image that lies in `uploads`.

        Raises:
            ValueError: there is an image of the name.
        """
        self.workspace.add_picture(self._uploaded(name))
        self._journal.add({"upload": name})

    def result_of(self, name: str, marks: int) -> Result | None:
        """The mask of a run that an image shows; with marks of its own it shows what follows from them.

        Args:
            name: of the image.
            marks: their number on it.
        """
        result = self.results.get(name)
        return result if result and not marks and (result.kind == "along" or result.version == self.version) else None

    def snapshot(self) -> Snapshot:
        """What is there now."""
        workspace, counts = self.workspace, self.workspace.counts()
        session = workspace.session.fresh()
        session.merge(workspace.session)
        shown = {name: self.result_of(name, counts.get(name, 0)) for name in self.results}
        results = {name: result for name, result in shown.items() if result}
        gallery, marked = workspace.gallery, workspace.marked_labels()
        return Snapshot(session, gallery, workspace.objects(), marked, results, self.version)

    def save(self) -> None:
        """Writes the file of annotations, where it is not up to date.

        Raises:
            ValueError: it cannot be written.
        """
        if self._unsaved:
            self._unsaved = False
            write_annotations(self.folder / ANNOTATIONS, self.workspace.annotations())

    def close(self) -> None:
        """Lets the folder go."""
        self._journal.close()

    def _again(self, event: Mapping[str, Any]) -> None:
        """Makes an event of the journal again; what cannot be, of an image that is gone say, is left out."""
        event = dict(event)
        self.seq = max(self.seq, event.pop("seq", 0) or 0)
        if name := event.get("upload"):
            self.workspace.add_picture(self._uploaded(name))
        elif name := event.get("result"):
            labels = read_result(self.folder / "masks", name)
            if labels is not None:
                self.results[name] = Result(event["kind"], event["version"], LabelMap.of(labels))
        else:
            try:
                self.version += self.workspace.apply(event) is not None
            except ValueError as error:
                log.warning("%s: left out: %s", self.folder.name, error)

    def _uploaded(self, name: str) -> Picture:
        return Picture(name, lambda: read_picture(self.uploads / name))
