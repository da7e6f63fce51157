"""One tab's work: a thread that makes edits in their order and answers with the newest mask, never with an older one.

All that is asked for goes through one queue. What waits there is done together, and then the mask of the image in view
is computed once. What takes long has threads of its own (`encoder`, `jobs`), whose results come through the same queue.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from guided_jax.annotate.encoder import GUIDING, LOOKED_AT, NEXT, Encoder
from guided_jax.annotate.gallery import Gallery, Picture
from guided_jax.annotate.jobs import Job
from guided_jax.annotate.journal import NAME, Journal
from guided_jax.annotate.pictures import read_picture
from guided_jax.annotate.protocol import heat_frame, mask_frame
from guided_jax.annotate.results import Result, read_result, write_result
from guided_jax.annotate.workspace import Shown, Workspace, only_marked
from guided_jax.session import Session
from guided_jax.session.annotation_file import write_annotations
from guided_jax.session.marks import LabelMap

ANNOTATIONS = "annotations.json"
"""In the folder of a session: its annotations as any program reads them, a moment after each edit."""

QUIET = 1.0
"""Seconds without edits after which the annotations are written; the journal has them at once."""

log = logging.getLogger(__name__)

Deliver = Callable[[str, dict[str, Any] | bytes], object]
"""Takes a message for the page, and its kind: of most kinds only the newest one counts."""


class Snapshot(NamedTuple):
    """What a room holds at a moment, for another thread.

    Attributes:
        session: one of its own, with what is annotated.
        gallery: the images.
        objects: name and appearance by label.
        marked: labels that are annotated anywhere.
        results: that images show, by their names.
    """

    session: Session
    gallery: Gallery
    objects: dict[int, tuple[str, Shown]]
    marked: set[int]
    results: dict[str, Result]


class Room:
    """The work of one tab."""

    def __init__(self, folder: Path, session: Session, gallery: Gallery, encoder: Encoder):
        """Opens a session as it was left, and starts its thread.

        Args:
            folder: its own; is made.
            session: a fresh one.
            gallery: the images.
            encoder: of the server.

        Raises:
            ValueError: what the folder holds cannot be read.
            BlockingIOError: another server has it open.
        """
        self.folder = folder
        self._journal = Journal(folder / NAME)
        self._workspace, self._encoder = Workspace(session, gallery), encoder
        self._seq, self._version, self._results_version = 0, 0, 0
        self._results: dict[str, Result] = {}
        self._deliver: Deliver | None = None
        self._view, self._heat = "", False
        self._last: int | None = None  # number of the last edit, for a click that turns out to begin a scribble
        self._sent: Any = None
        self._heat_sent: Any = None
        self._live, self._left = False, 0
        self._asked: set[str] = set()  # images that the encoder is asked for
        self._failed: dict[str, str] = {}
        self._job: Job | None = None
        self._state_due, self._unsaved = False, False
        for event in self._journal.events:
            self._again(event)
        if not self._journal.events:
            self._make({"edit": "add_object", "name": ""})
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"room {folder.name[:8]}", daemon=True)
        self._thread.start()

    @property
    def seq(self) -> int:
        """Number of the last edit of the page that was made."""
        return self._seq

    @property
    def gallery(self) -> Gallery:
        """The images, those that were uploaded here included."""
        return self._workspace.gallery

    @property
    def uploads(self) -> Path:
        """The folder of the images that were uploaded."""
        return self.folder / "images"

    def connect(self, deliver: Deliver) -> None:
        """From now on messages go there, beginning with the state; what they went to before gets none."""

        def work() -> None:
            self._deliver, self._state_due = deliver, True
            self._sent, self._heat_sent, self._left = None, None, 0

        self.post(work)

    def disconnect(self, deliver: Deliver) -> None:
        """Messages go nowhere, if it was there that they went."""

        def work() -> None:
            if self._deliver is deliver:
                self._deliver = None

        self.post(work)

    def receive(self, message: Mapping[str, Any]) -> None:
        """Takes a message of the page."""
        self.post(lambda: self._receive(dict(message)))

    def call(self, work: Callable[[Workspace], Any]) -> Any:
        """What a function gives of the workspace, between two edits; it must be short.

        Raises:
            Exception: what the function raises.
        """
        future: Future = Future()

        def run() -> None:
            try:
                future.set_result(work(self._workspace))
            except BaseException as error:
                future.set_exception(error)

        self.post(run)
        return future.result()

    def edit(self, events: list[dict[str, Any]]) -> None:
        """Makes edits that do not come from the page itself: imports. All of them, or up to the first that is refused.

        Raises:
            ValueError: one is refused.
        """

        def work(_: Workspace) -> None:
            for event in events:
                self._make(event)

        self.call(work)

    def add_upload(self, name: str) -> None:
        """Adds an image that lies in `uploads`.

        Raises:
            ValueError: there is an image of the name.
        """

        def work(workspace: Workspace) -> None:
            workspace.add_picture(Picture(name, lambda: read_picture(self.uploads / name)))
            self._journal.add({"upload": name})
            names = [picture.name for picture in workspace.gallery.pictures]
            self._tell("names", {"type": "names", "names": names})

        self.call(work)

    def snapshot(self) -> Snapshot:
        """What is there now, for a long computation elsewhere."""

        def work(workspace: Workspace) -> Snapshot:
            session = workspace.session.fresh()
            session.merge(workspace.session)
            counts, there = workspace.counts(), self._results.items()
            results = {name: each for name, each in there if self._counts_for(each, counts.get(name, 0))}
            return Snapshot(session, workspace.gallery, workspace.objects(), workspace.marked_labels(), results)

        return self.call(work)

    def post(self, work: Callable[[], object] | None) -> None:
        """Has the thread do something; None ends it."""
        self._queue.put(work)

    def close(self) -> None:
        """Ends the thread, saves, and lets the folder go."""
        self.post(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                work = self._queue.get(timeout=QUIET if self._unsaved else None)
            except queue.Empty:
                self._save()
                continue
            while work is not None:
                self._guarded(work)
                try:
                    work = self._queue.get_nowait()
                except queue.Empty:
                    break
            if work is None:
                break
            self._guarded(self._answer)
        if self._job:
            self._job.cancel()
        self._save()
        self._journal.close()

    def _guarded(self, work: Callable[[], object]) -> None:
        """Whatever goes wrong in one thing, the thread goes on."""
        try:
            work()
        except ValueError as error:
            self._tell("notice", {"type": "notice", "message": str(error)})
        except Exception as error:
            log.exception("a request failed")
            self._tell("notice", {"type": "notice", "message": f"the server failed: {error}"})

    def _receive(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "edit", "event": dict(event)}:
                self._edit(event)
            case {"type": "view", "image": str(name), "heat": bool(heat)}:
                self._view, self._heat, self._state_due = name, heat, True
                self._sent = self._heat_sent = None
                self._failed.pop(name, None)
            case {"type": "job", "kind": "all" | "along" as kind}:
                self._start(kind)
            case {"type": "cancel"}:
                if self._job:
                    self._job.cancel()
            case _:
                raise ValueError("a message is not sound")

    def _edit(self, event: dict[str, Any]) -> None:
        """Makes an edit of the page, once: after a lost connection it may come again."""
        seq = event.get("seq")
        if type(seq) is not int:
            raise ValueError("an edit needs its number")
        self._state_due = True
        if seq <= self._seq:
            return
        self._seq = seq
        try:
            if event.get("edit") == "retract":
                if event.get("of") != self._last:
                    return
                event = {"edit": "undo", "seq": seq}
            touched = self._make(event)
        except ValueError as error:
            self._tell("refused", {"type": "refused", "seq": seq, "message": str(error)})
            return
        if event.get("edit") in ("undo", "redo") and touched and touched != self._view:
            self._tell("show", {"type": "show", "image": touched})

    def _make(self, event: dict[str, Any]) -> str | None:
        """Makes an edit and notes it in the journal."""
        touched = self._workspace.apply({key: value for key, value in event.items() if key != "seq"})
        self._journal.add(event)
        if event["edit"] == "add_object":
            self._encoder.prepare(self._workspace.session.way)
        self._version, self._last = self._version + 1, event.get("seq")
        self._state_due = self._unsaved = True
        return touched

    def _again(self, event: Mapping[str, Any]) -> None:
        """Makes an event of the journal again; what cannot be, of an image that is gone say, is left out."""
        event = dict(event)
        self._seq = max(self._seq, event.pop("seq", 0) or 0)
        if name := event.get("upload"):
            self._workspace.add_picture(Picture(name, lambda: read_picture(self.uploads / name)))
            return
        if "result" in event:
            labels = read_result(self.folder / "masks", event["result"])
            if labels is not None:
                self._results[event["result"]] = Result(event["kind"], event["version"], LabelMap.of(labels))
            return
        self._version += 1
        try:
            self._workspace.apply(event)
        except ValueError as error:
            log.warning("%s: left out: %s", self.folder.name, error)

    def _start(self, kind: str) -> None:
        if self._job:
            raise ValueError("another run is going on; cancel it first")
        workspace = self._workspace
        if not workspace.counts():
            raise ValueError("mark an object first: nothing is annotated yet")
        session = workspace.session.fresh()
        session.merge(workspace.session)
        version, marked = self._version, workspace.marked_labels()

        def took(name: str, labels: np.ndarray) -> None:
            self.post(lambda: self._keep(name, Result(kind, version, LabelMap.of(only_marked(labels, marked)))))

        def told(progress: dict[str, Any]) -> None:
            self.post(lambda: self._progress(progress))

        self._job = Job(kind, session, workspace.gallery, self._view, took, told)

    def _keep(self, name: str, result: Result) -> None:
        self._results[name] = result
        self._results_version += 1
        self._state_due = True
        write_result(self.folder / "masks", name, result.labels.labels())
        self._journal.add({"result": name, "kind": result.kind, "version": result.version})

    def _progress(self, progress: dict[str, Any]) -> None:
        if progress["state"] != "running":
            self._job, self._state_due = None, True
        self._tell("progress", {"type": "progress", **progress})

    def _counts_for(self, result: Result, marks: int) -> bool:
        """Whether a result is what an image shows: of one with marks it is what follows from them."""
        return not marks and (result.kind == "along" or result.version == self._version)

    def _answer(self) -> None:
        """Sends the state where it changed, and the mask of the image in view."""
        if self._deliver is None:
            return
        if self._state_due:
            self._state_due = False
            self._tell("state", self._state())
        shown = (self._view, self._version, self._results_version)
        if self._view and shown != self._sent:
            self._sent = shown
            if not self._answer_mask():
                self._sent = None
                return
        if self._heat and self._sent == shown != self._heat_sent and self._queue.empty() and self._live:
            self._heat_sent = shown
            head = {"image": self._view, "seq": self._seq}
            self._tell("heat", heat_frame(self._workspace.session.uncertainty(self._view), head))

    def _answer_mask(self) -> bool:
        """Sends the mask of the image in view; False: it waits for the encoder."""
        name, workspace = self._view, self._workspace
        workspace.open(name)
        began, counts = time.perf_counter(), workspace.counts()
        result = self._results.get(name)
        head = {"image": name, "seq": self._seq, "kind": "live", "stale": False}
        self._live = False
        if result and self._counts_for(result, counts.get(name, 0)):
            head |= {"kind": result.kind, "stale": result.version != self._version}
            labels = result.labels.labels()
        elif self._lacks(name):
            if counts:
                return False
            labels = np.zeros(workspace.session.annotation(name).shape, np.uint8)
        elif not counts:
            labels = np.zeros(workspace.session.annotation(name).shape, np.uint8)
        else:
            labels, self._live = workspace.mask(name), True
        head["ms"] = round(1000 * (time.perf_counter() - began), 1)
        self._tell("mask", mask_frame(labels, head))
        return True

    def _lacks(self, name: str) -> bool:
        """Has the encoder encode what the mask of an image lacks; gives whether that is anything."""
        lacking = self._workspace.session.to_encode(name)
        if failed := next((self._failed[each] for each in lacking if each in self._failed), None):
            raise ValueError(failed)
        for each in lacking:
            if each not in self._asked:
                self._ask(each, LOOKED_AT if each == name else GUIDING)
        self._tell_encoding(len(lacking))
        return bool(lacking)

    def _tell_encoding(self, left: int) -> None:
        if left != self._left:
            self._left = left
            self._tell("encoding", {"type": "encoding", "left": left})

    def _ask(self, name: str, urgency: int) -> None:
        self._asked.add(name)
        picture = self._workspace.gallery.find(name)

        def done(name: str, found: Session | ValueError) -> None:
            self.post(lambda: self._encoded(name, found))

        self._encoder.encode(picture, urgency, done, self._workspace.session.way)

    def _encoded(self, name: str, found: Session | ValueError) -> None:
        self._asked.discard(name)
        if isinstance(found, ValueError):
            self._failed[name] = str(found)
            if name == self._view:
                raise found
            return
        self._workspace.adopt(found)
        if name == self._view:
            self._tell_encoding(0)
            self._ask_next(name)

    def _ask_next(self, name: str) -> None:
        """Has the encoder encode the image after another one, which a person will probably look at next."""
        names = [picture.name for picture in self._workspace.gallery.pictures]
        for after in names[names.index(name) + 1 :][:1]:
            if after not in self._asked and self._workspace.needs(after):
                self._ask(after, NEXT)

    def _state(self) -> dict[str, Any]:
        workspace = self._workspace
        counts = workspace.counts()
        return {
            "type": "state",
            "seq": self._seq,
            "image": self._view,
            "objects": [
                {"label": label, "name": name, "colour": shown.colour, "hidden": shown.hidden, "locked": shown.locked}
                for label, (name, shown) in workspace.objects().items()
            ],
            "next_label": workspace.next_label(),
            "marks": workspace.marks_json(self._view),
            "counts": counts,
            "results": {name: each.kind for name, each in self._results.items() if not counts.get(name)},
            "undo": workspace.can_undo(),
            "redo": workspace.can_redo(),
            "running": self._job.kind if self._job else "",
            "images": len(workspace.gallery.pictures),
        }

    def _save(self) -> None:
        if self._unsaved:
            self._unsaved = False
            try:
                write_annotations(self.folder / ANNOTATIONS, self._workspace.annotations())
            except ValueError as error:
                self._tell("notice", {"type": "notice", "message": str(error)})

    def _tell(self, kind: str, message: dict[str, Any] | bytes) -> None:
        if self._deliver:
            self._deliver(kind, message)
