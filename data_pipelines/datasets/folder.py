"""A folder of yours: images or frames, with masks beside them."""

import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.counted import counted
from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.reading.class_names import find_names_file, read_class_names
from data_pipelines.datasets.reading.files import check_same_size, is_hidden, natural_key, require, spread
from data_pipelines.datasets.reading.images import read_image, turn_upright
from data_pipelines.datasets.reading.masks import Coding, read_coded, survey
from data_pipelines.datasets.reading.orientation import survey_orientation
from data_pipelines.datasets.record import DatasetError, Record, encode_layer, find_segments
from data_pipelines.datasets.shards import Lazy
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
    """One image as files.

    Attributes:
        name: without suffix, relative to the folder of images.
        group: the folder it is in, where the folder means a class or a clip.
        frame: its number in its folder.
        image: its file.
        mask: that of its mask.
        turned: the EXIF orientation by which it is to be turned upright; 0 leaves it as it is.
    """

    name: str
    group: str
    frame: int
    image: Path
    mask: Path | None
    turned: int = 0


class Reading(NamedTuple):
    """How the files of a folder are to be understood.

    Attributes:
        coding: of the masks.
        groups: class id of each folder that means a class.
        classed: whether labels are classes.
    """

    coding: Coding
    groups: dict[str, int]
    classed: bool


class ImageFolder(RecordBuilder):
    """A folder of images and masks; its only split is `all`.

    The path is a folder with a folder of images (`images`, `img`, `JPEGImages`, ...) and one of masks (`masks`,
    `annotations`, `ground_truth`, `gt`, ...), or a folder of classes: `CLASS/images` and `CLASS/masks` for each. Both
    may lie in one folder, too, where images are JPEG and masks PNG: `CLASS/1.jpg` and `CLASS/1.png`, as in FSS-1000. A
    mask has the name of its image, whatever their suffixes, in the same sub-folder if there are any. Images
    without a mask are left out. How masks are read: `masks.survey`. Every label is an instance of its image.

    Where a file of names lies beside the masks (`class_names`), and where the unit is 'class', a label is a class, too:
    the same in every image. Options of the source: `masks` (see `masks.READINGS`), and `exif`, upright or stored, how
    masks lie on images that an EXIF tag turns (found out by `orientation.survey_orientation`).
    """

    VERSION = tfds.core.Version("1.1.0")
    name = "image_folder"

    def _class_names(self) -> list[str]:
        groups = find_groups(self.path)
        if any(group for group, *_ in groups):
            return [group for group, *_ in groups if group]
        coding = self._reading.coding
        names = self._names_file()
        if names is not None:
            listed = read_class_names(names, coding.labels or (1,))
            logger.info("%s: names of %s, first %s", names, counted(len(listed), "class", "classes"), listed[0])
            return listed
        if len(coding.labels) < 2:
            return []
        if self.unit != "class":
            logger.info(
                "%s: each label is an instance of its image; with the unit :class, a class of its own", self.path
            )
            return []
        if coding.colours:
            return [f"#{colour:06x}" for colour in coding.colours]
        return [str(value) for value in range(1, max(coding.labels) + 1)]

    def _split_names(self) -> list[str]:
        find_groups(self.path)
        return ["all"]

    def _records(self, split: str) -> Lazy:
        del split
        reading, pairs = self._reading, [(item.image, item.mask) for item in self._readable]
        turned = survey_orientation(pairs, self.options.get("exif", ""))
        items = [item._replace(turned=turned.get(item.image, 0)) for item in self._readable]
        return Lazy(items, functools.partial(self._read, reading, self.path.resolve().name), _files)

    def _inputs(self, split: str) -> list[Path]:
        del split
        folders = [folder for _, *pair in find_groups(self.path) for folder in dict.fromkeys(pair)]
        files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
        names = self._names_file()
        return files if names is None or names in files else [*files, names]

    @functools.cached_property
    def _reading(self) -> Reading:
        names = [group for group, *_ in find_groups(self.path) if group]
        return Reading(
            survey([item.mask for item in self._readable if item.mask], self.options.get("masks", ""), self.path),
            {group: number for number, group in enumerate(names, start=1)},
            self.unit == "class" or self._names_file() is not None,
        )

    @functools.cached_property
    def _found(self) -> list[Item]:
        return self._items()

    @functools.cached_property
    def _readable(self) -> Sequence[Item]:
        """The items whose files can be opened; all of them, unless broken ones may be skipped."""
        return self.sound(_open, self._found)

    def _names_file(self) -> Path | None:
        groups = find_groups(self.path)
        if any(group for group, *_ in groups):
            return None
        return find_names_file(list(dict.fromkeys((self.path, *(masks for *_, masks in groups)))))

    def _items(self) -> list[Item]:
        items = [item for group in find_groups(self.path) for item in list_items(*group)]
        if not any(item.mask for item in items):
            raise DatasetError(f"{self.path}: no image has a mask of its name; a mask is called as its image")
        masked = {item.name: item for item in items if item.mask}
        if len(masked) < len(items):
            logger.warning("%s: %d images have no mask and are left out", self.path, len(items) - len(masked))
        return [masked[name] for name in spread(masked)]

    @staticmethod
    def _read(reading: Reading, root: str, item: Item) -> Record:
        del root
        classes = dict.fromkeys(range(1, UNKNOWN), reading.groups.get(item.group, 0))
        if reading.classed and not reading.groups:
            classes = {value: value for value in range(1, UNKNOWN)}
        return read_item(item, reading, classes=classes, video="", frame=0)


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

    @staticmethod
    def _read(reading: Reading, root: str, item: Item) -> Record:
        clip = str(Path(item.name).parent)
        video = root if clip == "." else clip
        return read_item(item, reading, classes=dict.fromkeys(range(1, UNKNOWN), 0), video=video, frame=item.frame)


