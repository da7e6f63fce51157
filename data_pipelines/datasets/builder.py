"""The base of all tfds builders: records in, shards of array_record out."""

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
from tqdm import tqdm

from data_pipelines.datasets.built import stored_name
from data_pipelines.datasets.record import DatasetError, Record
from data_pipelines.datasets.shards import Lazy, Shard, features, find_broken, make_shards, read_content

logger = logging.getLogger(__name__)


class RecordBuilder(FileReaderBuilder, skip_registration=True):
    """Base of the tfds builders: a subclass lists its splits and yields records.

    A subclass sets `VERSION` and implements `_class_names`, `_split_names` and `_records`. Records keep the order
    in which they are yielded. The metadata of a built data set are `class_names`, `segments` (how many segments
    are of the unit 'class' and how many of the unit 'instance') and `content` (a hash of images and segments).

    The shards are ours (`shards`), and tfds's the rest: its shuffling `GeneratorBasedBuilder` needs TensorFlow beyond
    1 GB a split, its `ShardBasedBuilder` writes one shard after another, and keeps none of a build that was killed.

    Args:
        path: folder of the original files.
        only: the one split to build; None builds every split that there is.
        unit: what a task will be, where that says how the files are to be read.
        options: of the source, by name; a builder says which it knows.
        skip_broken: leaves out images that cannot be read, and lists them in the metadata as `skipped`.
        kept: folder for finished shards, removed at the end; by default one beside the built data set.
        **kwargs: of the tfds builder: `data_dir`.
    """

    # tfds looks beside the code for checksums of downloads, and needs importlib_resources (undeclared) to do so.
    code_path = None

    def __init__(
        self,
        *,
        path: Path | str = "",
        only: str | None = None,
        unit: str = "",
        options: Mapping[str, str] = MappingProxyType({}),
        skip_broken: bool = False,
        kept: Path | None = None,
        **kwargs,
    ):
        self.path = Path(path)
        self._only = only
        self.unit, self.options, self.skip_broken = unit, dict(options), skip_broken
        self._skipped: dict[str, None] = {}
        kwargs.setdefault("file_format", "array_record")
        super().__init__(**kwargs)
        # Not in the directory of tfds, which it removes when a build ends early.
        self._kept = kept or Path(self.data_dir_root) / self.name / "shards"

    def _class_names(self) -> list[str]:
        """Names of the classes 1, 2, ...; empty where the data set has none. Called only when building."""
        raise NotImplementedError

    def _split_names(self) -> list[str]:
        """Names of the splits that there are; raises `DatasetError` where the data set's files are missing."""
        raise NotImplementedError

    def _records(self, split: str) -> Iterable[Record]:
        """The records of a split. Those that are `Lazy` are written in several shards, others in one."""
        raise NotImplementedError

    def _inputs(self, split: str) -> Iterable[Path]:
        """Files and folders that tell whether the originals are still those that were built; [] if none can."""
        del split
        return []

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=features(),
            # Filled in when building, so that opening a built data set reads no original file.
            metadata=tfds.core.MetadataDict(class_names=[]),
        )

    def _download_and_prepare(self, dl_manager, download_config=None) -> None:
        del dl_manager, download_config  # nothing is downloaded
        metadata = self.info.metadata
        metadata.update(class_names=self._class_names(), segments={"class": 0, "instance": 0}, content="")
        self.info.set_splits(tfds.core.SplitDict([self._build(split) for split in self._chosen_splits()]))
        metadata.update(skipped=list(self._skipped))
        if self._skipped:
            count = len(self._skipped)
            many = "s are" if count > 1 else " is"
            logger.warning("%d broken file%s left out: %s", count, many, "; ".join(self._skipped))

    def sound(self, make: Callable[[Any], Any], items: Sequence[Any]) -> Sequence[Any]:
        """The items of which something can be made; the others are noted as skipped, where that is allowed.

        Args:
            make: fails with a DatasetError; it can be pickled.
            items: all of them come back where nothing may be skipped.
        """
        if not self.skip_broken:
            return items
        problems = find_broken(make, items)
        for problem in filter(None, problems):
            self.skip(problem)
        return [item for item, problem in zip(items, problems, strict=True) if not problem]

    def skip(self, message: str) -> None:
        """Notes what is wrong with a file that is left out."""
        self._skipped[message] = None

    def _chosen_splits(self) -> list[str]:
        names = self._split_names()
        if self._only is None:
            return names
        if self._only not in names:
            raise DatasetError(f"{self.name} has no split {self._only!r}; there are: {', '.join(names)}")
        return [self._only]

    def _build(self, split: str) -> tfds.core.SplitInfo:
        records, metadata = self._records(split), self.info.metadata
        total = len(records) if isinstance(records, Lazy) else None
        if total == 0:
            raise DatasetError(f"the split {split!r} of {self.path} has no image")
        content, shards = hashlib.sha256(metadata["content"].encode()), []
        bar = tqdm(desc=f"building {self.name} {split}", total=total, unit=" images", leave=False, disable=None)
        kept = self._kept / str(self.version) / stored_name(split)
        making = make_shards(records, kept, bar, skip_broken=self.skip_broken)
        with bar, contextlib.closing(making):
            for shard in making:
                for part in read_content(shard):
                    content.update(part)
                metadata["segments"]["class"] += shard.classes
                metadata["segments"]["instance"] += shard.instances
                self._skipped |= dict.fromkeys(shard.skipped)
                shards.append(shard)
        if not any(shard.records for shard in shards):
            raise DatasetError(f"{self.path}: none of the {total} images of {split!r} can be read")
        metadata["content"] = content.hexdigest()
        return self._register(split, [shard for shard in shards if shard.records])

    def _register(self, split: str, shards: Sequence[Shard]) -> tfds.core.SplitInfo:
        """Gives shards the names that tfds knows them by, in the directory that it renames when all is done."""
        template = self._get_filename_template(split_name=stored_name(split))
        for number, shard in enumerate(shards):
            path = template.sharded_filepath(shard_index=number, num_shards=len(shards))
            try:
                os.link(shard.path, path)  # a second name: what is killed here has lost nothing
            except OSError:  # a file system without such
                shard.path.replace(path)
        return tfds.core.SplitInfo(
            name=stored_name(split),
            shard_lengths=[shard.records for shard in shards],
            num_bytes=sum(shard.size for shard in shards),
            filename_template=template,
        )

    def _post_download_and_prepare_hook(self) -> None:
        shutil.rmtree(self._kept, ignore_errors=True)

    def _log_download_bytes(self) -> None:
        """Keeps tfds from announcing a download of unknown size."""

    def _log_download_done(self) -> None:
        """As `_log_download_bytes`."""
