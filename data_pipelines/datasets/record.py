"""The record that every data set is turned into: one image, its label maps, and what they hold.

A *layer* is a label map in which no two segments overlap; a *segment* is a value in a layer: the region
of a class (VOC), an instance (COCO), an object of a video (DAVIS). Overlapping instances lie in
different layers, so nothing is lost. The segments' metadata are enough to list every task of a data set
without decoding a mask.
"""

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

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from scipy import ndimage
from tqdm import tqdm

from guided_jax.episode import UNKNOWN

logger = logging.getLogger(__name__)


class DatasetError(Exception):
    """A data set that cannot be built or read, for a reason that the user can mend."""


@dataclass(frozen=True)
class Segment:
    """One region of one image.

    Attributes:
        class_id: 1-based class in the data set's `class_names`, 0 where it has no classes.
        instance: 1-based id of the instance or object within the image (in a video: within the clip),
            0 where the segment is all of its class in the image.
        layer: index of the label map that holds it.
        value: its value in that map, 1..254.
        area: its size in pixels.
        box: its tight bounding box: top, left, bottom, right in pixels, half open.
    """

    class_id: int
    instance: int
    layer: int
    value: int
    area: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Record:
    """One image as it is stored, encoded: decode with `decode_image` and `decode_layer`.

    Attributes:
        image_id: unique in the data set and split.
        video: name of the clip, empty for stills.
        frame: number of the frame in its clip, from 0.
        height: in pixels.
        width: in pixels.
        image: the file's own bytes (JPEG or PNG), encoded again only where an EXIF tag turns it.
        layers: label maps, each a one-channel PNG: 0 negative, 255 void.
        segments: every region of the image.
    """

    image_id: str
    video: str
    frame: int
    height: int
    width: int
    image: bytes
    layers: tuple[bytes, ...]
    segments: tuple[Segment, ...]


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


def decode_image(encoded: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes to RGB as stored, ignoring EXIF orientation (the masks are made for the stored pixels)."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    if image is None:
        raise DatasetError("the bytes of an image are not a JPEG or PNG that can be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def encode_layer(layer: UInt8[np.ndarray, "h w"]) -> bytes:
    """Encodes a label map as a one-channel PNG."""
    return cv2.imencode(".png", layer)[1].tobytes()


def decode_layer(encoded: bytes) -> UInt8[np.ndarray, "h w"]:
    """Decodes a label map written by `encode_layer`."""
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)


def find_segments(
    layer: UInt8[np.ndarray, "h w"], index: int, class_of: dict[int, int] | None, *, instances: bool
) -> list[Segment]:
    """Describes every value of a label map except 0 and 255.

    Args:
        layer: the label map.
        index: its position among the record's layers.
        class_of: class id of each value; None: the value is the class id itself.
        instances: whether the values are instance ids (else whole class regions).
    """
    areas = np.bincount(layer.ravel(), minlength=256)
    segments = []
    for value, slices in enumerate(ndimage.find_objects(layer, max_label=UNKNOWN - 1), start=1):
        if slices is None:
            continue
        rows, columns = slices
        class_id = value if class_of is None else class_of[value]
        box = (rows.start, columns.start, rows.stop, columns.stop)
        segments.append(Segment(class_id, value if instances else 0, index, value, int(areas[value]), box))
    return segments


SHARD = 512
"""Records in a shard, which tfds keeps in memory while it writes it."""


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
        shards = {_stored_name(split): self._shards(split) for split in self._chosen_splits()}
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


def _stored_name(split: str) -> str:
    return "images" if split == "all" else split  # tfds keeps `all` for the union of the splits and cannot slice it


def to_record(example: dict) -> Record:
    """Turns an example of a tfds data source (read with its images left encoded) into a `Record`."""
    raw = example["segments"]
    segments = tuple(
        Segment(
            *(int(raw[name][i]) for name in ("class_id", "instance", "layer", "value", "area")),
            tuple(map(int, raw["box"][i])),
        )
        for i in range(len(raw["value"]))
    )
    return Record(
        image_id=example["image_id"].decode(),
        video=example["video"].decode(),
        frame=int(example["frame"]),
        height=int(example["height"]),
        width=int(example["width"]),
        image=example["image"],
        layers=tuple(example["layers"]),
        segments=segments,
    )


def open_split(directory: Path, split: str):
    """Opens a built split for random access: an object with `len` and `[i]`, to be given to `to_record`.

    Args:
        directory: of the built data set, the one that holds `dataset_info.json`.
        split: its name, with a slice if you like: `train`, `train[:50%]`, `all`.
    """
    name, bracket, cut = split.partition("[")
    builder = tfds.builder_from_directory(directory)
    instruction = _stored_name(name) + bracket + cut
    return builder.as_data_source(instruction, decoders={"image": tfds.decode.SkipDecoding()})
