"""What takes as long as there are images: the masks of all, or of a clip frame after frame; it can be cancelled."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from guided_jax.annotate.gallery import Gallery
from guided_jax.session import Session

log = logging.getLogger(__name__)


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
        self._cancelled = threading.Event()
        steps = _all(session, gallery, first) if kind == "all" else _along(session, gallery)
        self._thread = threading.Thread(target=self._run, args=(steps, len(gallery.pictures)), name=kind, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Ends it after the image that it is at."""
        self._cancelled.set()

    def _run(self, steps: Iterator[tuple[str, UInt8[np.ndarray, "h w"]]], number: int) -> None:
        done, state, message = 0, "done", ""
        progress = {"kind": self.kind, "all": number}
        self._told({**progress, "done": 0, "state": "running"})
        try:
            while not self._cancelled.is_set() and (step := next(steps, None)) is not None:
                self._took(*step)
                done += 1
                self._told({**progress, "done": done, "state": "running"})
            state = "cancelled" if self._cancelled.is_set() else "done"
        except ValueError as error:
            state, message = "failed", str(error)
        except Exception as error:
            log.exception("%s failed", self.kind)
            state, message = "failed", f"the server failed: {error}"
        self._told({**progress, "done": done, "state": state, "message": message})


def _all(session: Session, gallery: Gallery, first: str) -> Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]:
    """Every image by itself, the one in view first and then around, as a person will look at them."""
    names = [picture.name for picture in gallery.pictures]
    start = names.index(first) if first in names else 0
    for picture in (*gallery.pictures[start:], *gallery.pictures[:start]):
        if picture.name not in session.names:
            session.add(picture.name, picture.read)
        yield picture.name, session.mask(picture.name)


def _along(session: Session, gallery: Gallery) -> Iterator[tuple[str, UInt8[np.ndarray, "h w"]]]:
    raise ValueError("along the clip: comes with clips")
