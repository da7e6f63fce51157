"""Files of annotations, whichever program wrote them: which images each annotates, and the marks on an image of it.

| file | what it is known by |
| --- | --- |
| a mask: `.png`, `.bmp`, `.gif`, `.jpg` | its suffix |
| JSON of this project (`guided_jax.session.annotation_file`) | `format` |
| JSON of labelme | `shapes` |
| JSON of COCO instances | `images`, `annotations` and `categories` |
| XML of CVAT for images | `.xml` |
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.datasets.coco import rasterise
from data_pipelines.datasets.coco_checks import LISTS, check_content, read_json
from data_pipelines.datasets.folder import MASK_SUFFIXES
from data_pipelines.datasets.reading.class_names import find_names_file, read_class_names
from data_pipelines.datasets.reading.files import read_text
from data_pipelines.datasets.reading.masks import Coding, read_coded, survey
from data_pipelines.datasets.record import DatasetError
from experiments.segmenting.cvat import read_cvat
from experiments.segmenting.labelme import read_labelme
from experiments.segmenting.shapes import IGNORED, Area, Marked, Shape, Size, mark_shapes
from guided_jax.session.annotation_file import FORMAT, AnnotatedImage, Annotations, from_json
from guided_jax.session.marks import LabelMap, labels_of

KNOWN = "a mask, JSON of guided_jax, labelme or COCO, or XML of CVAT"


class Entry(NamedTuple):
    """An annotated image of a file.

    Attributes:
        size: of the image, height and width in pixels, as far as the file knows it.
        marks: gives the marks on it, for its size; raises ValueError where they are not sound.
    """

    size: Size | None
    marks: Callable[[Size], Marked]


class AnnotationFile(NamedTuple):
    """A file of annotations.

    Attributes:
        path: of it.
        images: by the name that the file has for each, as a rule a path relative to something.
        names_images: False for a mask, whose image is not told; its only entry has the file's own name.
    """

    path: Path
    images: Mapping[str | int, Entry]
    names_images: bool = True


def is_mask(path: Path) -> bool:
    """Whether a file is read as a mask."""
    return path.suffix.lower() in MASK_SUFFIXES


def read_annotation_files(paths: Sequence[Path], masks: str = "") -> list[AnnotationFile]:
    """Reads files of any kind.

    Args:
        paths: of the files.
        masks: how masks are read, see `survey`; empty: found out from all of them together.

    Raises:
        DatasetError, ValueError: a file cannot be read, is of none of the kinds, or is not sound; which, in one line.
    """
    mask_paths = [path for path in paths if is_mask(path)]
    coding = survey_masks(mask_paths, masks) if mask_paths else None
    return [_read_mask(path, coding) if path in mask_paths else _read_named(path) for path in paths]


def survey_masks(paths: Sequence[Path], masks: str) -> Coding:
    """How masks are coded, see `survey`; what settles it is a flag here, not a part of a source.

    Raises:
        DatasetError: they could be read in several ways.
    """
    try:
        return survey(paths, masks)
    except DatasetError as error:
        raise DatasetError(str(error).replace(" to the source", "").replace(":masks=", "--masks=")) from error


def _read_mask(path: Path, coding: Coding) -> AnnotationFile:
    labels = read_coded(path, coding)
    mark = LabelMap.of(labels)
    found = sorted(labels_of(mark) - {0})
    file = find_names_file([path.parent])
    names = read_class_names(file, found) if file and found else []
    objects = {label: names[label - 1] if names else "" for label in found}
    return AnnotationFile(path, {path.name: Entry(labels.shape, lambda size: Marked(objects, (mark,)))}, False)


def _read_named(path: Path) -> AnnotationFile:
    if path.suffix.lower() == ".xml":
        entries = [(name, size, shapes) for name, size, shapes in read_cvat(path) if shapes]
        return AnnotationFile(path, _entries(entries, path))
    if path.suffix.lower() != ".json":
        raise ValueError(f"{path}: is no file of annotations; expected is {KNOWN}")
    try:
        values = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON: {error}") from None
    fields = values if isinstance(values, dict) else {}
    if "format" in fields:
        return AnnotationFile(path, _own_entries(from_json(values, str(path))))
    if "shapes" in fields:
        return AnnotationFile(path, _entries([read_labelme(values, str(path))], path))
    if all(name in fields for name in LISTS):
        return AnnotationFile(path, _entries(_read_coco(path), path))
    raise ValueError(
        f"{path}: is none of the JSON files that are read: of guided_jax (format {FORMAT!r}), of labelme (shapes), of "
        f"COCO ({', '.join(LISTS)})"
    )


def _own_entries(annotations: Annotations) -> dict[str | int, Entry]:
    def entry(image: AnnotatedImage) -> Entry:
        used = set().union(*map(labels_of, image.marks))
        objects = {label: name for label, name in annotations.objects.items() if label in used}
        return Entry(image.size, lambda size: Marked(objects, image.marks))

    return {name: entry(image) for name, image in annotations.images.items() if image.marks}


def _entries(images: Sequence[tuple[str, Size | None, Sequence[Shape]]], path: Path) -> dict[str, Entry]:
    entries = {}
    for name, size, shapes in images:
        if name in entries:
            raise ValueError(f"{path}: two of its images have the name {name}")
        entries[name] = Entry(size, partial(mark_shapes, shapes, at=f"{path} ({name})"))
    return entries


def _read_coco(path: Path) -> list[tuple[str, Size, list[Shape]]]:
    """The images of a COCO file; a box without a mask is an area, and a crowd stays unannotated."""
    content = read_json(path)
    content["annotations"] = list(map(_with_box, content["annotations"]))
    checked = check_content(content, path, path.parent, skip_broken=False)
    names = {category["id"]: category["name"].strip() for category in checked.categories}

    def shape(annotation: dict[str, Any]) -> Area:
        label = IGNORED if annotation.get("iscrowd") else names[annotation["category_id"]]
        return Area(label, lambda size: rasterise(annotation["segmentation"], *size))

    return [
        (name, (image["height"], image["width"]), list(map(shape, checked.annotations[image["id"]])))
        for name, image in checked.images.items()
        if image["id"] in checked.annotations
    ]


def _with_box(annotation: dict[str, Any]) -> dict[str, Any]:
    box = annotation.get("bbox")
    sound = isinstance(box, list) and len(box) == 4 and all(type(part) in (int, float) for part in box)
    if annotation.get("segmentation") or not sound:
        return annotation
    x, y, width, height = box
    ring = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {**annotation, "segmentation": [ring]}


def annotations_of(name: str, size: Size, marked: Marked) -> Annotations:
    """The marks on one image as a session takes them."""
    return Annotations(marked.objects, {name: AnnotatedImage(size, marked.marks)})
