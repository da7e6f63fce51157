"""What a tab is shown: the state, and the newest mask of the image in view; and the encoding that these need."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from guided_jax.annotate.encoder import GUIDING, LOOKED_AT, NEXT, Encoder
from guided_jax.annotate.record import Record
from guided_jax.annotate.web.protocol import heat_frame, mask_frame
from guided_jax.session import Session

Deliver = Callable[[str, dict[str, Any] | bytes], object]
"""Takes a message for the page, and its kind: of most kinds only the newest one counts."""


class Showing:
    """What one tab looks at. Used by the thread of its room alone.

    Attributes:
        image: name of the one in view; "" before the page has said.
        deliver: takes messages; None: nobody looks.
        state_due: whether the page is to be told the state anew.
    """

    def __init__(self, record: Record, encoder: Encoder, post: Callable[[Callable[[], object]], object]):
        """Nobody looks yet.

        Args:
            record: of the session.
            encoder: of the server.
            post: has the room's thread do something.
        """
        self._record, self._encoder, self._post = record, encoder, post
        self.image, self.deliver, self.state_due = "", None, False
        self._wants_heat = False
        self._asked: set[str] = set()  # images that the encoder is asked for
        self._failed: dict[str, str] = {}
        self._forget_sent()

    def connect(self, deliver: Deliver) -> None:
        """From now on messages go there, beginning with the state."""
        self.deliver, self.state_due = deliver, True
        self._forget_sent()

    def look(self, image: str, heat: bool) -> None:
        """Brings an image into view, with its uncertainty or without."""
        self.image, self._wants_heat, self.state_due = image, heat, True
        self._failed.pop(image, None)
        self._forget_sent()

    def tell(self, kind: str, /, **message: Any) -> None:
        """Sends a message of a type."""
        if self.deliver:
            self.deliver(kind, {"type": kind, **message})

    def answer(self, running: str, is_idle: Callable[[], bool]) -> None:
        """Sends what has changed: the state, the mask of the image in view, its uncertainty.

        Args:
            running: kind of the run that is going on.
            is_idle: whether nothing else waits, so that there is time for the uncertainty.

        Raises:
            ValueError: the image cannot be read.
        """
        if self.deliver is None:
            return
        if self.state_due:
            self.state_due = False
            self.tell("state", **self._state(running))
        now = (self.image, self._record.seq, self._record.version, self._record.results.get(self.image))
        if self.image and now != self._sent:
            self._sent = now
            if not self._answer_mask():
                self._sent = None
                return
        if self._wants_heat and self._live and now == self._sent != self._heat_sent and is_idle():
            self._heat_sent = now
            head = {"image": self.image, "seq": self._record.seq}
            self.deliver("heat", heat_frame(self._record.workspace.session.uncertainty(self.image), head))

    def _forget_sent(self) -> None:
        self._sent, self._heat_sent, self._live, self._left = None, None, False, 0

    def _answer_mask(self) -> bool:
        """Sends the mask of the image in view; False: it waits for the encoder."""
        name, record = self.image, self._record
        record.workspace.open(name)
        began, counts = time.perf_counter(), record.workspace.counts()
        head = {"image": name, "seq": record.seq, "kind": "live", "stale": False}
        self._live = False
        if result := record.result_of(name, counts.get(name, 0)):
            head |= {"kind": result.kind, "stale": result.version != record.version}
            labels = result.labels.labels()
        elif self._lacks(name) and counts:
            return False
        else:
            self._live = bool(counts)
            labels = record.workspace.mask(name) if counts else self._nothing(name)
        head["ms"] = round(1000 * (time.perf_counter() - began), 1)
        self.deliver("mask", mask_frame(labels, head))
        return True

    def _nothing(self, name: str) -> UInt8[np.ndarray, "h w"]:
        return np.zeros(self._record.workspace.session.annotation(name).shape, np.uint8)

    def _lacks(self, name: str) -> bool:
        """Has the encoder encode what the mask of an image lacks; gives whether that is anything."""
        lacking = self._record.workspace.session.to_encode(name)
        if failed := next((self._failed[each] for each in lacking if each in self._failed), None):
            raise ValueError(failed)
        for each in lacking:
            self._ask(each, LOOKED_AT if each == name else GUIDING)
        self._tell_encoding(len(lacking))
        return bool(lacking)

    def _tell_encoding(self, left: int) -> None:
        if left != self._left:
            self._left = left
            self.tell("encoding", left=left)

    def _ask(self, name: str, urgency: int) -> None:
        if name in self._asked:
            return
        self._asked.add(name)

        def done(name: str, found: Session | ValueError) -> None:
            self._post(lambda: self._encoded(name, found))

        workspace = self._record.workspace
        self._encoder.encode(workspace.gallery.find(name), urgency, done, workspace.session.way)

    def _encoded(self, name: str, found: Session | ValueError) -> None:
        self._asked.discard(name)
        if isinstance(found, ValueError):
            self._failed[name] = str(found)
            if name == self.image:
                raise found
            return
        self._record.workspace.adopt(found)
        if name == self.image:
            self._tell_encoding(0)
            names = [picture.name for picture in self._record.workspace.gallery.pictures]
            for after in names[names.index(name) + 1 :][:1]:  # a person will probably look at it next
                if self._record.workspace.needs(after):
                    self._ask(after, NEXT)

    def _state(self, running: str) -> dict[str, Any]:
        record, workspace = self._record, self._record.workspace
        counts = workspace.counts()
        return {
            "seq": record.seq,
            "image": self.image,
            "objects": [
                {"label": label, "name": name, "colour": shown.colour, "hidden": shown.hidden, "locked": shown.locked}
                for label, (name, shown) in workspace.objects().items()
            ],
            "next_label": workspace.next_label(),
            "marks": workspace.marks_json(self.image),
            "counts": counts,
            "results": {name: each.kind for name, each in record.results.items() if not counts.get(name)},
            "undo": workspace.can_undo(),
            "redo": workspace.can_redo(),
            "running": running,
        }
