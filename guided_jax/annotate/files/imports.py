"""Files that a person gives to the page: images, and annotations of ours, of COCO, or as the PNG of a mask."""

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as coco_mask

from guided_jax.annotate.files.pictures import MOST_PIXELS, decode_labels, decode_picture
from guided_jax.annotate.room import Room
from guided_jax.annotate.workspace import Workspace
from guided_jax.episode import UNKNOWN
from guided_jax.inputs import MOST_LABELS, check_size
from guided_jax.session.annotation_file import FORMAT, AnnotatedImage, Annotations, from_counts, from_json, to_json
from guided_jax.session.marks import LabelMap

MOST_UPLOADS = 500
"""Images that are uploaded to a session."""


def take_upload(room: Room, encoded: bytes, name: str) -> str:
    """Keeps an image in a session; gives its name, with a number where there was one of the name.

    Raises:
        ValueError: it is no image, or one too many.
    """
    decode_picture(encoded, name)
    taken = {picture.name for picture in room.gallery.pictures}
    stem, dot, suffix = name.rpartition(".") if "." in name else (name, "", "")
    for number in range(1, MOST_UPLOADS + 1):
        name = f"{stem}{dot}{suffix}" if number == 1 else f"{stem} ({number}){dot}{suffix}"
        if name not in taken:
            break
    else:
        raise ValueError(f"at most {MOST_UPLOADS} images are uploaded to a session")
    room.uploads.mkdir(exist_ok=True)
    with open(room.uploads / name, "xb") as file:
        file.write(encoded)
    room.add_upload(name)
    return name


def import_file(room: Room, content: bytes, name: str, image: str) -> str:
    """Lays the annotations of a file over those of a session; gives what was done, in a line.

    Args:
        room: of the session.
        content: of the file.
        name: of the file.
        image: that a mask is for; a file of JSON names its own.

    Raises:
        ValueError: the file cannot be understood, or annotates images that are not here.
    """
    if content.lstrip()[:1] in (b"{", b"["):
        read = _read_json(content, name)
        known = {picture.name for picture in room.gallery.pictures}
        if not (here := {each: marked for each, marked in read.images.items() if each in known}):
            raise ValueError(f"{name}: annotates none of the images here")
        left = len(read.images) - len(here)
        said = f"annotations of {len(here)} images" + (f"; {left} of other images are left out" if left else "")
        read = read._replace(images=here)
    else:
        labels = _as_labels(decode_labels(content, name))
        size = room.call(lambda workspace: (workspace.open(image), workspace.session.annotation(image).shape)[1])
        if labels.shape != size:
            raise ValueError(
                f"{name}: is {labels.shape[0]}x{labels.shape[1]} pixels (height x width), the image is "
                f"{size[0]}x{size[1]}"
            )
        objects = room.call(lambda workspace: {key: each for key, (each, _) in workspace.objects().items()})
        found = sorted({*np.unique(labels).tolist()} - {0, UNKNOWN})
        names = {label: objects.get(label, f"Object {label}") for label in found}
        read, said = Annotations(names, {image: AnnotatedImage(size, (LabelMap.of(labels),))}), f"a mask for {image}"
    room.edit(room.call(lambda workspace: events_of(workspace, read, name)))
    return f"Imported {said}."


def _read_json(content: bytes, name: str) -> Annotations:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError(f"{name}: is no JSON") from None
    if isinstance(values, dict) and values.get("format") == FORMAT:
        return from_json(values, name)
    if isinstance(values, dict) and isinstance(values.get("images"), list) and "annotations" in values:
        return read_coco(values, name)
    raise ValueError(f"{name}: is neither a file of annotations of ours nor one of COCO")


