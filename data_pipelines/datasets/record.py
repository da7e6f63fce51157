"""The record that every data set is turned into: one image, its label maps, and what they hold.

A *layer* is a label map in which no two segments overlap; a *segment* is a value in a layer: the region
of a class (VOC), an instance (COCO), an object of a video (DAVIS). Overlapping instances lie in
different layers, so nothing is lost. The segments' metadata are enough to list every task of a data set
without decoding a mask.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from guided_jax.episode import UNKNOWN


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
        image: the file's own bytes (JPEG or PNG), never encoded again.
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


def decode_image(encoded: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes to RGB as stored, ignoring EXIF orientation (the masks are drawn on the stored pixels)."""
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
    segments = []
    for value in np.unique(layer):
        if value in (0, UNKNOWN):
            continue
        region = layer == value
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        value = int(value)
        class_id = value if class_of is None else class_of[value]
        segments.append(Segment(class_id, value if instances else 0, index, value, int(region.sum()), box))
    return segments


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of the tfds builders: a subclass lists its splits and yields records.

    A subclass sets `VERSION` and implements `_class_names`, `_split_names` and `_records`.
    """

    def _class_names(self) -> list[str]:
        """Names of the classes 1, 2, ...; empty where the data set has none."""
        raise NotImplementedError

    def _split_names(self) -> list[str]:
        raise NotImplementedError

    def _records(self, split: str) -> Iterable[Record]:
        raise NotImplementedError

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
            metadata=tfds.core.MetadataDict(class_names=self._class_names()),
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        del dl_manager  # nothing is downloaded
        return {split: self._generate_examples(split) for split in self._split_names()}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        for record in self._records(split):
            yield (
                record.image_id,
                {**vars(record), "layers": list(record.layers), "segments": [vars(s) for s in record.segments]},
            )


def to_record(example: dict) -> Record:
    """Turns an example of a tfds data source (read with its images left encoded) into a `Record`."""
    raw = example["segments"]
    segments = tuple(
        Segment(
            *(int(raw[name][i]) for name in ("class_id", "instance", "layer", "value", "area")), tuple(raw["box"][i])
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
    """Opens a built split for random access: an object with `len` and `[i]`, to be given to `to_record`."""
    builder = tfds.builder_from_directory(directory)
    return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
