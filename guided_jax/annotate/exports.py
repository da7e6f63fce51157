"""What a person takes from the page as a file: masks as PNG or COCO's JSON, annotations, a video of the overlay."""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from guided_jax.annotate.room import Room
from guided_jax.session.annotation_file import to_json


class Download(NamedTuple):
    """A file.

    Attributes:
        name: of the file, in ASCII.
        type: of its content, as HTTP has it.
        body: the content.
    """

    name: str
    type: str
    body: bytes


def export(room: Room, kind: str) -> Download:
    """Makes a file.

    Args:
        room: of the session.
        kind: one of `KINDS`.

    Raises:
        ValueError: there is no such kind, or nothing to write.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no export {kind!r}; there are: {', '.join(KINDS)}")
    return KINDS[kind](room)


def _session(room: Room) -> Download:
    values = room.call(lambda workspace: to_json(workspace.annotations()))
    return Download(f"{_title(room)}-annotations.json", "application/json", json.dumps(values).encode())


KINDS: dict[str, Callable[[Room], Download]] = {"session": _session}
"""What can be exported, by the last part of its address."""


def _title(room: Room) -> str:
    """What the images are called, as the name of a file in ASCII."""
    return re.sub(r"[^\w.-]+", "-", room.gallery.title, flags=re.ASCII).strip("-.") or "guided_jax"