def find_groups(root: Path) -> list[tuple[str, Path, Path]]:
    """Finds the pairs of folders of images and masks: (name, images, masks), the name empty for a pair at the root."""
    require(root, "give the folder that holds your images and masks")
    pair = _find_pair(root)
    if pair:
        return [("", *pair)]
    folders = sorted((folder for folder in _visible(root) if folder.is_dir()), key=lambda folder: folder.name)
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
        raise DatasetError(
            f"{len(lonely)} of the {len(mask_files)} masks in {masks} have no image, first {lonely[0]}; "
            "a mask has its image's name: a.png of a.jpg"
        )
    items, frames = [], {}
    for name in sorted(image_files, key=natural_key):
        frame = frames[Path(name).parent] = frames.get(Path(name).parent, -1) + 1
        full_name = f"{group}/{name}" if group else name
        items.append(Item(full_name, group, frame, image_files[name], mask_files.get(name)))
    return items


def read_item(item: Item, reading: Reading, *, classes: dict[int, int], video: str, frame: int) -> Record:
    """Reads one image; without a mask, all of it is void."""
    image, size = read_image(item.image)
    if item.turned:
        image = turn_upright(image, item.turned)
        size = size[::-1] if item.turned >= 5 else size
    layer = read_coded(item.mask, reading.coding) if item.mask else np.full(size, UNKNOWN, np.uint8)
    if item.mask:
        check_same_size(item.image, size, item.mask, layer.shape)
    segments = find_segments(layer, 0, classes, instances=True)
    return Record(item.name, video, frame, *size, image, (encode_layer(layer),), tuple(segments))


def _files(item: Item) -> list[Path]:
    return [item.image] if item.mask is None else [item.image, item.mask]


def _open(item: Item) -> None:
    read_image(item.image)
    if item.mask:
        read_image(item.mask)


def _find_pair(folder: Path) -> tuple[Path, Path] | None:
    inside = {child.name.lower(): child for child in _visible(folder) if child.is_dir()}
    found = [next((inside[name] for name in names if name in inside), None) for names in (IMAGE_FOLDERS, MASK_FOLDERS)]
    if all(found):
        return tuple(found)
    lossy, lossless = ({p.stem for p in _visible(folder) if p.suffix.lower() in each} for each in (LOSSY, LOSSLESS))
    return (folder, folder) if lossy & lossless else None


def _visible(folder: Path) -> Iterator[Path]:
    return (child for child in folder.iterdir() if not is_hidden(Path(child.name)))


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    files = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in suffixes or is_hidden(file.relative_to(folder)):
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise DatasetError(f"{files[name]} and {file} have the same name; remove one of them")
        files[name] = file
    return files
