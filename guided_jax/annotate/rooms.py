"""The rooms of all tabs, by the name of their session: which one a new tab gets, and what is closed in the end."""

import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guided_jax.annotate.encoder import Encoder
from guided_jax.annotate.files.gallery import Gallery
from guided_jax.annotate.files.journal import NAME
from guided_jax.annotate.room import Room
from guided_jax.session import Session

ID = re.compile(r"[0-9a-f]{32}")

LINGER = 120.0
"""Seconds for which a room stays open without a tab: for a reload, or a connection that comes back."""


@dataclass
class Held:
    """A room that is open.

    Attributes:
        room: its work.
        tab: which load of a page has it, so that a reconnection is told from another tab.
        leave: closes the connection of the tab; None: it has none.
        timer: closes the room when it has had no tab for long.
    """

    room: Room
    tab: str
    leave: Callable[[], Any] | None
    timer: threading.Timer | None = None


class Rooms:
    """Opens and closes rooms; each has one tab at most."""

    def __init__(self, folder: Path, base: Session, gallery: Gallery):
        """No room is open yet.

        Args:
            folder: of the sessions, one in each folder below it.
            base: a session without images on the model.
            gallery: the images.
        """
        self.gallery, self._folder, self._base = gallery, folder, base
        self._encoder = Encoder(base)
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}

    def enter(self, session: str, tab: str, leave: Callable[[], Any], *, new: bool = False) -> tuple[str, Room, str]:
        """Gives a tab a room.

        Args:
            session: that the tab worked on; "" where it is new.
            tab: which load of a page asks.
            leave: closes the connection; called where the same load connects anew.
            new: asks for a room where nothing is annotated yet.

        Returns:
            The name of the session, its room, and how it came: `same`, `resumed` (the last one that no tab has open),
            `copy` (another tab has it open) or `new`.

        Raises:
            ValueError: what is kept of the session cannot be read.
        """
        with self._lock:
            how, held = "same", self._held.get(session)
            if new:
                how, session = "new", secrets.token_hex(16)
            elif held and held.leave and held.tab != tab:
                how, session = "copy", self._copy(session)
            elif not held and not (ID.fullmatch(session) and (self._folder / session / NAME).is_file()):
                session = next(self._free(), "")
                how, session = ("resumed", session) if session else ("new", secrets.token_hex(16))
            if held := self._held.get(session):
                if held.leave:
                    held.leave()
                if held.timer:
                    held.timer.cancel()
                held.tab, held.leave, held.timer = tab, leave, None
                return session, held.room, how
            try:
                room = self._open(session)
            except BlockingIOError:  # another server has it open
                how, session = "new", secrets.token_hex(16)
                room = self._open(session)
            self._held[session] = Held(room, tab, leave)
            return session, room, how

    def leave(self, session: str, leave: Callable[[], Any]) -> None:
        """A connection is gone: its room is closed after a while, unless a tab comes."""
        with self._lock:
            held = self._held.get(session)
            if held and held.leave is leave:
                held.leave, held.timer = None, threading.Timer(LINGER, self._close, (session,))
                held.timer.daemon = True
                held.timer.start()

    def find(self, session: str) -> Room:
        """The room of a session that is open.

        Raises:
            ValueError: none is open of this name.
        """
        held = self._held.get(session)
        if held is None:
            raise ValueError("this session is not open; load the page again")
        return held.room

    def close(self) -> None:
        """Closes all rooms."""
        with self._lock:
            held, self._held = list(self._held.values()), {}
        for each in held:
            if each.timer:
                each.timer.cancel()
            if each.leave:
                each.leave()
            each.room.close()
        self._encoder.close()

    def _close(self, session: str) -> None:
        with self._lock:
            held = self._held.get(session)
            if held is None or held.leave:
                return
            del self._held[session]
            held.room.close()

    def _open(self, session: str) -> Room:
        return Room(self._folder / session, self._base.fresh(), self.gallery, self._encoder)

    def _copy(self, session: str) -> str:
        """Copies what is kept of an open session, between two edits."""
        name = secrets.token_hex(16)
        self._held[session].room.call(lambda _: shutil.copytree(self._folder / session, self._folder / name))
        return name

    def _free(self) -> Iterator[str]:
        """The sessions that no tab has, the one that was worked on last first."""
        found = [each for each in self._folder.glob(f"*/{NAME}") if ID.fullmatch(each.parent.name)]
        for journal in sorted(found, key=lambda each: -each.stat().st_mtime_ns):
            held = self._held.get(journal.parent.name)
            if held is None or held.leave is None:
                yield journal.parent.name
