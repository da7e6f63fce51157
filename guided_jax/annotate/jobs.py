"""What takes as long as there are images: the masks of all, or of a clip frame after frame; it can be cancelled."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from guided_jax.annotate.files.gallery import Gallery
from guided_jax.annotate.workspace import only_marked
from guided_jax.clips import Clip
from guided_jax.episode import UNKNOWN
from guided_jax.session import Session
from guided_jax.session.marks import labels_of

log = logging.getLogger(__name__)


class _CancelledError(Exception):
    """Ends the steps of a run."""


class Job:
    """A computation in a thread of its own, on a session of its own."""

    def __init__(
        self,
        kind: str,
        session: Session,
        gallery: Gallery,
        first: str,
        took: Callable[[str, UInt8[np.ndarray, "h w"]], object],
        told: Callable[[dict[str, Any]], object],
    ):
        """Starts it.

        Args:
            kind: `all` images by what is annotated, or `along` the clip.
            session: holds what is annotated; it is the job's alone.
            gallery: the images.
            first: name of the image to begin with.
            took: is called with the name and the mask of each image.
            told: is called with the progress: kind, done, all, and the state: running, done, cancelled or failed.
        """
        self.kind, self._told, self._took = kind, told, took
        self._cancelled, self._steps = threading.Event(), (0, len(gallery.pictures))
        masks = _all(session, gallery, first) if kind == "all" else _along(session, gallery, self._progress)
        self._thread = threading.Thread(target=self._run, args=(masks,), name=kind, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Ends it after the image that it is at."""
        self._cancelled.set()

    def _progress(self, done: int, total: int) -> None:
        if self._cancelled.is_set():
            raise _CancelledError
        self._steps = (done, total)
        self._tell("running")

    def _tell(self, state: str, message: str = "") -> None:
        done, total = self._steps
        self._told({"kind": self.kind, "done": done, "all": total, "state": state, "message": message})

    def _run(self, masks: Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]) -> None:
        state, message = "done", ""
        self._tell("running")
        try:
            while not self._cancelled.is_set() and (found := next(masks, None)) is not None:
                self._took(*found)
                if self.kind == "all":
                    self._steps = (self._steps[0] + 1, self._steps[1])
                    self._tell("running")
            state = "cancelled" if self._cancelled.is_set() else "done"
        except _CancelledError:
            state = "cancelled"
        except ValueError as error:
            state, message = "failed", str(error)
        except Exception as error:
            log.exception("%s failed", self.kind)
            state, message = "failed", f"the server failed: {error}"
        self._tell(state, message)


def _all(session: Session, gallery: Gallery, first: str) -> Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]:
    """Every image by itself, the one in view first and then around, as a person will look at them."""
    names = [picture.name for picture in gallery.pictures]
    start = names.index(first) if first in names else 0
    for picture in (*gallery.pictures[start:], *gallery.pictures[:start]):
        if picture.name not in session.names:
            session.add(picture.name, picture.read)
        yield picture.name, session.mask(picture.name)


def _along(
    session: Session, gallery: Gallery, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]:
    """The images as the frames of a clip, from the masks of the annotated ones forward and backward."""
    pictures, clip = gallery.pictures, session.fresh()
    size = pictures[0].read().shape[:2]
    frames = Clip("the clip", tuple(each.name for each in pictures), size, gallery.rate, lambda i: pictures[i].read())
    names = dict(zip(frames.names, clip.add_clip("clip", frames), strict=True))
    while clip.way < session.way:
        clip.add_object()
    marked = session.annotations().images
    objects = {label for image in marked.values() for mark in image.marks for label in labels_of(mark)}
    for name in marked:
        # What the page shows is what is followed: a few points alone may not say what is background.
        labels, given = only_marked(session.mask(name), objects), session.annotation(name)
        labels = np.where(given == UNKNOWN, labels, given)
        clip.annotate(names[name], labels, negatives_only=True)
    for number, labels in clip.propagate("clip", direction="both", progress=progress):
        yield pictures[number].name, labels
