"""The base of all tfds builders: records in, shards of array_record out."""

import functools
import hashlib
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_pipelines.datasets.built import stored_name
from data_pipelines.datasets.record import DatasetError, Record

logger = logging.getLogger(__name__)

SHARD = 512
"""Records in a shard, which tfds keeps in memory while it writes it."""


@dataclass(frozen=True)
class Lazy:
    """Records of known number, each made when its turn comes.

    Attributes:
        items: one entry a record, whatever `make` needs.
        make: turns an item into its record.
    """

    items: Sequence[Any]
    make: Callable[[Any], Record]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Record]:
        return map(self.make, self.items)


class RecordBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Base of the tfds builders: a subclass lists its splits and yields records.

    A subclass sets `VERSION` and implements `_class_names`, `_split_names` and `_records`. Records keep the order
    in which they are yielded. The metadata of a built data set are `class_names`, `segments` (how many segments
    are of the unit 'class' and how many of the unit 'instance') and `content` (a hash of images and segments).

    Shard by shard, since tfds's shuffling `GeneratorBasedBuilder` needs TensorFlow beyond 1 GB a split.

    Args:
        path: folder of the original files.
        only: the one split to build; None builds every split that there is.
        unit: what a task will be, where that says how the files are to be read.
        options: of the source, by name; a builder says which it knows.
        skip_broken: leaves out images that cannot be read, and lists them in the metadata as `skipped`.
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
        **kwargs,
    ):
        self.path = Path(path)
        self._only = only
        self.unit, self.options, self.skip_broken = unit, dict(options), skip_broken
        self._skipped: dict[str, None] = {}
        kwargs.setdefault("file_format", "array_record")
        super().__init__(**kwargs)

    def _class_names(self) -> list[str]:
        """Names of the classes 1, 2, ...; empty where the data set has none. Called only when building."""
        raise NotImplementedError

    def _split_names(self) -> list[str]:
        """Names of the splits that there are; raises `DatasetError` where the data set's files are missing."""
        raise NotImplementedError

    def _records(self, split: str) -> Iterable[Record]:
        """The records of a split. An iterable that has a length is written in several shards."""
        raise NotImplementedError

    def _inputs(self, split: str) -> Iterable[Path]:
        """Files and folders that tell whether the originals are still those that were built; [] if none can."""
        del split
        return []

    def _info(self) -> tfds.core.DatasetInfo:
        segment = dict.fromkeys(("class_id", "instance", "layer", "value", "area"), np.int32)
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image_id": tfds.features.Text(),
                    "video": tfds.features.Text(),
                    "frame": np.int32,
                    "height": np.int32,
                    "width": np.int32,
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    # Bytes, not Image: tfds cannot leave the images of a sequence encoded without TensorFlow.
                    "layers": tfds.features.Sequence(tfds.features.Text()),
                    "segments": tfds.features.Sequence(
                        {**segment, "box": tfds.features.Tensor(shape=(4,), dtype=np.int32)}
                    ),
                }
            ),
            # Filled in when building, so that opening a built data set reads no original file.
            metadata=tfds.core.MetadataDict(class_names=[]),
        )

    def _shard_iterators_per_split(self, dl_manager) -> dict[str, list[Callable[[], Iterator]]]:
        del dl_manager  # nothing is downloaded
        metadata = self.info.metadata
        metadata.update(class_names=self._class_names(), segments={"class": 0, "instance": 0}, content="")
        shards = {stored_name(split): self._shards(split) for split in self._chosen_splits()}
        metadata.update(skipped=list(self._skipped))
        if self._skipped:
            count = len(self._skipped)
            many = "s are" if count > 1 else " is"
            logger.warning("%d broken file%s left out: %s", count, many, "; ".join(self._skipped))
        return shards

    def try_out(self, make: Callable[[Any], Any], item: Any) -> bool:
        """Whether an item can be made into something; if not, it is noted as skipped, where that is allowed.

        Raises:
            DatasetError: it cannot, and nothing may be skipped.
        """
        try:
            make(item)
        except DatasetError as error:
            if not self.skip_broken:
                raise
            self.skip(str(error))
            return False
        return True

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

    def _shards(self, split: str) -> list[Callable[[], Iterator]]:
        records = self._records(split)
        if self.skip_broken and isinstance(records, Lazy):  # tried beforehand, for tfds needs the number of records
            kept = [item for item in records.items if self.try_out(records.make, item)]
            if not kept:
                raise DatasetError(f"{self.path}: none of the {len(records.items)} images of {split!r} can be read")
            records = Lazy(kept, records.make)
        total = len(records) if isinstance(records, Sized) else None
        if total == 0:
            raise DatasetError(f"the split {split!r} of {self.path} has no image")
        examples = self._examples(split, records, total)
        if total is None:
            return [lambda: examples]
        # tfds writes one shard after the other, so that they can share one iterator.
        shard = functools.partial(itertools.islice, examples, SHARD)
        return [shard] * math.ceil(total / SHARD)

    def _examples(self, split: str, records: Iterable[Record], total: int | None) -> Iterator[tuple[str, dict]]:
        metadata = self.info.metadata
        content = hashlib.sha256(metadata["content"].encode())
        bar = tqdm(
            records, desc=f"building {self.name} {split}", total=total, unit=" images", leave=False, disable=None
        )
        for record in bar:
            segments = [vars(segment) for segment in record.segments]
            for part in (record.image_id.encode(), record.image, repr(segments).encode()):
                content.update(part)
            for segment in record.segments:
                metadata["segments"]["instance" if segment.instance else "class"] += 1
            yield record.image_id, {**vars(record), "layers": list(record.layers), "segments": segments}
        metadata["content"] = content.hexdigest()

    def _log_download_bytes(self) -> None:
        """Keeps tfds from announcing a download of unknown size."""

    def _log_download_done(self) -> None:
        """As `_log_download_bytes`."""
