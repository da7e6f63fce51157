"""Small original data sets of every kind, all sound: each test of bad inputs breaks one."""

import json
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.record import Record, decode_layer, to_record
from data_pipelines.datasets.sources import Split, open_source

SIDE = 24


def disc(low: int = 0, high: int = 255, *, side: int = SIDE) -> np.ndarray:
    """A disc on a ground, with hard edges."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    return np.where(np.hypot(rows, columns) < side / 3, high, low).astype(np.uint8)


def photo(height: int = SIDE, width: int = SIDE, *, seed: int = 0) -> Image.Image:
    """A noisy image, which no codec shortens to nothing."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def save(image, path: Path, **options) -> Path:
    """Saves an image or an array, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def make_folder(root: Path, masks: dict) -> Path:
    """A folder `mine` with an image beside each mask; the names of the masks have their suffix."""
    for number, (name, mask) in enumerate(masks.items()):
        path = save(mask, root / "mine" / "masks" / name)
        with Image.open(path) as drawn:
            width, height = drawn.size
        save(photo(height, width, seed=number), root / "mine" / "images" / f"{path.stem}.jpg")
    return root / "mine"


def make_voc(root: Path) -> Path:
    """Two images of VOC in the list train."""
    voc = root / "VOCdevkit" / "VOC2012"
    for number, name in enumerate(("2007_000001", "2007_000002")):
        save(photo(seed=number), voc / "JPEGImages" / f"{name}.jpg")
        save(disc(high=number + 1), voc / "SegmentationClassAug" / f"{name}.png")
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000001\n2007_000002\n")
    return voc


def make_sbd(root: Path, *, classes=None, categories=((1,),), objects=None) -> Path:
    """One image of SBD with given maps."""
    folder = root / "benchmark_RELEASE" / "dataset"
    save(photo(), folder / "img" / "a.jpg")
    maps = {"cls": ("GTcls", {"Segmentation": disc(high=1) if classes is None else classes})}
    instances = disc(high=1) if objects is None else objects
    maps["inst"] = ("GTinst", {"Segmentation": instances, "Categories": np.array(categories)})
    for kind, (name, fields) in maps.items():
        (folder / kind).mkdir(exist_ok=True)
        scipy.io.savemat(folder / kind / "a.mat", {name: fields})
    for split in ("train", "val"):
        (folder / f"{split}.txt").write_text("a\n")
    return folder


def make_davis(root: Path, clips: dict[str, int]) -> Path:
    """DAVIS with clips of as many frames in the list val of 2017."""
    davis = root / "DAVIS"
    for clip, frames in clips.items():
        for frame in range(frames):
            save(photo(seed=frame), davis / "JPEGImages" / "480p" / clip / f"{frame:05d}.jpg")
            save(disc(high=1), davis / "Annotations" / "480p" / clip / f"{frame:05d}.png")
    (davis / "ImageSets" / "2017").mkdir(parents=True)
    (davis / "ImageSets" / "2017" / "val.txt").write_text("\n".join(clips) + "\n")
    return davis


SQUARE = [4, 4, 12, 4, 12, 12, 4, 12]


def coco_content() -> dict:
    """Two images with two instances and a crowd."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE} for i in (1, 2)]
    runs = {"size": [SIDE, SIDE], "counts": [0, SIDE, SIDE * SIDE - SIDE]}
    annotations = [
        {"id": 11, "image_id": 1, "category_id": 3, "segmentation": [SQUARE], "iscrowd": 0},
        {"id": 12, "image_id": 1, "category_id": 5, "segmentation": runs, "iscrowd": 1},
        {"id": 13, "image_id": 2, "category_id": 5, "segmentation": runs},
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 3, "name": "a"}, {"id": 5, "name": "b"}],
    }


def make_coco(root: Path, content) -> Path:
    """COCO with a content as its file, or with bytes as they are."""
    coco = root / "coco"
    for number in (1, 2):
        save(photo(seed=number), coco / "train2017" / f"{number}.jpg")
    (coco / "annotations").mkdir(parents=True, exist_ok=True)
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    (coco / "annotations" / "instances_train2017.json").write_bytes(encoded)
    return coco


def open_text(text: str, root: Path, **options) -> Split:
    """Opens a source below `root`, built beside it."""
    return open_source(parse_sources(text)[0], root, root.parent / f"{root.name}-built", **options)


def records_of(split: Split) -> dict[str, Record]:
    """All records of a split by image id."""
    records = [to_record(split.records[row]) for row in range(len(split.records))]
    return {record.image_id: record for record in records}


def layers_of(split: Split) -> dict[str, np.ndarray]:
    """The first layer of each image."""
    return {name: decode_layer(record.layers[0]) for name, record in records_of(split).items()}
