"""Names of classes from a file beside masks whose values are classes."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.datasets.reading.files import read_text
from data_pipelines.datasets.record import DatasetError
from guided_jax.episode import UNKNOWN

FILES = tuple(f"{stem}{suffix}" for stem in ("classes", "labels", "class_names") for suffix in (".txt", ".json"))
GROUND = ("background", "unlabeled", "unlabelled", "void", "none", "other", "bg")
NUMBERED = re.compile(r"(\d{1,3})(?:\s*[:,;=]\s*|\s+)(\S.*)")
FORMS = "lines VALUE NAME, such as '1 car', say which value has which name"


def find_names_file(folders: Sequence[Path]) -> Path | None:
    """The first file of names in some folders."""
    return next((folder / name for folder in folders for name in FILES if (folder / name).is_file()), None)


def read_class_names(path: Path, values: Sequence[int]) -> list[str]:
    """The names of the classes 1, 2, ...; a value that no mask holds and no name has is called by its number.

    A text file has lines `VALUE NAME`, or a name a line: of the value 0 first where that is a background or where there
    are as many names as values with 0, of the value 1 first where there are as many names as classes. JSON is the same
    list, a mapping of values to names or of names to values, or a list of `{"id": ..., "name": ...}`, alone or under
    `classes`, `labels`, `names` or `categories`.

    Args:
        path: `classes.txt`, `labels.json`, ...
        values: in the masks, apart from 0 and 255.

    Raises:
        DatasetError: the file says no names, or not which value each of them has.
    """
    largest = max(values)
    listed, numbered = _parse_json(path) if path.suffix == ".json" else _parse_text(path)
    if listed is not None:
        numbered = _number(listed, largest, path)
    missing = [value for value in values if value not in numbered]
    if missing:
        raise DatasetError(f"{path} has no name for the value {missing[0]}, which masks hold; {FORMS}")
    names = [numbered.get(value, str(value)) for value in range(1, max([largest, *numbered]) + 1)]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise DatasetError(f"{path} has the name {min(doubled)!r} twice; each class needs its own")
    return names


def _number(names: list[str], largest: int, path: Path) -> dict[int, str]:
    plain = names[0].strip("_").lower() if names else ""
    if plain in GROUND or len(names) == largest + 1:
        return dict(enumerate(names))
    if len(names) == largest:
        return dict(enumerate(names, start=1))
    raise DatasetError(f"{path} has {len(names)} names, and the largest value in the masks is {largest}; {FORMS}")


def _parse_text(path: Path) -> tuple[list[str] | None, dict[int, str]]:
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("#") and line != "__ignore__"]
    if not lines:
        raise DatasetError(f"{path} is empty; {FORMS}")
    found = [NUMBERED.fullmatch(line) for line in lines]
    if all(found):
        return None, _checked([(int(each[1]), each[2]) for each in found], path)
    return lines, {}


def _parse_json(path: Path) -> tuple[list[str] | None, dict[int, str]]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if isinstance(content, dict):
        key = next((key for key in ("classes", "labels", "names", "categories") if key in content), None)
        content = content if key is None else content[key]
    if isinstance(content, list) and content and all(isinstance(each, str) for each in content):
        return content, {}
    if isinstance(content, list):
        pairs = [(each.get("id"), each.get("name")) if isinstance(each, dict) else (None, None) for each in content]
    elif isinstance(content, dict):
        pairs = [(name, key) if type(name) is int else (key, name) for key, name in content.items()]
    else:
        pairs = []
    return None, _checked(pairs, path)


def _checked(pairs: list[tuple[Any, Any]], path: Path) -> dict[int, str]:
    numbered = {}
    for value, name in pairs:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}", value) else value
        if type(number) is not int or not 0 <= number <= UNKNOWN or not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{path}: {value!r}, {name!r} is no value of 0 to 255 and its name; {FORMS}")
        if number in numbered:
            raise DatasetError(f"{path} names the value {number} twice")
        numbered[number] = name.strip()
    numbered.pop(UNKNOWN, None)
    if not numbered:
        raise DatasetError(f"{path} names no class; {FORMS}")
    return numbered
