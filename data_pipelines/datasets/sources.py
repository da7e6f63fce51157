"""From a source to an opened split, built when it is first asked for."""

import contextlib
import hashlib
import importlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from absl import logging as absl_logging

from data_pipelines import disk
from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.built import Records, check_build, damaged, note_sizes, open_split
from data_pipelines.datasets.mixture import DATASETS, NEED_PATH, Source, quote_path
from data_pipelines.datasets.record import DatasetError
from data_pipelines.safe_paths import expand_home

logger = logging.getLogger(__name__)


class Split(NamedTuple):
    """An opened split.

    Attributes:
        name: the source without unit and weight, such as `voc:trainaug` or `folder@ECSSD:all`.
        records: random access to examples, to be given to `record.to_record`.
        class_names: of the classes 1, 2, ...; empty where there are none.
        directory: of the built data set.
        version: of the builder, and a hash of the images and segments that it built: `1.0.0+0a1b2c3d`.
    """

    name: str
    records: Sequence
    class_names: tuple[str, ...]
    directory: Path
    version: str


def open_source(source: Source, root: Path, data_dir: Path, *, skip_broken: bool = False) -> Split:
    """Opens a split, after building it where that was not done yet.

    A split is built in a directory of its own, named after a hash of the originals' path and of the size and time of
    the files that describe it. So two folders never meet, and changed originals are built anew. Where the originals
    are gone, the newest build of their path is opened. A build that was killed goes on from the shards it has finished,
    other than those of which an original has changed.

    Args:
        source: what to open.
        root: folder of all original data, to which the source's path is relative.
        data_dir: folder of all built data.
        skip_broken: leaves out images that cannot be read, counts and lists them; else one of them is an error.

    Raises:
        DatasetError: files, split, slice or unit do not exist; what was built is damaged.
    """
    split, bracket, cut = source.split.partition("[")
    raw = (root / expand_home(source.path)).resolve() if source.path else Path()
    module = importlib.import_module(f"data_pipelines.datasets.{DATASETS[source.dataset].module}")
    builder_class = getattr(module, DATASETS[source.dataset].builder)
    home = expand_home(data_dir).resolve() / source.dataset
    # The unit says how a folder's labels are read; elsewhere it does not change what is built.
    unit = source.unit if source.dataset in NEED_PATH and source.unit == "class" else ""
    asked = {"unit": unit, "options": dict(source.options), "skip_broken": skip_broken}
    directory = _find_build(builder_class, raw, split, home, asked)
    default = source.path == DATASETS[source.dataset].path
    options = "".join(f":{option}={value}" for option, value in source.options)
    plain = f"{source.dataset}{'' if default else '@' + quote_path(source.path)}:{source.split}"
    name = plain + options
    with _quiet():
        check_build(directory)
        with damaged(directory):
            info = tfds.builder_from_directory(directory).info
            metadata, whole = info.metadata, len(open_split(directory, split))
            content, segments, class_names = (metadata[key] for key in ("content", "segments", "class_names"))
        try:
            records = open_split(directory, split + bracket + cut)
        except (ValueError, AssertionError) as error:
            raise DatasetError(f"{source.split!r} is no slice of {split!r}; write for example {split}[:50%]") from error
    if len(records) <= 0:
        raise DatasetError(f"{name} holds no image of the {whole} of {split!r}; take a larger slice")
    if skipped := metadata.get("skipped"):
        many = "s were" if len(skipped) > 1 else " was"
        logger.warning(
            "%s: %d broken file%s left out when it was built, first: %s", name, len(skipped), many, skipped[0]
        )
    if source.unit == "instance" and not segments["instance"] and segments["class"]:
        raise DatasetError(f"{name} has no instances, only class masks; write {plain}:class{options}")
    if not any(segments.values()):
        raise DatasetError(f"{name}: no mask of its {whole} images shows anything but 0 (negative) and void")
    if source.unit == "class" and not class_names:
        raise DatasetError(f"{name} has no classes; write {plain}:instance{options}")
    version = f"{info.version}+{content[:8]}"
    records = Records(records, directory)
    return Split(name, records, tuple(class_names), directory, version)


