"""Images encoded in a thread of their own, so that clicks on one do not wait for the next; what is wanted most, first.

A second thread compiles the programs that a person will need next.
"""

import functools
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Hashable

from guided_jax.annotate.files.gallery import Picture
from guided_jax.session import Session

LOOKED_AT, GUIDING, NEXT = 0, 1, 2
"""What is wanted first: the image in view, those that guide its mask, the one that is probably next."""

log = logging.getLogger(__name__)


class Worker:
    """A thread that does one thing after the other, the most urgent first."""

    def __init__(self, name: str):
        """Starts the thread."""
        self._number, self._queue = itertools.count(), queue.PriorityQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, urgency: int, work: Callable[[], object] | None) -> None:
        """Adds what is to be done; smaller is sooner. None: the thread ends there."""
        self._queue.put((urgency, next(self._number), work))

    def close(self) -> None:
        """Ends the thread after what it is at."""
        self.put(-1, None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()[2]) is not None:
            try:
                work()
            except Exception:
                log.exception("the thread %s failed", self._thread.name)


class Encoder:
    """Encodes images for any number of sessions on one model."""

    def __init__(self, base: Session):
        """Starts the threads.

        Args:
            base: a session without images, on the model of all sessions.
        """
        self._base, self._ready = base, set[Hashable]()
        self._samples: dict[Hashable, tuple[Session, str]] = {}  # an image of each size, encoded
        self._images, self._programs = Worker("encoder"), Worker("compiler")

    def encode(
        self, picture: Picture, urgency: int, done: Callable[[str, Session | ValueError], object], way: int
    ) -> None:
        """Encodes an image.

        Args:
            picture: the image.
            urgency: smaller is sooner.
            done: is called from the thread with the image's name and a session that holds it alone, to be merged, or
                with why it cannot be.
            way: number of labels, for `prepare`.
        """

        def work() -> None:
            one = self._base.fresh()
            try:
                one.add(picture.name, picture.read)
                one.mask(picture.name)
            except ValueError as error:
                done(picture.name, error)
                return
            except Exception as error:  # as no memory; whoever waits must hear of it
                log.exception("%s was not encoded", picture.name)
                done(picture.name, ValueError(f"{picture.name} could not be encoded: {type(error).__name__}: {error}"))
                return
            done(picture.name, one)
            self._samples.setdefault(one.annotation(picture.name).shape, (one, picture.name))
            self.prepare(way)

        self._images.put(urgency, work)

    def prepare(self, way: int) -> None:
        """Has the programs compiled that a number of labels needs on images as those that were encoded, and one more.

        The most likely first: a click, a scribble, a click on another object.
        """
        for one, name in [*self._samples.values()]:
            for order, (labels, mark) in enumerate(((way, "click"), (way, "scribble"), (way + 1, "click"))):
                self._programs.put(order, functools.partial(self._prepare, one, name, labels, mark))

    def close(self) -> None:
        """Ends the threads."""
        self._images.close()
        self._programs.close()

    def _prepare(self, one: Session, name: str, way: int, mark: str) -> None:
        """Compiles what a mark on an image like this one takes, by making one; each kind once."""
        kind = (one.annotation(name).shape, way, mark)
        if kind in self._ready:
            return
        self._ready.add(kind)
        trial = one.fresh()
        trial.merge(one)
        try:
            while trial.way < way:
                trial.add_object()
        except ValueError:  # the model takes no more labels
            return
        if mark == "click":
            trial.click(name, 0, 0, 1)
        else:
            trial.scribble(name, [(0, 0)], 1)
        trial.mask(name)
        trial.uncertainty(name)
