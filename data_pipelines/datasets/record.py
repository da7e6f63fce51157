"""The record that every data set is turned into: one image, its label maps, and what they hold.

A *layer* is a label map in which no two segments overlap; a *segment* is a value in a layer: the region
of a class (VOC), an instance (COCO), an object of a video (DAVIS). Overlapping instances lie in
different layers, so nothing is lost. The segments' metadata are enough to list every task of a data set
without decoding a mask.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

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