def _find_build(builder_class: type[RecordBuilder], raw: Path, split: str, home: Path, asked: dict[str, Any]) -> Path:
    told = [f"{name}={value}" for name, value in sorted(asked.items()) if value]
    key = f"{split}-{_digest([str(raw), *told])}"
    leaf = Path(builder_class.name) / str(builder_class.VERSION)
    if raw != Path() and not raw.exists():
        builds = [build for path in home.glob(f"{key}-*") if (build := path / leaf).is_dir()]
        if builds:
            newest = max(builds, key=lambda path: path.stat().st_mtime)
            logger.warning("%s is missing; what was built from it is used: %s", raw, newest)
            return newest
    with _quiet():
        probe = builder_class(path=raw, data_dir=str(home), **asked)
    names = probe._split_names()
    if split not in names:
        raise DatasetError(
            f"{raw if raw != Path() else probe.name} has no split {split!r}; there are: {', '.join(names)}"
        )
    data_dir = home / f"{key}-{_digest(_describe(path, raw) for path in probe._inputs(split))}"
    if not (data_dir / leaf).is_dir():
        _build(builder_class, raw, split, data_dir, leaf, asked)
    return data_dir / leaf


def _build(
    builder_class: type[RecordBuilder], raw: Path, split: str, data_dir: Path, leaf: Path, asked: dict[str, Any]
) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{data_dir} cannot be made, where the data set would be built: {error.strerror}") from error
    if not os.access(data_dir, os.W_OK):
        raise DatasetError(f"{data_dir} cannot be written to, where the data set would be built")
    source = data_dir.with_name(data_dir.name.rpartition("-")[0])  # whatever the state of its originals
    kept = source.with_suffix(".shards")
    with source.with_suffix(".lock").open("w") as file:
        # Without a lock two processes that build at once both do the work, and the second finds it done.
        locked = disk.lock(file)
        if (data_dir / leaf).is_dir():
            return
        if locked:
            _remove_leftovers(data_dir / leaf, kept)
        origin = builder_class.name if raw == Path() else raw
        logger.info("building the split %s of %s into %s; this is done once", split, origin, data_dir)
        try:
            with _quiet():
                builder = builder_class(path=raw, only=split, data_dir=str(data_dir), kept=kept, **asked)
                builder.download_and_prepare()
        # The writer raises the latter two where a disk is full.
        except (DatasetError, OSError, RuntimeError, ValueError) as error:
            if not (data_dir / leaf).is_dir():  # else another host was first, and our own is removed
                if isinstance(error, DatasetError):
                    raise
                raise DatasetError(f"building the split {split} of {origin} failed: {error}") from error
        note_sizes(data_dir / leaf)
        shutil.rmtree(data_dir / "downloads", ignore_errors=True)  # tfds makes it, empty


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps tfds from logging each step; its warnings pass."""
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(min(verbosity, absl_logging.WARNING))
    try:
        yield
    finally:
        absl_logging.set_verbosity(verbosity)


def _remove_leftovers(directory: Path, kept: Path) -> None:
    """Removes what a killed build has left of no use; the shards that it has finished stay."""
    for leftover in directory.parent.glob("*incomplete*"):  # as tfds names a directory until all is done
        shutil.rmtree(leftover)
    for leftover in kept.glob("**/.*.partial"):
        leftover.unlink(missing_ok=True)


def _describe(path: Path, raw: Path) -> str:
    name = path.relative_to(raw) if path.is_relative_to(raw) else path
    state = path.stat()
    return f"{name}" if path.is_dir() else f"{name} {state.st_size} {state.st_mtime_ns}"


def _digest(parts) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
