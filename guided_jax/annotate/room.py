"""One tab's work: a thread that makes edits in their order and answers with the newest mask, never with an older one.

All that is asked for goes through one queue. What waits there is done together, and then the mask of the image in view
is computed once. What takes long has threads of its own (`encoder`, `jobs`), whose results come through the same queue.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from guided_jax.annotate.encoder import Encoder
from guided_jax.annotate.files.gallery import Gallery
from guided_jax.annotate.files.results import Result
from guided_jax.annotate.jobs import Job
from guided_jax.annotate.record import Record, Snapshot
from guided_jax.annotate.showing import Deliver, Showing
from guided_jax.annotate.workspace import Workspace, only_marked
from guided_jax.session import Session
from guided_jax.session.marks import LabelMap

QUIET = 1.0
"""Seconds without edits after which the annotations are written; the journal has them at once."""

log = logging.getLogger(__name__)


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
        self._record, self._encoder = Record(folder, session, gallery), encoder
        self._showing = Showing(self._record, encoder, self.post)
        self._job: Job | None = None
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"room {folder.name[:8]}", daemon=True)
        self._thread.start()

    @property
    def seq(self) -> int:
        """Number of the last edit of the page that was made."""
        return self._record.seq

    @property
    def gallery(self) -> Gallery:
        """The images, those that were uploaded here included."""
        return self._record.workspace.gallery

    @property
    def uploads(self) -> Path:
        """The folder of the images that were uploaded."""
        return self._record.uploads

    def connect(self, deliver: Deliver) -> None:
        """From now on messages go there, beginning with the state; what they went to before gets none."""
        self.post(lambda: self._showing.connect(deliver))

    def disconnect(self, deliver: Deliver) -> None:
        """Messages go nowhere, if it was there that they went."""

        def work() -> None:
            if self._showing.deliver is deliver:
                self._showing.deliver = None

        self.post(work)

    def receive(self, message: Mapping[str, Any]) -> None:
        """Takes a message of the page."""
        self.post(lambda: self._receive(dict(message)))

    def call(self, work: Callable[[Workspace], Any]) -> Any:
        """What a function gives of the workspace, between two edits; it must be short.

        Raises:
            Exception: what the function raises.
        """
        return self._call(lambda: work(self._record.workspace))

    def snapshot(self) -> Snapshot:
        """What is there now, for a long computation elsewhere."""
        return self._call(self._record.snapshot)

    def edit(self, events: list[dict[str, Any]]) -> None:
        """Makes edits that do not come from the page itself: imports. All of them, or up to the first that is refused.

        Raises:
            ValueError: one is refused.
        """

        def work() -> None:
            for event in events:
                self._make(event)

        self._call(work)

    def add_upload(self, name: str) -> None:
        """Adds an image that lies in `uploads`.

        Raises:
            ValueError: there is an image of the name.
        """

        def work() -> None:
            self._record.add_upload(name)
            self._showing.tell("names", names=[picture.name for picture in self.gallery.pictures])

        self._call(work)

    def post(self, work: Callable[[], object] | None) -> None:
        """Has the thread do something; None ends it."""
        self._queue.put(work)

    def close(self) -> None:
        """Ends the thread, saves, and lets the folder go."""
        self.post(None)
        self._thread.join()

    def _call(self, work: Callable[[], Any]) -> Any:
        """What a function gives in the thread of the room."""
        future: Future = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self.post(run)
        return future.result()

    def _run(self) -> None:
        while True:
            try:
                work = self._queue.get(timeout=QUIET if self._record.unsaved else None)
            except queue.Empty:
                self._guarded(self._record.save)
                continue
            while work is not None:
                self._guarded(work)
                try:
                    work = self._queue.get_nowait()
                except queue.Empty:
                    break
            if work is None:
                break
            self._guarded(lambda: self._showing.answer(self._job.kind if self._job else "", self._queue.empty))
        if self._job:
            self._job.cancel()
        self._guarded(self._record.save)
        self._record.close()

    def _guarded(self, work: Callable[[], object]) -> None:
        """Whatever goes wrong in one thing, the thread goes on."""
        try:
            work()
        except ValueError as error:
            self._showing.tell("notice", message=str(error))
        except Exception as error:
            log.exception("a request failed")
            self._showing.tell("notice", message=f"the server failed: {error}")

    def _receive(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "edit", "event": dict(event)}:
                self._edit(event)
            case {"type": "view", "image": str(name), "heat": bool(heat)}:
                self._showing.look(name, heat)
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
        self._showing.state_due = True
        if seq <= self._record.seq:
            return
        self._record.seq = seq
        try:
            if event.get("edit") == "retract":
                if not self._record.is_last(event.get("of")):
                    return
                event = {"edit": "undo", "seq": seq}
            touched = self._make(event)
        except ValueError as error:
            self._showing.tell("refused", seq=seq, message=str(error))
            return
        if event.get("edit") in ("undo", "redo") and touched and touched != self._showing.image:
            self._showing.tell("show", image=touched)

    def _make(self, event: dict[str, Any]) -> str | None:
        touched = self._record.make(event)
        self._showing.state_due = True
        if event["edit"] == "add_object":
            self._encoder.prepare(self._record.workspace.session.way)
        return touched

    def _start(self, kind: str) -> None:
        if self._job:
            raise ValueError("another run is going on; cancel it first")
        now = self._record.snapshot()
        if not now.marked:
            raise ValueError("mark an object first: nothing is annotated yet")

        def took(name: str, labels: np.ndarray) -> None:
            result = Result(kind, now.version, LabelMap.of(only_marked(labels, now.marked)))
            self.post(lambda: self._keep(name, result))

        def told(progress: dict[str, Any]) -> None:
            self.post(lambda: self._progress(progress))

        self._job = Job(kind, now.session, now.gallery, self._showing.image, took, told)

    def _keep(self, name: str, result: Result) -> None:
        self._showing.state_due = True
        self._record.keep(name, result)

    def _progress(self, progress: dict[str, Any]) -> None:
        if progress["state"] != "running":
            self._job, self._showing.state_due = None, True
        self._showing.tell("progress", **progress)