def read_coco(values: Mapping[str, Any], where: str) -> Annotations:
    """The annotations of a file of COCO: each category an object, all outside of the objects background.

    Raises:
        ValueError: something in it is not sound; where, in one line.
    """
    try:
        sizes = {each["id"]: _name_and_size(each) for each in values["images"]}
        names = {each["id"]: str(each["name"]) for each in values.get("categories", ())}
        used = sorted({each["category_id"] for each in values["annotations"]})
        if len(used) >= MOST_LABELS:
            raise ValueError(f"has {len(used)} categories; at most {MOST_LABELS - 1}")
        labels = {category: label for label, category in enumerate(used, 1)}
        maps: dict[Any, UInt8[np.ndarray, "h w"]] = {}
        for each in values["annotations"]:
            _, size = sizes[each["image_id"]]
            if each["image_id"] not in maps:
                maps[each["image_id"]] = np.zeros(size, np.uint8)
            maps[each["image_id"]][_decode(each["segmentation"], size)] = labels[each["category_id"]]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    except (KeyError, TypeError, AttributeError, IndexError, MemoryError) as error:
        raise ValueError(f"{where}: is no file of COCO: {type(error).__name__} {error}") from None
    objects = {label: names.get(category, str(category)) for category, label in labels.items()}
    if len({*objects.values()}) < len(objects):
        raise ValueError(f"{where}: two categories have the same name")
    marked = {key: (LabelMap.of(labels),) for key, labels in maps.items()}
    return Annotations(objects, {sizes[key][0]: AnnotatedImage(sizes[key][1], marks) for key, marks in marked.items()})


def _name_and_size(image: Mapping[str, Any]) -> tuple[str, tuple[int, int]]:
    name = PurePosixPath(image["file_name"]).name
    size = check_size((image["height"], image["width"]), f"the size of image {name!r}")
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"the image {name!r} is {size[0]}x{size[1]} pixels; at most {MOST_PIXELS // 10**6} million")
    return name, size


def _decode(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """The bool mask of polygons or run lengths."""
    if isinstance(segmentation, dict):
        if tuple(segmentation["size"]) != size:
            raise ValueError(f"run lengths of another size than their image of {size[0]}x{size[1]} pixels")
        if isinstance(segmentation["counts"], list):
            return from_counts(segmentation["counts"], size, "an annotation")
        runs = segmentation
    elif _are_polygons(segmentation):
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    else:
        raise ValueError("a segmentation must be run lengths, or polygons of three points or more")
    with warnings.catch_warnings():  # of pycocotools 2.0.11 about itself, under numpy 2
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return coco_mask.decode(runs).astype(bool)


def _are_polygons(segmentation: Any) -> bool:
    return (
        isinstance(segmentation, list)
        and bool(segmentation)
        and all(
            isinstance(polygon, list)
            and len(polygon) >= 6
            and len(polygon) % 2 == 0
            and all(isinstance(part, int | float) and math.isfinite(part) for part in polygon)
            for polygon in segmentation
        )
    )


def _as_labels(values: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The values of a mask as labels: one of 0 and 255 alone shows one object."""
    present = {*np.unique(values).tolist()}
    return (values == UNKNOWN).astype(np.uint8) if present <= {0, UNKNOWN} else values


def events_of(workspace: Workspace, theirs: Annotations, where: str) -> list[dict[str, Any]]:
    """The events that lay annotations over those that are here; objects are known again by their names.

    Raises:
        ValueError: an image is not here.
    """
    here = {picture.name for picture in workspace.gallery.pictures}
    if missing := next((name for name in theirs.images if name not in here), None):
        raise ValueError(f"{where}: annotates the image {missing!r}, which is not here")
    mine = {name: label for label, (name, _) in workspace.objects().items()}
    events, labels, free = [], {0: 0}, workspace.next_label()
    for label, name in sorted(theirs.objects.items()):
        name = name or f"Object {label}"
        if name not in mine:
            events.append({"edit": "add_object", "name": name})
            mine[name], free = free, free + 1
        labels[label] = mine[name]
    for name, image in theirs.images.items():
        marks = to_json(Annotations(theirs.objects, {name: image}))["images"][0]["marks"]
        marks = [_relabel(mark, labels) for mark in marks]
        events.append({"edit": "marks", "image": name, "size": list(image.size), "marks": marks})
    return events


def _relabel(mark: dict[str, Any], labels: Mapping[int, int]) -> dict[str, Any]:
    if "mask" in mark:
        return {"mask": [{**each, "label": labels[each["label"]]} for each in mark["mask"]]}
    return {**mark, "label": labels.get(mark["label"], mark["label"])}
