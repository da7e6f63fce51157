"""The Semantic Boundaries Dataset (Hariharan et al., ICCV 2011), from its MATLAB files."""

import functools
from pathlib import Path

import numpy as np
import scipy.io
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.reading.files import check_listed, check_same_size, require, spread
from data_pipelines.datasets.reading.images import read_image
from data_pipelines.datasets.record import DatasetError, Record, encode_layer, find_segments
from data_pipelines.datasets.shards import Lazy
from data_pipelines.datasets.voc import CLASSES, check_voc, list_names, list_voc, read_voc, voc_files, voc_inputs
from guided_jax.episode import UNKNOWN

REMEDY = (
    "download benchmark.tgz from http://home.bharathh.info/pubs/codes/SBD/download.html and unpack it so that {path} "
    "holds dataset/img, dataset/cls, dataset/inst, dataset/train.txt and dataset/val.txt"
)


class Sbd(RecordBuilder):
    """SBD's masks for 11,355 images of PASCAL VOC 2011: class regions and instances, without void.

    The path is the folder `benchmark_RELEASE` of the archive, or its `dataset`. Splits: SBD's own `train` and `val`,
    and `trainaug`, the training set of PASCAL VOC 2012 that papers use: VOC 2012's segmentation `train` with VOC's
    masks, and all other images of SBD with SBD's, without those of VOC 2012's segmentation `val` (SBD's `train`
    holds some of them, too). That makes 10,582 images. It needs VOC 2012: `VOCdevkit/VOC2012` beside
    `benchmark_RELEASE`.
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "sbd"

    def _class_names(self) -> list[str]:
        return list(CLASSES)

    def _split_names(self) -> list[str]:
        folder = _dataset_folder(self.path)
        for name in ("img", "cls", "inst", "train.txt", "val.txt"):
            require(folder / name, REMEDY.format(path=self.path))
        return ["train", "val", "trainaug"]

    def _records(self, split: str) -> Lazy:
        folder = _dataset_folder(self.path)
        if split != "trainaug":
            names = list_names(folder / f"{split}.txt")
            _check_sbd(folder, names, folder / f"{split}.txt")
            return Lazy(spread(names), functools.partial(read_sbd, folder), functools.partial(_paths, folder))
        voc = _voc_folder(self.path)
        fine, coarse = _list_trainaug(folder, voc)
        check_voc(voc, fine, list_voc(voc)["train"])
        _check_sbd(folder, coarse, folder / "train.txt")
        of_voc = frozenset(fine)
        items = [(name in of_voc, name) for name in spread(fine + coarse)]
        return Lazy(items, functools.partial(_read, folder, voc), functools.partial(_files, folder, voc))

    def _inputs(self, split: str) -> list[Path]:
        folder = _dataset_folder(self.path)
        if split != "trainaug":
            return [folder / f"{split}.txt"]
        voc = _voc_folder(self.path)
        return [folder / "train.txt", folder / "val.txt", *voc_inputs(voc, "train"), *voc_inputs(voc, "val")]


def _read(folder: Path, voc: Path, item: tuple[bool, str]) -> Record:
    of_voc, name = item
    return read_voc(voc, name) if of_voc else read_sbd(folder, name)


def _files(folder: Path, voc: Path, item: tuple[bool, str]) -> tuple[Path, Path, Path]:
    of_voc, name = item
    return voc_files(voc, name) if of_voc else _paths(folder, name)


def read_sbd(folder: Path, name: str) -> Record:
    """Reads one image of SBD with its class map and its map of instances.

    Args:
        folder: SBD's `dataset`.
        name: of the image, such as 2008_000008.
    """
    image_path, class_path, object_path = _paths(folder, name)
    image, size = read_image(image_path)
    classes = _label_map(_read_struct(class_path, "GTcls"), class_path, len(CLASSES))
    instances = _read_struct(object_path, "GTinst")
    objects = _label_map(instances, object_path, UNKNOWN - 1)
    check_same_size(image_path, size, class_path, classes.shape)
    check_same_size(image_path, size, object_path, objects.shape)
    categories = _categories(instances, object_path)
    if objects.max() > len(categories):
        raise DatasetError(
            f"{object_path} shows instance {objects.max()} but names the categories of {len(categories)}"
        )
    class_of = dict(enumerate(categories, start=1))
    segments = find_segments(classes, 0, None, instances=False) + find_segments(objects, 1, class_of, instances=True)
    return Record(name, "", 0, *size, image, (encode_layer(classes), encode_layer(objects)), tuple(segments))


def _read_struct(path: Path, name: str) -> np.void:
    try:
        return scipy.io.loadmat(path, variable_names=[name])[name][0, 0]
    except Exception as error:  # the reader raises whatever the bytes lead it to
        raise DatasetError(f"{path} is not a file of SBD with the struct {name}: {error}") from error


def _label_map(struct: np.void, path: Path, largest: int) -> UInt8[np.ndarray, "h w"]:
    labels = _whole_numbers(struct, "Segmentation", path)
    if labels.ndim != 2 or not labels.size or labels.min() < 0 or labels.max() > largest:
        found = f", but holds {labels.min():g} to {labels.max():g}" if labels.size else ""
        raise DatasetError(f"{path}: Segmentation is not a map of labels 0 to {largest}{found}")
    return np.ascontiguousarray(labels, np.uint8)


def _categories(struct: np.void, path: Path) -> list[int]:
    categories = _whole_numbers(struct, "Categories", path).ravel()
    if categories.size and not (categories.min() >= 1 and categories.max() <= len(CLASSES)):
        raise DatasetError(f"{path}: Categories holds {categories.tolist()}; classes are 1 to {len(CLASSES)}")
    return categories.astype(int).tolist()


def _whole_numbers(struct: np.void, field: str, path: Path) -> np.ndarray:
    try:
        values = np.asarray(struct[field])
        whole = values.dtype.kind in "biuf" and bool((np.floor(values) == values).all() and np.isfinite(values).all())
    except (ValueError, IndexError, TypeError) as error:
        raise DatasetError(f"{path}: its struct has no {field} ({error})") from error
    if not whole:
        raise DatasetError(f"{path}: {field} does not hold whole numbers")
    return values


def _list_trainaug(folder: Path, voc: Path) -> tuple[list[str], list[str]]:
    lists = list_voc(voc)
    for split in ("train", "val"):
        if split not in lists:
            raise DatasetError(f"trainaug needs {voc / 'ImageSets' / 'Segmentation' / split}.txt of PASCAL VOC 2012")
    fine, held_out = list_names(lists["train"]), list_names(lists["val"])
    rest = list_names(folder / "train.txt") + list_names(folder / "val.txt")
    excluded = {*fine, *held_out}
    return fine, [name for name in dict.fromkeys(rest) if name not in excluded]


def _dataset_folder(path: Path) -> Path:
    if (path / "img").is_dir():
        return path
    return require(path / "dataset", REMEDY.format(path=path))


def _voc_folder(path: Path) -> Path:
    above = _dataset_folder(path).resolve().parents[:2]
    candidates = [parent / "VOCdevkit" / "VOC2012" for parent in above]
    found = next((folder for folder in candidates if folder.is_dir()), None)
    if found is None:
        raise DatasetError(f"SBD's trainaug takes the masks of PASCAL VOC 2012 first; put it at {candidates[-1]}")
    return found


def _paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    return folder / "img" / f"{name}.jpg", folder / "cls" / f"{name}.mat", folder / "inst" / f"{name}.mat"


def _check_sbd(folder: Path, names: list[str], listing: Path) -> None:
    check_listed((file for name in names for file in _paths(folder, name)), listing, REMEDY.format(path=folder.parent))
