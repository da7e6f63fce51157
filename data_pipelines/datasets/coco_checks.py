"""What is wrong with a COCO file, said by image and annotation before anything is drawn."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from data_pipelines.datasets.reading.images import read_bytes
from data_pipelines.datasets.record import DatasetError
from data_pipelines.safe_paths import join

LISTS = ("images", "annotations", "categories")
FAR = 1.0
"""How far a polygon may lie outside its image, relative to the longer side: beyond, rasterising fails."""
PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")
"""How files of gzip, zip, bzip2 and xz begin."""
SPOILT = "its image is left out"


@dataclass(frozen=True)
class Checked:
    """A COCO file that can be drawn.

    Attributes:
        images: entries by file name.
        annotations: of each image id.
        categories: by the order of their ids.
        broken: what is wrong with images and annotations that are left out, by file name or in the order found.
    """

    images: dict[str, dict]
    annotations: dict[Any, list[dict]]
    categories: list[dict]
    broken: tuple[str, ...]


def read_json(path: Path) -> dict:
    """Reads a COCO file as JSON with the three lists that it must have.

    Raises:
        DatasetError: it is cut short, no JSON, or no instance file of COCO.
    """
    encoded = read_bytes(path)
    if encoded.startswith(PACKED):
        raise DatasetError(f"{path} is compressed; unpack it")
    try:
        content = json.loads(encoded)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 (byte {error.start}); save it in UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not whole: {error}; unpack it again") from error
    found = isinstance(content, dict) and all(isinstance(content.get(name), list) for name in LISTS)
    if not found:
        raise DatasetError(
            f"{path} is not an instance file of COCO: an object with the lists images, annotations and categories"
        )
    for name in LISTS:
        wrong = [each for each in content[name] if not isinstance(each, dict)]
        if wrong:
            raise DatasetError(f"{path}: {name} holds {_short(wrong[0])}, which is no object with fields")
    return content


def check_content(content: dict, path: Path, folder: Path, *, skip_broken: bool) -> Checked:
    """Checks all of a file.

    Args:
        content: of `read_json`.
        path: of the file, for messages.
        folder: of the images, which every file name must stay in.
        skip_broken: leaves out images with anything wrong; what is wrong with the whole file is an error still.

    Raises:
        DatasetError: the first thing that is wrong, by image or annotation.
    """
    categories = _check_categories(content["categories"], path)
    broken: list[str] = []

    def fail(message: str) -> None:
        if not skip_broken:
            raise DatasetError(f"{path}: {message}")
        broken.append(f"{path}: {message}")

    by_id, spoilt = _check_images(content["images"], folder, fail)
    known = {each["id"] for each in categories}
    annotations, seen, kind = defaultdict(list), set(), None
    for number, annotation in enumerate(content["annotations"]):
        image = _get(by_id, annotation.get("image_id"))
        image_id = annotation.get("image_id")
        problem = _check_annotation(annotation, image, _is_id(image_id) and image_id in spoilt, known)
        identity = annotation.get("id")
        if _is_id(identity):
            kind = kind or type(identity)
            if identity in seen:
                problem = problem or "its id occurs twice"
            elif type(identity) is not kind:
                problem = problem or "its id is a number or a text, unlike others'"
            seen.add(identity)
        if problem == SPOILT:
            continue
        if problem:
            fail(f"annotation {_called(annotation, number)}: {problem}")
            if image is not None:
                spoilt.add(image["id"])
            continue
        annotations[annotation["image_id"]].append(annotation)
    images = {image["file_name"]: image for image in by_id.values() if image["id"] not in spoilt}
    return Checked(images, dict(annotations), categories, tuple(broken))


def _check_categories(categories: list[dict], path: Path) -> list[dict]:
    ids = [category.get("id") for category in categories]
    for number, category in enumerate(categories):
        if not _is_id(category.get("id")) or type(category["id"]) is not type(ids[0]):
            raise DatasetError(f"{path}: category {_called(category, number)} has no id that is a whole number")
        if not isinstance(category.get("name"), str) or not category["name"].strip():
            raise DatasetError(f"{path}: category {_called(category, number)} has no name")
    if len(set(ids)) < len(ids):
        raise DatasetError(f"{path}: two categories have the id {next(i for i in ids if ids.count(i) > 1)}")
    numbers = {}
    for category in categories:
        name = category["name"].strip()
        if name in numbers:
            raise DatasetError(
                f"{path}: the categories {numbers[name]} and {category['id']} have the same name {name!r}; "
                "rename one, or take the one without annotations out"
            )
        numbers[name] = category["id"]
    return sorted(categories, key=lambda category: category["id"])


def _check_images(images: list[dict], folder: Path, fail: Callable[[str], None]) -> tuple[dict[Any, dict], set]:
    by_id, names, spoilt = {}, {}, set()
    for number, image in enumerate(images):
        called = f"image {_called(image, number)}"
        identity, name = image.get("id"), image.get("file_name")
        if not _is_id(identity):
            fail(f"{called} has no id; it must be a whole number")
            continue
        problem = None
        if identity in by_id or identity in spoilt:
            problem = "its id occurs twice"
        elif not isinstance(name, str) or not name:
            problem = "it has no file_name"
        elif not all(_is_size(image.get(side)) for side in ("height", "width")):
            problem = "height and width must be whole numbers from 1 on"
        else:
            stem = PurePosixPath(name).with_suffix("").as_posix()
            if stem in names:
                problem = f"its file_name {name!r} has the same name as that of image {names[stem]}"
            names.setdefault(stem, identity)
            try:
                join(folder, name)
            except DatasetError as error:
                problem = f"file_name {error}"
        if problem:
            fail(f"{called}: {problem}")
            spoilt.add(identity)
            by_id.pop(identity, None)
        else:
            by_id[identity] = image
    return by_id, spoilt


def _check_annotation(annotation: dict, image: dict | None, spoilt: bool, categories: set) -> str | None:
    if not _is_id(annotation.get("id")):
        return "it has no id; it must be a whole number"
    for field in ("image_id", "category_id"):
        if not _is_id(annotation.get(field)):
            return f"its {field} is {_short(annotation.get(field))}, and must be a whole number"
    if image is None:
        if spoilt:
            return SPOILT
        return f"no image has the id {annotation['image_id']!r} that its image_id names"
    if annotation["category_id"] not in categories:
        return f"no category has the id {annotation['category_id']!r} that its category_id names"
    crowd = annotation.get("iscrowd", 0)
    if type(crowd) not in (int, bool) or crowd not in (0, 1):
        return f"iscrowd is {_short(crowd)}, and must be the number 0 or 1"
    return check_segmentation(annotation.get("segmentation"), image["height"], image["width"])


def check_segmentation(segmentation: Any, height: int, width: int) -> str | None:
    """What keeps polygons or run lengths from being drawn; None if they can be."""
    if isinstance(segmentation, list):
        if not segmentation:
            return "its segmentation is empty; a box alone is no mask"
        return next((problem for each in segmentation if (problem := _check_polygon(each, height, width))), None)
    if not isinstance(segmentation, dict):
        return f"its segmentation is {_short(segmentation)}; it must be a list of polygons or an RLE"
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        return f"its RLE has the size {_short(size)}, its image {[height, width]} (height, width)"
    if isinstance(counts, str):
        counts = _decode_counts(counts)
        if counts is None:
            return "the counts of its RLE are no compressed runs"
    if not isinstance(counts, list) or not all(type(each) is int and each >= 0 for each in counts):
        return "the counts of its RLE must be whole numbers from 0 on, or a text"
    if sum(counts) != height * width:
        return f"the counts of its RLE sum to {sum(counts)}, not to {height} x {width} = {height * width}"
    return None


def _check_polygon(polygon: Any, height: int, width: int) -> str | None:
    if not isinstance(polygon, list):
        return "its segmentation must be a list of polygons, each a list [x1, y1, x2, y2, x3, y3, ...]"
    if len(polygon) < 6 or len(polygon) % 2:
        return f"a polygon has {len(polygon)} numbers; it needs x and y of 3 points or more"
    far = FAR * max(height, width)
    for place, number in enumerate(polygon):
        if type(number) not in (int, float):
            return f"a polygon holds {_short(number)}, which is no number"
        if not -far <= number <= (height if place % 2 else width) + far:  # NaN, too
            return f"a polygon has the coordinate {_short(number)}, far outside of its image of {width} x {height}"
    return None


def _decode_counts(text: str) -> list[int] | None:
    """The run lengths in COCO's compressed text: base 32 from the character 48, each from the third on a difference."""
    counts, value, shift = [], 0, 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            return None
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return None if shift or any(count < 0 for count in counts) else counts


def _is_id(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value != "")


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0


def _get(entries: dict, key: Any) -> Any:
    return entries.get(key) if _is_id(key) else None


def _called(entry: dict, number: int) -> str:
    return repr(entry["id"]) if _is_id(entry.get("id")) else f"number {number} (from 0)"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
