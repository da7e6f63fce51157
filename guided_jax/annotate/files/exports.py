"""What a person takes from the page as a file: masks as PNG or COCO's JSON, annotations, a video of the overlay."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from guided_jax.annotate.files.gallery import Picture
from guided_jax.annotate.record import Snapshot
from guided_jax.annotate.room import Room
from guided_jax.annotate.workspace import only_marked
from guided_jax.masks.coco import objects_of, to_coco
from guided_jax.masks.overlay import draw_labels
from guided_jax.masks.palette import to_png
from guided_jax.masks.video import encode_video
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
    ending, content, make = KINDS[kind]
    title = re.sub(r"[^\w.-]+", "-", room.gallery.title, flags=re.ASCII).strip("-.") or "guided_jax"
    return Download(f"{title}-{ending}", content, make(room))


def _session(room: Room) -> bytes:
    return json.dumps(room.call(lambda workspace: to_json(workspace.annotations()))).encode()


def _masks(room: Room) -> bytes:
    """A zip of a PNG for each image, and of the names of the objects, as `folder@PATH` reads them."""
    taken, buffer, snapshot = set[str](), io.BytesIO(), room.snapshot()
    palette = _colours(snapshot).reshape(-1).tolist()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed
        for picture, labels in _there(snapshot):
            stem = picture.name.rpartition(".")[0] or picture.name
            name = picture.name if stem in taken else stem
            taken.add(name)
            archive.writestr(f"masks/{name}.png", to_png(labels, palette))
        lines = (f"{label} {' '.join(name.split())}\n" for label, (name, _) in snapshot.objects.items())
        archive.writestr("masks/classes.txt", "".join(lines))
    return buffer.getvalue()


def _coco(room: Room) -> bytes:
    snapshot = room.snapshot()
    images = [
        ({"file_name": picture.name, "height": labels.shape[0], "width": labels.shape[1]}, objects_of(labels))
        for picture, labels in _there(snapshot)
    ]
    names = {label: name for label, (name, _) in snapshot.objects.items()}
    return json.dumps(to_coco(images, names, {"description": "guided_jax annotate"})).encode()


def _video(room: Room) -> bytes:
    """All images in their order, with their masks where they have any; what is hidden on the page is hidden here."""
    snapshot, buffer = room.snapshot(), io.BytesIO()
    masks = {picture.name: labels for picture, labels in _there(snapshot)}
    pictures, colours = snapshot.gallery.pictures, _colours(snapshot)
    hidden = [label for label, (_, shown) in snapshot.objects.items() if shown.hidden]
    size = pictures[0].read().shape[:2]

    def frames() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for picture in pictures:
            image = picture.read()
            if image.shape[:2] != size:
                raise ValueError(f"{picture.name} is of another size than {pictures[0].name}: a video has one size")
            labels = masks.get(picture.name)
            if labels is None:
                yield image
            else:
                yield draw_labels(image, np.where(np.isin(labels, hidden), np.uint8(0), labels), colours)

    encode_video(buffer, frames(), size, snapshot.gallery.rate)
    return buffer.getvalue()


KINDS: dict[str, tuple[str, str, Callable[[Room], bytes]]] = {
    "masks": ("masks.zip", "application/zip", _masks),
    "coco": ("coco.json", "application/json", _coco),
    "video": ("overlay.mp4", "video/mp4", _video),
    "session": ("annotations.json", "application/json", _session),
}
"""What can be exported, by the last part of its address: the end of the file's name, its type, and what makes it."""


def _there(snapshot: Snapshot) -> Iterator[tuple[Picture, UInt8[np.ndarray, "h w"]]]:
    """The images that show a mask, annotated or computed with others, in their order.

    Raises:
        ValueError: there are none.
    """
    annotated = snapshot.session.annotations().images
    shown = [each for each in snapshot.gallery.pictures if each.name in annotated or each.name in snapshot.results]
    if not shown:
        raise ValueError("there is no mask yet: mark an object first")
    for picture in shown:
        if picture.name in snapshot.results:
            yield picture, snapshot.results[picture.name].labels.labels()
        else:
            yield picture, only_marked(snapshot.session.mask(picture.name), snapshot.marked)


def _colours(snapshot: Snapshot) -> UInt8[np.ndarray, "256 3"]:
    """Red, green and blue of each label, as the page shows them."""
    colours = np.zeros((256, 3), np.uint8)
    for label, (_, shown) in snapshot.objects.items():
        colours[label] = [int(shown.colour[at : at + 2], 16) for at in (1, 3, 5)]
    return colours
