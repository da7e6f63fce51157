"""A folder of yours: images or frames, with masks beside them."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.datasets.files import Lazy, check_same_size, image_size, natural_key, require, spread
from data_pipelines.datasets.masks import Coding, read_coded, survey
from data_pipelines.datasets.record import DatasetError, Record, RecordBuilder, encode_layer, find_segments
from guided_jax.episode import UNKNOWN

logger = logging.getLogger(__name__)

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "frames")
MASK_FOLDERS = (
    "masks",
    "mask",
    "annotations",
    "annotation",
    "ground_truth_mask",
    "ground_truth",
    "gt",
    "labels",
    "segmentation",
    "segmentations",
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MASK_SUFFIXES = (".png", ".bmp", ".gif", ".jpg", ".jpeg")
LOSSY, LOSSLESS = (".jpg", ".jpeg", ".webp"), (".png", ".bmp", ".gif")
"""Where images and masks lie in one folder, an image is a photograph's file, and its mask is none."""


class Item(NamedTuple):
    """One image as files; `group` is the folder it is in, where the folder means a class or a clip."""

    name: str
    group: str
    frame: int
    image: Path
    mask: Path | None


class ImageFolder(RecordBuilder):
    """A folder of images and masks; its only split is `all`.

    The path is a folder with a folder of images (`images`, `img`, `JPEGImages`, ...) and one of masks (`masks`,
    `annotations`, `ground_truth`, `gt`, ...), or a folder of classes: `CLASS/images` and `CLASS/masks` for each. Both
    may lie in one folder, too, where images are JPEG and masks PNG: `CLASS/1.jpg` and `CLASS/1.png`, as in FSS-1000. A
    mask has the name of its image, whatever their suffixes, in the same sub-folder if there are any. Images
    without a mask are left out. How masks are read: `masks.survey`. Every label is an instance of its image.
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "image_folder"

    def _class_names(self) -> list[str]:
        return [group for group, *_ in find_groups(self.path) if group]

    def _split_names(self) -> list[str]:
        find_groups(self.path)
        return ["all"]

    def _records(self, split: str) -> Lazy:
        del split
        items = self._items()
        coding = survey([item.mask for item in items if item.mask])
        return Lazy(items, lambda item: self._read(item, coding))

    def _inputs(self, split: str) -> list[Path]:
        del split
        folders = [folder for _, *pair in find_groups(self.path) for folder in dict.fromkeys(pair)]
        return [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]

    def _items(self) -> list[Item]:
        items = [item for group in find_groups(self.path) for item in list_items(*group)]
        masked = {item.name: item for item in items if item.mask}
        if len(masked) < len(items):
            logger.warning("%s: %d images have no mask and are left out", self.path, len(items) - len(masked))
        return [masked[name] for name in spread(masked)]

    def _read(self, item: Item, coding: Coding) -> Record:
        class_id = self._class_names().index(item.group) + 1 if item.group else 0
        return read_item(item, coding, class_id=class_id, video="", frame=0)


class FrameFolder(ImageFolder):
    """A folder of frames and masks, of one clip or of several; its only split is `all`.

    As `ImageFolder`, but a folder is a clip, not a class: `CLIP/frames` and `CLIP/masks`, or `frames/CLIP` and
    `masks/CLIP`, or a single clip without such folders. Frames are in the order of their names (frame2 before frame10).
    A label is the same object in the whole clip. Frames without a mask are kept, all void.
    """

    name = "frame_folder"

    def _class_names(self) -> list[str]:
        return []

    def _items(self) -> list[Item]:
        items = [item for group in find_groups(self.path) for item in list_items(*group)]
        return sorted(items, key=lambda item: natural_key(item.name))

    def _read(self, item: Item, coding: Coding) -> Record:
        clip = str(Path(item.name).parent)
        return read_item(
            item, coding, class_id=0, video=self.path.resolve().name if clip == "." else clip, frame=item.frame
        )


def find_groups(root: Path) -> list[tuple[str, Path, Path]]:
    """Finds the pairs of folders of images and masks: (name, images, masks), the name empty for a pair at the root."""
    require(root, "give the folder that holds your images and masks")
    pair = _find_pair(root)
    if pair:
        return [("", *pair)]
    folders = sorted((folder for folder in root.iterdir() if folder.is_dir()), key=lambda folder: folder.name)
    pairs = [(folder.name, *pair) for folder in folders if (pair := _find_pair(folder))]
    if not pairs:
        raise DatasetError(
            f"{root} has no folder of images beside one of masks, nor has any folder in it; call them "
            f"'images' and 'masks' (known: {', '.join(IMAGE_FOLDERS)}; {', '.join(MASK_FOLDERS)}), or put each mask "
            "beside its image, as 1.png beside 1.jpg"
        )
    return pairs


def list_items(group: str, images: Path, masks: Path) -> list[Item]:
    """Lists the images of a folder with their masks, sorted by name; frames count from 0 in each sub-folder."""
    of_images, of_masks = (LOSSY, LOSSLESS) if images == masks else (IMAGE_SUFFIXES, MASK_SUFFIXES)
    image_files, mask_files = _by_name(images, of_images), _by_name(masks, of_masks)
    for folder, files, suffixes in ((images, image_files, of_images), (masks, mask_files, of_masks)):
        if not files:
            raise DatasetError(f"{folder} holds no file that ends in {', '.join(suffixes)}")
    lonely = [str(path) for name, path in mask_files.items() if name not in image_files]
    if lonely:
        raise DatasetError(f"{len(lonely)} of the {len(mask_files)} masks in {masks} have no image, first {lonely[0]}")
    items, frames = [], {}
    for name in sorted(image_files, key=natural_key):
        frame = frames[Path(name).parent] = frames.get(Path(name).parent, -1) + 1
        full_name = f"{group}/{name}" if group else name
        items.append(Item(full_name, group, frame, image_files[name], mask_files.get(name)))
    return items


def read_item(item: Item, coding: Coding, *, class_id: int, video: str, frame: int) -> Record:
    """Reads one image; without a mask, all of it is void."""
    image = item.image.read_bytes()
    size = image_size(image, str(item.image))
    layer = read_coded(item.mask, coding) if item.mask else np.full(size, UNKNOWN, np.uint8)
    if item.mask:
        check_same_size(item.image, size, item.mask, layer.shape)
    segments = find_segments(layer, 0, dict.fromkeys(range(1, UNKNOWN), class_id), instances=True)
    return Record(item.name, video, frame, *size, image, (encode_layer(layer),), tuple(segments))


def _find_pair(folder: Path) -> tuple[Path, Path] | None:
    inside = {child.name.lower(): child for child in folder.iterdir() if child.is_dir()}
    found = [next((inside[name] for name in names if name in inside), None) for names in (IMAGE_FOLDERS, MASK_FOLDERS)]
    if all(found):
        return tuple(found)
    lossy, lossless = ({p.stem for p in folder.iterdir() if p.suffix.lower() in each} for each in (LOSSY, LOSSLESS))
    return (folder, folder) if lossy & lossless else None


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    files = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in suffixes or file.name.startswith("."):
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise DatasetError(f"{files[name]} and {file} have the same name; remove one of them")
        files[name] = file
    return files
