"""What was built before: opened, on a disk that may have damaged it."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_pipelines.datasets.record import DatasetError
from data_pipelines.disk import write_text

SIZES = "sizes.json"


def stored_name(split: str) -> str:
    """The name under which tfds knows a split."""
    return "images" if split == "all" else split  # tfds keeps `all` for the union of the splits and cannot slice it


def open_split(directory: Path, split: str):
    """Opens a built split for random access: an object with `len` and `[i]`, to be given to `to_record`.

    Args:
        directory: of the built data set, the one that holds `dataset_info.json`.
        split: its name, with a slice if you like: `train`, `train[:50%]`, `all`.
    """
    name, bracket, cut = split.partition("[")
    builder = tfds.builder_from_directory(directory)
    instruction = stored_name(name) + bracket + cut
    return builder.as_data_source(instruction, decoders={"image": tfds.decode.SkipDecoding()})


class Records(Sequence):
    """The examples of a split; one that cannot be read is an error that names the folder."""

    def __init__(self, source: Sequence, directory: Path):
        self._source, self._directory = source, directory

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, row: int) -> dict[str, Any]:
        if not -len(self) <= row < len(self):
            raise IndexError(f"record {row} of {len(self)}")
        with damaged(self._directory):
            return self._source[row]


def note_sizes(directory: Path) -> None:
    """Notes the sizes of the files of a data set that was just built, for `check_build`."""
    sizes = {file.name: file.stat().st_size for file in sorted(directory.iterdir()) if file.is_file()}
    sizes.pop(SIZES, None)
    with contextlib.suppress(OSError):  # without it, damage shows when a record is read
        write_text(directory / SIZES, json.dumps(sizes))


def check_build(directory: Path) -> None:
    """Raises a DatasetError where a file of a built data set is missing or of another size than it had."""
    try:
        sizes = json.loads((directory / SIZES).read_text())
    except (OSError, ValueError):
        return
    for name, size in sizes.items():
        file = directory / name
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes of {size}"
            raise DatasetError(f"{directory} is damaged ({name} {state}); delete it, and it is built again")


@contextlib.contextmanager
def damaged(directory: Path) -> Iterator[None]:
    """Whatever goes wrong inside the block is an error that names the folder."""
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:  # readers raise whatever the bytes lead them to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(f"{directory} is damaged ({reason}); delete it, and it is built again") from error
