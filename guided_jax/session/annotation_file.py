"""Annotations in a file: points, scribbles and masks of several images, as JSON. The page `docs/session.md` shows one.

    {"format": "guided_jax annotations", "version": 1,
     "objects": [{"label": 1, "name": "dog"}],
     "images": [{"name": "photo", "size": [480, 854], "marks": [
        {"point": [120, 340], "label": 1},
        {"scribble": [[10, 20], [30, 40]], "width": 5, "label": 0},
        {"mask": [{"label": 1, "counts": [4800, 12, 409908]}]}]}]}

Sizes are height and width, positions row and column, in pixels from the top left. Label 0 is the negative, the others
are those of `objects`; an object without a name is "". A scribble of label 255 takes the annotation of its pixels away.
Marks lie over those before them. `counts` are COCO's run lengths of the pixels of a label, uncompressed: down the
columns, in turn without the label and with it, beginning with those without. A pixel of none of the masks of a mark is
not marked by it. The name of an image is a text or a whole number.
"""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from guided_jax.episode import UNKNOWN, Click
from guided_jax.inputs import MOST_LABELS, check_size, check_whole, describe
from guided_jax.session.edits import Marks
from guided_jax.session.marks import LabelMap, Mark, Scribble, labels_of
from guided_jax.snapshots.files import write_whole

FORMAT, VERSION = "guided_jax annotations", 1


class AnnotatedImage(NamedTuple):
    """The marks on an image.

    Attributes:
        size: height and width of the image in pixels.
        marks: on it, in their order.
    """

    size: tuple[int, int]
    marks: Marks


class Annotations(NamedTuple):
    """What a file holds.

    Attributes:
        objects: names of the labels from 1 on; "" where one has none.
        images: by name.
    """

    objects: dict[int, str]
    images: dict[Hashable, AnnotatedImage]


def write_annotations(path: str | Path, annotations: Annotations) -> None:
    """Writes a file, whole or not at all.

    Raises:
        ValueError: it cannot be written, or the name of an image is neither a str nor an int.
    """
    text = json.dumps(to_json(annotations), separators=(",", ":"))
    write_whole(Path(path), lambda partial: partial.write_text(text, encoding="utf-8"))


