"""Lists of tasks as the few-shot community passes them around: a line `IMAGE__CC` for a class in an image."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.counted import counted
from data_pipelines.datasets.reading.files import is_hidden, read_text
from data_pipelines.datasets.record import DatasetError
from data_pipelines.datasets.sources import Split
from data_pipelines.safe_paths import expand_home
from data_pipelines.tasks import Tasks, select_tasks

LINE = re.compile(r"(?P<image>\S.*)__(?P<class_id>\d{1,3})")


class Listed(NamedTuple):
    """A line: the class, counted from 1, in an image."""

    image_id: str
    class_id: int

    def __str__(self) -> str:
        return f"{self.image_id}__{self.class_id:02d}"


def find_list_files(text: str) -> list[Path]:
    """The files of a comma-separated list of files and folders; of a folder all its `*.txt`, by name.

    Raises:
        DatasetError: one of them is missing or empty, or of no user's home.
    """
    files = []
    for path in (expand_home(part.strip()) for part in text.split(",")):
        if not path.exists():
            raise DatasetError(f"{path} is missing; give a list of tasks (lines IMAGE__CC), or a folder of such lists")
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.glob("*.txt") if not is_hidden(Path(file.name)))
        if not found:
            raise DatasetError(f"{path} holds no list *.txt")
        files += found
    return files


def read_lists(text: str) -> tuple[Listed, ...]:
    """Reads lists of tasks, in the order of their lines; a line that comes again is left out.

    Args:
        text: files and folders, see `find_list_files`. Of PASCAL-5i, `fold0.txt` holds the tasks of fold 0's own
            classes; so a folder of all four serves every fold, together with a choice of classes.

    Raises:
        DatasetError: a file is missing, one of its lines is no task, or there is no task at all. In a folder a list may
            be empty: of a fold without tasks.
    """
    listed, named = [], {Path(part.strip()).expanduser() for part in text.split(",")}
    for file in find_list_files(text):
        before = len(listed)
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            found = LINE.fullmatch(line.strip())
            if found and not int(found["class_id"]):
                raise DatasetError(f"{file}, line {number}: {line.strip()!r} is of class 0; classes count from 1")
            if found:
                listed.append(Listed(found["image"], int(found["class_id"])))
            elif line.strip():
                raise DatasetError(f"{file}, line {number}: {line.strip()!r} is not IMAGE__CC, such as 2007_000033__01")
        if len(listed) == before and file in named:
            raise DatasetError(f"{file} is empty; it needs lines IMAGE__CC, such as 2007_000033__01")
    if not listed:
        raise DatasetError(f"{text}: all of its lists are empty; they need lines IMAGE__CC, such as 2007_000033__01")
    return tuple(dict.fromkeys(listed))


def check_listed_classes(listed: Iterable[Listed], splits: Iterable[Split]) -> None:
    """Raises a DatasetError where a line is of a class that none of the data sets has."""
    most, name = max(((len(split.class_names), split.name) for split in splits), default=(0, ""))
    wrong = next((line for line in listed if line.class_id > most), None)
    if most and wrong is not None:
        there = counted(most, "class", "classes")
        raise DatasetError(f"'{wrong}' is of class {wrong.class_id}, and {name} has {there}, counted from 1")


def hash_lists(text: str) -> str:
    """A hash of what lists say, for results: eight hexadecimal digits."""
    return hashlib.sha256("\n".join(map(str, read_lists(text))).encode()).hexdigest()[:8]


def select_listed(split: Split, tasks: Tasks, listed: Iterable[Listed]) -> Tasks:
    """The tasks that a list names, in its order; lines of images that the split does not hold are passed over."""
    rows = {key: row for row, key in enumerate(_keys(split, tasks))}
    found = [rows[line] for line in listed if line in rows]
    return select_tasks(tasks, np.array(found, np.int32))


def sort_by_image(split: Split, tasks: Tasks) -> Tasks:
    """The tasks by the names of their images, then by class: the order of the community's lists of val."""
    keys = _keys(split, tasks)
    return select_tasks(tasks, np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int32))


def _keys(split: Split, tasks: Tasks) -> list[Listed]:
    names = {row: split.records[row]["image_id"].decode() for row in np.unique(tasks.record).tolist()}
    pairs = zip(tasks.record.tolist(), tasks.class_id.tolist(), strict=True)
    return [Listed(names[record], class_id) for record, class_id in pairs]
