"""The shards of a split: each is made by itself, kept once it is finished, and known by what it was made from."""

import contextlib
import functools
import hashlib
import itertools
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from data_pipelines.datasets.built import damaged
from data_pipelines.datasets.record import DatasetError, Record, Segment
from data_pipelines.disk import write_text
from data_pipelines.processes import count_processes, in_order, pieces_of

SHARD = 512
"""Records in a shard: a second or more of work, and the most that a killed build does again for each process."""
NOTE = ".json"
"""Suffix of the note beside a shard that it is finished."""
SEGMENT = ("class_id", "instance", "layer", "value", "area")
"""Numbers that tfds stores of a segment, besides its box."""


def _no_files(item: Any) -> Iterable[Path]:
    del item
    return ()


@dataclass(frozen=True)
class Lazy:
    """Records of known number, each made when its turn comes, in this process or in another one.

    Attributes:
        items: one entry a record, whatever `make` needs; its `repr` tells all of it.
        make: turns an item into its record: a function of a module, or a partial of one whose arguments are small, for
            each shard takes them along, and tell all of themselves in `repr`.
        files: the originals that an item's record is made from; where one has changed, a finished shard is made anew.
    """

    items: Sequence[Any]
    make: Callable[[Any], Record]
    files: Callable[[Any], Iterable[Path]] = _no_files

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Record]:
        return map(self.make, self.items)


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    Attributes:
        path: of its file, an array_record.
        key: a hash of the items, of the state of their files, and of what makes records of them.
        size: of the file in bytes.
        records: how many it holds.
        classes: how many segments are of the unit 'class'.
        instances: how many are of the unit 'instance'.
        skipped: what is wrong with the items that are left out.
    """

    path: Path
    key: str
    size: int
    records: int
    classes: int
    instances: int
    skipped: tuple[str, ...] = ()


def features() -> tfds.features.FeaturesDict:
    """What tfds stores of a record."""
    segment = dict.fromkeys(SEGMENT, np.int32)
    return tfds.features.FeaturesDict(
        {
            "image_id": tfds.features.Text(),
            "video": tfds.features.Text(),
            "frame": np.int32,
            "height": np.int32,
            "width": np.int32,
            "image": tfds.features.Image(shape=(None, None, 3)),
            # Bytes, not Image: tfds cannot leave the images of a sequence encoded without TensorFlow.
            "layers": tfds.features.Sequence(tfds.features.Text()),
            "segments": tfds.features.Sequence({**segment, "box": tfds.features.Tensor(shape=(4,), dtype=np.int32)}),
        }
    )


def make_shards(
    records: Lazy | Iterable[Record], directory: Path, bar: tqdm, *, skip_broken: bool = False
) -> Iterator[Shard]:
    """The shards of a split in order, each made where it is not finished yet; those of a large split by processes.

    Args:
        records: of the split; where they are not `Lazy`, they are one shard, made anew each time.
        directory: where shards are kept.
        bar: that shows how many items are done.
        skip_broken: leaves out items of which no record can be made.

    Raises:
        DatasetError: no record can be made of an item, the first such one in their order.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not isinstance(records, Lazy):
        yield _write(_shown(records, bar), directory / "00000", "")
        return
    pieces, told = list(enumerate(pieces_of(records.items, SHARD))), _tell(records.make)
    if count_processes(len(pieces)) == 1:

        def make(item: Any) -> Record:
            bar.update()
            return records.make(item)

    else:
        make = records.make
    work = functools.partial(_make_shard, make, told, records.files, directory, skip_broken)
    with contextlib.closing(in_order(work, pieces)) as shards:
        for number, shard in enumerate(shards, start=1):
            bar.update(min(number * SHARD, len(records)) - bar.n)
            yield shard


def read_content(shard: Shard) -> Iterator[bytes]:
    """What the content of a data set is hashed from, record by record: names, images and segments.

    Raises:
        DatasetError: the file is damaged.
    """
    if not shard.records:
        return
    with damaged(shard.path), contextlib.closing(ArrayRecordReader(str(shard.path))) as reader:
        for _ in range(shard.records):
            fields = tf_example_pb2.Example.FromString(reader.read()).features.feature
            yield fields["image_id"].bytes_list.value[0]
            yield fields["image"].bytes_list.value[0]
            columns = [fields[f"segments/{name}"].int64_list.value for name in SEGMENT]
            sides = iter(fields["segments/box"].int64_list.value)
            boxes = zip(sides, sides, sides, sides, strict=True)
            segments = [Segment(*numbers, box) for *numbers, box in zip(*columns, boxes, strict=True)]
            yield repr([vars(segment) for segment in segments]).encode()


