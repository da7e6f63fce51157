"""COCO's instance masks: polygons, run lengths and crowds."""

import dataclasses
import functools
import warnings
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, UInt8
from pycocotools import mask as coco_mask

from data_pipelines.counted import counted
from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.coco_checks import Checked, check_content, read_json
from data_pipelines.datasets.reading.files import check_listed, require, spread
from data_pipelines.datasets.reading.images import read_image
from data_pipelines.datasets.record import DatasetError, Record, Segment, encode_layer, find_segments
from data_pipelines.datasets.shards import Lazy
from guided_jax.episode import UNKNOWN

REMEDY = (
    "download train2017.zip, val2017.zip and annotations_trainval2017.zip from https://cocodataset.org/#download and "
    "unpack them so that {path} holds annotations/instances_train2017.json and the folder train2017 (and val2017 alike)"
)


# fmt: off
CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
"""COCO's classes in the order of its category ids, which COCO-20i counts."""


class CocoInstances(RecordBuilder):
    """COCO: every instance of every image, in as few layers as hold them without overlap.

    The path is the folder that holds `annotations/instances_SPLIT.json` and, for each, the folder SPLIT of images.
    An instance goes into the first layer where it overlaps nothing and a value is left (254 in a layer). Its
    id counts the image's instances in the order of their annotation ids. A class id counts the categories, sorted by
    COCO's id, from 1. Images without an instance are left out.

    A crowd (`iscrowd`) is void, in every layer, except where it covers pixels of an instance: those are known.
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "coco_instances"

    def _class_names(self) -> list[str]:
        names = [
            [category["name"] for category in self._annotations(split).categories] for split in self._chosen_splits()
        ]
        if any(each != names[0] for each in names):
            raise DatasetError(f"the files in {self.path / 'annotations'} differ in their categories; build them apart")
        return names[0]

    def _split_names(self) -> list[str]:
        remedy = REMEDY.format(path=self.path)
        files = require(self.path / "annotations", remedy).glob("instances_*.json")
        splits = sorted(file.stem.removeprefix("instances_") for file in files)
        if not splits:
            raise DatasetError(f"{self.path / 'annotations'} holds no instances_*.json; {remedy}")
        return splits

    def _records(self, split: str) -> Lazy:
        content = self._annotations(split)
        class_of = {category["id"]: number for number, category in enumerate(content.categories, start=1)}
        annotations = content.annotations
        images = {
            name: image
            for name, image in content.images.items()
            if any(not annotation.get("iscrowd") for annotation in annotations.get(image["id"], ()))
        }
        if not images and not content.broken:
            number = counted(len(content.images), "image")
            raise DatasetError(f"{self._file(split)}: none of its {number} has an annotation that is no crowd")
        for message in content.broken:
            self.skip(message)
        folder = require(self.path / split, REMEDY.format(path=self.path))
        check_listed((folder / name for name in images), self._file(split), REMEDY.format(path=self.path))

        items = [(images[name], annotations[images[name]["id"]]) for name in spread(images)]
        return Lazy(items, functools.partial(_read, folder, class_of), functools.partial(_files, folder))

    def _inputs(self, split: str) -> list[Path]:
        return [self._file(split)]

    def _file(self, split: str) -> Path:
        return self.path / "annotations" / f"instances_{split}.json"

    @functools.cached_property
    def _loaded(self) -> dict[str, Checked]:
        return {}

    def _annotations(self, split: str) -> Checked:
        if split not in self._loaded:
            file = self._file(split)
            self._loaded[split] = check_content(read_json(file), file, self.path / split, skip_broken=self.skip_broken)
        return self._loaded[split]


def _read(folder: Path, class_of: dict[int, int], item: tuple[dict, list[dict]]) -> Record:
    return read_coco(folder, *item, class_of)


def _files(folder: Path, item: tuple[dict, list[dict]]) -> list[Path]:
    return [folder / item[0]["file_name"]]


def read_coco(folder: Path, entry: dict, annotations: list[dict], class_of: dict[int, int]) -> Record:
    """Reads one image with all its instances.

    Args:
        folder: of the split's images.
        entry: of the image in the annotation file.
        annotations: of the image, crowds included.
        class_of: class id of each COCO category id.
    """
    path = folder / entry["file_name"]
    image, (height, width) = read_image(path)
    if (height, width) != (entry["height"], entry["width"]):
        raise DatasetError(
            f"{path} is {width} x {height} pixels, but its annotations are for {entry['width']} x {entry['height']}"
        )
    annotations = sorted(annotations, key=lambda annotation: annotation["id"])
    crowd = np.zeros((height, width), bool)
    masks, classes = [], []
    for annotation in annotations:
        mask = rasterise(annotation["segmentation"], height, width)
        if annotation.get("iscrowd"):
            crowd |= mask
        else:
            masks.append(mask)
            classes.append(class_of[annotation["category_id"]])
    layers, segments = pack(masks, classes, crowd)
    name = PurePosixPath(entry["file_name"]).with_suffix("").as_posix()
    return Record(name, "", 0, height, width, image, tuple(map(encode_layer, layers)), tuple(segments))


def rasterise(segmentation: list | dict, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """Rasterises polygons or run lengths (compressed or not) as pycocotools does."""
    if not segmentation:
        return np.zeros((height, width), bool)
    if isinstance(segmentation, list):
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = coco_mask.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    with warnings.catch_warnings():  # of pycocotools 2.0.11 about itself, under numpy 2
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return coco_mask.decode(runs).astype(bool)


def pack(
    masks: list[Bool[np.ndarray, "h w"]], classes: list[int], crowd: Bool[np.ndarray, "h w"]
) -> tuple[list[UInt8[np.ndarray, "h w"]], list[Segment]]:
    """Packs instances into layers without overlap, each into the first layer that takes it.

    Args:
        masks: of the instances; one without pixels is left out.
        classes: class id of each.
        crowd: pixels of crowds: void where no instance lies.
    """
    layers, owners = [np.zeros(crowd.shape, np.uint8)], [[]]
    for number, mask in enumerate(masks, start=1):
        if not mask.any():
            continue
        free = (i for i, layer in enumerate(layers) if len(owners[i]) < UNKNOWN - 1 and not layer[mask].any())
        index = next(free, len(layers))
        if index == len(layers):
            layers.append(np.zeros(crowd.shape, np.uint8))
            owners.append([])
        owners[index].append(number)
        layers[index][mask] = len(owners[index])
    void = crowd & ~np.logical_or.reduce([layer > 0 for layer in layers])
    segments = []
    for index, (layer, numbers) in enumerate(zip(layers, owners, strict=True)):
        for found in find_segments(layer, index, None, instances=True):
            number = numbers[found.value - 1]
            segments.append(dataclasses.replace(found, class_id=classes[number - 1], instance=number))
        layer[void] = UNKNOWN
    return layers, segments