def read_annotations(path: str | Path) -> Annotations:
    """Reads what `write_annotations` wrote, of this version or an older one.

    Raises:
        ValueError: the file cannot be read, or is not sound; where, in one line.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise ValueError(f"{path}: cannot be read as JSON: {reason}") from None
    return from_json(values, str(path))


def to_json(annotations: Annotations) -> dict[str, Any]:
    """The annotations as JSON has them.

    Raises:
        ValueError: the name of an image is neither a str nor an int.
    """
    for name in annotations.images:
        if type(name) not in (str, int):
            raise ValueError(f"the name of an image is {name!r}; in a file it must be a str or an int")
    return {
        "format": FORMAT,
        "version": VERSION,
        "objects": [{"label": label, "name": name} for label, name in annotations.objects.items()],
        "images": [
            {"name": name, "size": list(image.size), "marks": [_mark_to_json(mark) for mark in image.marks]}
            for name, image in annotations.images.items()
        ],
    }


def from_json(values: Any, where: str) -> Annotations:
    """The annotations of a JSON value.

    Args:
        values: as `json.loads` gives them.
        where: they come from, for messages.

    Raises:
        ValueError: something in it is not sound; where, in one line.
    """
    top = _fields(values, where, "format", "version", "objects", "images")
    if top["format"] != FORMAT:
        raise ValueError(f"{where}: format is {describe(top['format'])}; it must be {FORMAT!r}")
    if top["version"] != VERSION:
        raise ValueError(f"{where}: version is {describe(top['version'])}; this one reads version {VERSION}")
    objects, images = {}, {}
    for at, each in _items(top["objects"], f"{where}: objects"):
        label, name = _fields(each, at, "label", "name").values()
        _check_label(label, at, range(1, MOST_LABELS))
        if not isinstance(name, str):
            raise ValueError(f"{at}: name is {describe(name)}; it must be a text")
        if label in objects or (name and name in objects.values()):
            raise ValueError(f"{at}: another object has the same label or name")
        objects[label] = name
    for at, each in _items(top["images"], f"{where}: images"):
        name, size, marks = _fields(each, at, "name", "size", "marks").values()
        if type(name) not in (str, int):
            raise ValueError(f"{at}: name is {describe(name)}; it must be a text or a whole number")
        if name in images:
            raise ValueError(f"{at}: another image has the name {name!r}")
        size = check_size(size, f"{at}: size")
        read = tuple(_mark_from_json(mark, place, size) for place, mark in _items(marks, f"{at}.marks"))
        for mark in read:
            if strange := labels_of(mark) - {0, *objects}:
                raise ValueError(f"{at}: a mark has the label {min(strange)}, which is none of the objects")
        images[name] = AnnotatedImage(size, read)
    return Annotations(objects, images)


def _mark_to_json(mark: Mark) -> dict[str, Any]:
    match mark:
        case Click():
            return {"point": [mark.row, mark.column], "label": mark.label}
        case Scribble():
            return {"scribble": [list(point) for point in mark.points], "width": mark.width, "label": mark.label}
        case LabelMap():
            labels = mark.labels()
            return {
                "mask": [{"label": label, "counts": to_counts(labels == label)} for label in sorted(labels_of(mark))]
            }


def _mark_from_json(value: Any, at: str, size: tuple[int, int]) -> Mark:
    kind = next((kind for kind in ("point", "scribble", "mask") if isinstance(value, dict) and kind in value), None)
    if kind == "point":
        point, label = _fields(value, at, "point", "label").values()
        return Click(*_point(point, at, size), _check_label(label, at, range(MOST_LABELS)))
    if kind == "scribble":
        points, width, label = _fields(value, at, "scribble", "width", "label").values()
        label = _check_label(label, at, range(UNKNOWN + 1))
        read = tuple(_point(point, place, size) for place, point in _items(points, f"{at}.scribble"))
        if not read or not 1 <= check_whole(width, f"{at}: width") <= sum(size):
            raise ValueError(f"{at}: must have a point at least, and a width of 1 to {sum(size)} pixels")
        return Scribble(read, label, width)
    if kind == "mask":
        labels = np.full(size, UNKNOWN, np.uint8)
        for place, each in _items(_fields(value, at, "mask")["mask"], f"{at}.mask"):
            label, counts = _fields(each, place, "label", "counts").values()
            labels[from_counts(counts, size, place)] = _check_label(label, place, range(MOST_LABELS))
        return LabelMap.of(labels)
    raise ValueError(f"{at} is {describe(value)}; it must be a group of fields with point, scribble or mask")


def to_counts(mask: UInt8[np.ndarray, "h w"] | np.ndarray) -> list[int]:
    """COCO's run lengths of a bool mask [h, w]: down the columns, in turn of False and True, beginning with False."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *counts] if flat[0] else counts


def from_counts(counts: Any, size: tuple[int, int], at: str) -> np.ndarray:
    """The bool mask [h, w] of COCO's run lengths, uncompressed.

    Raises:
        ValueError: these are no whole numbers from 0 on that sum to the pixels of the size.
    """
    pixels = size[0] * size[1]
    sound = isinstance(counts, list) and all(type(count) is int and 0 <= count <= pixels for count in counts)
    if not sound or sum(counts) != pixels:
        raise ValueError(
            f"{at}: counts must be whole numbers from 0 on, which sum to the {pixels} pixels of the image (COCO's run "
            "lengths, uncompressed)"
        )
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(size, order="F")


def _items(values: Any, at: str) -> list[tuple[str, Any]]:
    """The items of a list, each with its place."""
    if not isinstance(values, list):
        raise ValueError(f"{at} is {describe(values)}; it must be a list")
    return [(f"{at}[{number}]", value) for number, value in enumerate(values)]


def _fields(value: Any, at: str, *names: str) -> dict[str, Any]:
    """The fields of an object, in the order asked for; no others may be there."""
    if not isinstance(value, dict) or set(value) != set(names):
        given = (
            f"has the fields {', '.join(map(str, value)) or 'none'}"
            if isinstance(value, dict)
            else f"is {describe(value)}"
        )
        raise ValueError(f"{at}: must be a group of the fields {', '.join(names)}; it {given}")
    return {name: value[name] for name in names}


def _point(value: Any, at: str, size: tuple[int, int]) -> tuple[int, int]:
    if not (
        isinstance(value, list)
        and len(value) == 2
        and all(type(part) is int and 0 <= part < side for part, side in zip(value, size, strict=True))
    ):
        raise ValueError(f"{at}: a point must be [row, column] inside the image of {size[0]}x{size[1]} pixels")
    return tuple(value)


def _check_label(label: Any, at: str, allowed: range) -> int:
    if type(label) is not int or label not in allowed:
        raise ValueError(f"{at}: label is {describe(label)}; it must be {allowed.start} to {allowed.stop - 1}")
    return label