def find_broken(make: Callable[[Any], Any], items: Sequence[Any]) -> list[str]:
    """What is wrong with each item of which `make` can make nothing; empty for the others."""
    with contextlib.closing(in_order(functools.partial(_problems, make), pieces_of(items, SHARD))) as found:
        return list(itertools.chain.from_iterable(found))


def _problems(make: Callable[[Any], Any], items: Sequence[Any]) -> list[str]:
    return [_try(make, item)[1] for item in items]


def _try(make: Callable[[Any], Any], item: Any) -> tuple[Any, str]:
    try:
        return make(item), ""
    except DatasetError as error:
        return None, str(error)


def _shown(records: Iterable[Record], bar: tqdm) -> Iterator[Record]:
    for record in records:
        yield record
        bar.update()


def _make_shard(
    make: Callable[[Any], Record],
    told: str,
    files: Callable[[Any], Iterable[Path]],
    directory: Path,
    skip_broken: bool,
    piece: tuple[int, Sequence[Any]],
) -> Shard:
    number, items = piece
    path, key = directory / f"{number:05d}", _key(told, items, files)
    finished = _read_note(path)
    if finished is not None and finished.key == key and (skip_broken or not finished.skipped):
        return finished
    if not skip_broken:
        return _write(map(make, items), path, key)
    broken = []

    def sound() -> Iterator[Record]:
        for item in items:
            record, problem = _try(make, item)
            if problem:
                broken.append(problem)
            else:
                yield record

    return _write(sound(), path, key, broken)


def _tell(make: Callable[[Any], Record]) -> str:
    """What tells one `make` from another, in any process: names and values."""
    function, *arguments = (make.func, make.args, make.keywords) if isinstance(make, functools.partial) else (make,)
    return f"{function.__module__} {function.__qualname__} {arguments}"


def _key(told: str, items: Sequence[Any], files: Callable[[Any], Iterable[Path]]) -> str:
    states = map(_state, dict.fromkeys(itertools.chain.from_iterable(map(files, items))))
    return hashlib.sha256("\n".join([told, *map(repr, items), *states]).encode()).hexdigest()


def _state(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return f"{file} -"
    return f"{file} {found.st_size} {found.st_mtime_ns}"


def _write(records: Iterable[Record], path: Path, key: str, skipped: Sequence[str] = ()) -> Shard:
    """Writes a shard, and then the note that it is finished; what `skipped` holds at the end is noted, too."""
    specs = features()
    serializer = ExampleSerializer(specs.get_serialized_info())
    counts = Counter()

    def serialized() -> Iterator[tuple[str, bytes]]:
        for record in records:
            segments = [vars(segment) for segment in record.segments]
            counts.update("instances" if segment.instance else "classes" for segment in record.segments)
            counts["records"] += 1
            example = specs.encode_example({**vars(record), "layers": list(record.layers), "segments": segments})
            # Else the order of the fields changes from process to process, and the bytes of the file with it.
            yield record.image_id, serializer.get_tf_example(example).SerializeToString(deterministic=True)

    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        tfds.core.ExampleWriter(tfds.core.FileFormat.ARRAY_RECORD).write(partial, serialized())
        path.with_suffix(NOTE).unlink(missing_ok=True)  # of an older file
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    numbers = {name: counts[name] for name in ("records", "classes", "instances")}
    shard = Shard(path, key, path.stat().st_size, **numbers, skipped=tuple(skipped))
    write_text(path.with_suffix(NOTE), json.dumps({**vars(shard), "path": path.name}))
    return shard


def _read_note(path: Path) -> Shard | None:
    """The shard of a file if it is finished, and has the size that it had then."""
    try:
        noted = json.loads(path.with_suffix(NOTE).read_text())
        shard = Shard(**{**noted, "path": path, "skipped": tuple(noted["skipped"])})
        return shard if path.stat().st_size == shard.size else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
