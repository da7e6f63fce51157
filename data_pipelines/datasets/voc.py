"""PASCAL VOC 2012 segmentation, as its archive unpacks."""

import functools
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.reading.files import (
    check_listed,
    check_same_size,
    find_lists,
    read_labels,
    read_list,
    require,
    spread,
)
from data_pipelines.datasets.reading.images import read_image
from data_pipelines.datasets.record import DatasetError, Record, encode_layer, find_segments
from data_pipelines.datasets.shards import Lazy
from guided_jax.episode import UNKNOWN

# fmt: off
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on
CLASS_FOLDERS = ("SegmentationClassAug", "SegmentationClass")
REMEDY = (
    "download VOCtrainval_11-May-2012.tar from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and unpack it so that "
    "{path} holds JPEGImages, SegmentationClass and ImageSets/Segmentation"
)


class PascalVoc(RecordBuilder):
    """PASCAL VOC 2012: class regions, and instances where the image has a file in `SegmentationObject`.

    The path is the folder `VOCdevkit/VOC2012`. A split is a list in `ImageSets/Segmentation` (train, val, trainval,
    or trainaug if you have put one there). Class masks are those of `SegmentationClassAug` (VOC and SBD merged, as
    the community passes them around) where it has the image, else of `SegmentationClass`. The first layer is
    the class map, the second the instances; an instance's class is the most frequent one under it.
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "pascal_voc"

    def _class_names(self) -> list[str]:
        return list(CLASSES)

    def _split_names(self) -> list[str]:
        return list(list_voc(self.path))

    def _records(self, split: str) -> Lazy:
        listing = list_voc(self.path)[split]
        names = list_names(listing, self.path)
        check_voc(self.path, names, listing)
        return Lazy(spread(names), functools.partial(read_voc, self.path), functools.partial(voc_files, self.path))

    def _inputs(self, split: str) -> list[Path]:
        return voc_inputs(self.path, split)


def list_names(listing: Path, root: Path | None = None) -> list[str]:
    """The names of the images in a list: alone, or as paths `/JPEGImages/NAME.jpg /SegmentationClassAug/NAME.png`.

    Args:
        listing: a name or a pair of paths a line.
        root: where the paths of masks lie, to see that a list means the masks that are read; None: it names none.
    """
    names = []
    for line in read_list(listing):
        image, *rest = line.split()
        name = PurePosixPath(image).stem if "/" in image or image.lower().endswith((".jpg", ".jpeg")) else image
        if len(rest) > 1 or any(PurePosixPath(each).stem != name for each in rest):
            raise DatasetError(f"{listing}: {line!r} is neither the name of an image nor the paths of it and its mask")
        for mask in rest if root else ():
            read = _class_path(root, name)
            if read.parent.name != PurePosixPath(mask).parent.name:
                raise DatasetError(f"{listing}: {line!r} names another mask than {read}; list names alone")
        names.append(name)
    return list(dict.fromkeys(names))


def list_voc(root: Path) -> dict[str, Path]:
    """The lists of the segmentation task, by split."""
    remedy = REMEDY.format(path=root)
    lists = find_lists(require(root / "ImageSets" / "Segmentation", remedy))
    if not lists:
        raise DatasetError(f"{root / 'ImageSets' / 'Segmentation'} holds no list such as train.txt; {remedy}")
    return lists


def voc_inputs(root: Path, split: str) -> list[Path]:
    """The list of a split, and the folders of masks that there are."""
    folders = [root / folder for folder in (*CLASS_FOLDERS, "SegmentationObject")]
    return [list_voc(root)[split], *(folder for folder in folders if folder.is_dir())]


def check_voc(root: Path, names: Iterable[str], listing: Path) -> None:
    """Raises an error where an image or its class mask is missing."""
    remedy = REMEDY.format(path=root)
    files = [file for name in names for file in (_image_path(root, name), _class_path(root, name))]
    check_listed(files, listing, remedy)


def read_voc(root: Path, name: str) -> Record:
    """Reads one image of VOC with its class map and, where there is one, its map of instances."""
    image_path, class_path, object_path = voc_files(root, name)
    image, size = read_image(image_path)
    classes = read_labels(class_path)
    check_same_size(image_path, size, class_path, classes.shape)
    largest = classes[classes != UNKNOWN].max(initial=0)
    if largest > len(CLASSES):
        raise DatasetError(f"{class_path} holds the value {largest}; a class map of VOC has 0 to 20 and 255 for void")
    layers, segments = [encode_layer(classes)], find_segments(classes, 0, None, instances=False)
    if object_path.exists():
        objects = read_labels(object_path)
        check_same_size(image_path, size, object_path, objects.shape)
        layers.append(encode_layer(objects))
        segments += find_segments(objects, 1, majority_classes(objects, classes), instances=True)
    return Record(name, "", 0, *size, image, tuple(layers), tuple(segments))


def voc_files(root: Path, name: str) -> tuple[Path, Path, Path]:
    """An image of VOC, its class map, and its map of instances, which need not exist."""
    return _image_path(root, name), _class_path(root, name), root / "SegmentationObject" / f"{name}.png"


def majority_classes(objects: UInt8[np.ndarray, "h w"], classes: UInt8[np.ndarray, "h w"]) -> dict[int, int]:
    """The most frequent class under each instance, the lower one of two; 0 where the class map shows none there."""
    pairs = np.bincount(objects.ravel().astype(np.int64) * 256 + classes.ravel(), minlength=256 * 256).reshape(256, 256)
    counts = pairs[:, 1:UNKNOWN]
    modes = np.where(counts.any(1), counts.argmax(1) + 1, 0)
    return {value: int(modes[value]) for value in range(1, UNKNOWN)}


def _image_path(root: Path, name: str) -> Path:
    return root / "JPEGImages" / f"{name}.jpg"


def _class_path(root: Path, name: str) -> Path:
    paths = [root / folder / f"{name}.png" for folder in CLASS_FOLDERS]
    return next((path for path in paths if path.exists()), paths[-1])
