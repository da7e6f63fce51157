"""How the masks of a folder are to be read, found out from all of them."""

import contextlib
import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from data_pipelines.datasets.reading.files import has_palette, read_mask
from data_pipelines.datasets.reading.images import open_image
from data_pipelines.datasets.reading.mask_values import Values, find_solid, list_values
from data_pipelines.datasets.record import DatasetError
from data_pipelines.processes import in_order, pieces_of
from guided_jax.episode import UNKNOWN

logger = logging.getLogger(__name__)

READINGS = ("object", "labels", "alpha")
HALF = 128
SOFT_VALUES, SOFT_AREA = 16, 24
"""More values than so many, on so few pixels a mask each, are the edges of smoothed labels."""
NOISE = 16
"""How far JPEG moves the values 0 and 255 of a mask at most, where they fill a region."""
RIM = 0.02
"""Values of which so small a share of pixels is inside a region are its rims."""
THIN = 0.25
"""Rims cover less than this share of a mask."""
GREYS, RAGGED = 64, 0.2
"""More values than so many, with a smaller share of pixels inside regions, are a photograph or a map of scores."""
COLOURS = 4096
"""Of so many colours none is counted any more: these are no labels."""
PIECE = 512
"""Masks that one process counts at a time: a second of work or so."""


@dataclass(frozen=True)
class Coding:
    """What the values or colours in the masks of a folder mean.

    Attributes:
        table: label of each grey value.
        scaled: a mask of nothing but 0 and 1 is of 0 and 255.
        colours: the colours 0xRRGGBB of the labels 1, 2, ...; empty where the masks are grey or have a palette.
        alpha: the alpha channel is the mask.
        labels: those that the masks hold, void not counted.
    """

    table: tuple[int, ...] = tuple(range(256))
    scaled: bool = False
    colours: tuple[int, ...] = ()
    alpha: bool = False
    labels: tuple[int, ...] = (1,)


@dataclass
class Counts:
    """What the masks of a folder hold.

    Attributes:
        ones: values of the grey masks of nothing but 0 and 1.
        others: values of the other grey ones.
        colours: of each colour 0xRRGGBB its area, its solid pixels, and the masks that hold it.
        indexed: a mask with a palette.
        lossy: a mask that is a JPEG.
    """

    ones: Values = field(default_factory=Values)
    others: Values = field(default_factory=Values)
    colours: dict[int, np.ndarray] = field(default_factory=dict)
    indexed: Path | None = None
    lossy: Path | None = None

    def join(self, later: "Counts") -> None:
        """Adds the counts of masks that come after these."""
        self.ones.join(later.ones)
        self.others.join(later.others)
        self.indexed, self.lossy = later.indexed or self.indexed, later.lossy or self.lossy
        if len(self.colours) <= COLOURS:
            for colour, counts in later.colours.items():
                self.colours[colour] = self.colours.get(colour, 0) + counts


def survey(paths: Sequence[Path], reading: str = "", masks: Path | None = None) -> Coding:
    """Finds out how the masks of a folder are coded, and says so in the log.

    Grey and palette masks hold labels: 0 negative, 1 ... 254, 255 void. Not so where they show one object on a ground:
    there 255 (or 1, in a mask without 255) is label 1. That is the case where no mask has another value, where all
    values between line the rims of solid regions (smoothed edges, JPEG), and where 128 or more is the ground of 255. In
    a folder with a coloured mask that has no palette, each colour but black is a label, numbered by the order of
    red, then green, then blue, so that it is the same in every image.

    Args:
        paths: of the masks.
        reading: 'object' (255, 1, or what is above the half, is one object), 'labels' (values are labels, 255 void),
            'alpha' (the alpha channel is one object); empty: found out.
        masks: the folder, for messages.

    Raises:
        DatasetError: what the masks hold could be read in several ways.
    """
    folder = masks or paths[0].parent
    counts = Counts()
    with contextlib.closing(in_order(functools.partial(_count, reading), pieces_of(paths, PIECE))) as pieces:
        for each in pieces:
            counts.join(each)
    ones, others, colours, indexed, lossy = vars(counts).values()
    found = sorted({*ones.found(), *others.found()})
    if reading in ("object", "alpha"):
        coding = Coding(_threshold(HALF), scaled=True, alpha=reading == "alpha")
        logger.info("%s: masks=%s, as asked -> one object", folder, reading)
        return coding
    if colours:
        for value in found:
            colours.setdefault(value * 0x010101, np.zeros(3, np.int64))
            colours[value * 0x010101] += ones.areas[value] + others.areas[value], 0, 1
        return _colour_coding(colours, folder, indexed, reading)
    if reading == "labels":
        coding, meaning = _labels(found)
    elif not others.masks or others.found() == [0]:
        coding, meaning = Coding(), "one object" if 1 in found else "nothing is drawn"
    else:
        coding, meaning = _grey_coding(ones, others, folder, indexed is not None, lossy)
    logger.info("%s: %s -> %s", folder, list_values(found), meaning)
    return coding


def read_coded(path: Path, coding: Coding) -> UInt8[np.ndarray, "h w"]:
    """Reads a mask as a label map: 0 negative, 1 ... 254 labels, 255 void."""
    mask = read_alpha(path) if coding.alpha else read_mask(path)
    if coding.scaled and mask.ndim == 3:
        return (mask.max(2) >= HALF // 2).astype(np.uint8)
    if coding.colours:
        codes = _codes(mask)
        labels = np.searchsorted(np.array((0, *coding.colours)), codes)
        return labels.astype(np.uint8)
    if coding.scaled and mask.max() <= 1:
        return mask
    return np.array(coding.table, np.uint8)[mask]


def read_alpha(path: Path) -> UInt8[np.ndarray, "h w"]:
    """The alpha channel of an image.

    Raises:
        DatasetError: it has none.
    """
    with open_image(path) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            raise DatasetError(f"{path} has no alpha channel, which masks=alpha asks for; leave it out of the source")
        return np.array(image.convert("RGBA").getchannel("A"))


def _count(reading: str, paths: Sequence[Path]) -> Counts:
    counts = Counts()
    for path in paths:
        mask = read_alpha(path) if reading == "alpha" else read_mask(path)
        if mask.ndim == 3:
            if len(counts.colours) <= COLOURS and reading != "object":
                _count_colours(counts.colours, _codes(mask))
            continue
        (counts.ones if mask.max() == 1 else counts.others).add(mask, path)
        counts.indexed = path if has_palette(path) else counts.indexed
        counts.lossy = path if path.suffix.lower() in (".jpg", ".jpeg") else counts.lossy
    return counts


def _grey_coding(ones: Values, others: Values, folder: Path, indexed: bool, lossy: Path | None) -> tuple[Coding, str]:
    """Tells an object from labels by the masks that hold more than 0 and 1, and says in words what they are."""
    found = others.found()
    positive = [value for value in found if value]
    one_object = Coding(_threshold(HALF), scaled=True)
    if positive == [UNKNOWN]:
        return one_object, "one object"
    ground = _find_ground(others)
    if ground:
        return Coding(_threshold((ground + UNKNOWN + 1) // 2), scaled=True), f"one object, {ground} is its ground"
    noisy = lossy is not None or _is_noisy(found)
    low, high = (NOISE, UNKNOWN - NOISE) if noisy else _find_extremes(others)
    between = np.array([value for value in found if low < value < high], np.int64)
    area, solid = others.areas[between].sum(), others.solid[between].sum()
    has_object = high - low >= HALF // 2 and others.solid[high:].any()
    if has_object and (len(between) or noisy) and solid <= RIM * area and not indexed:
        if not noisy and (between.max() < 2 * NOISE or (high < UNKNOWN - NOISE and len(between) < 3)):
            rims = list_values(between.tolist())
            raise _ambiguous(folder, found, f"{rims} only line rims, as smoothed edges or thin labels")
        if area > THIN * others.areas.sum():
            raise _ambiguous(folder, found, "the values between cover too much to be the rims of an object")
        return Coding(_threshold((low + high + 1) // 2), scaled=True), "one object with smoothed edges"
    if lossy is not None:
        raise _ambiguous(folder, found, f"JPEG ({lossy.name}) does not keep labels")
    _check_labels(ones, others, folder, indexed)
    return _labels(sorted({*found, *ones.found()}))


def _find_ground(values: Values) -> int:
    """The value from 64 on that is the ground of an object of 255, in place of 0; 0 where there is none."""
    positive = [value for value in values.found() if value]
    if len(positive) != 2 or positive[0] < HALF // 2 or positive[1] != UNKNOWN:
        return 0
    ground = positive[0]
    drawn_on_zero = (0, ground) in values.sets or (0, ground, UNKNOWN) in values.sets
    return 0 if drawn_on_zero or (ground, UNKNOWN) not in values.sets else ground


def _is_noisy(found: list[int]) -> bool:
    """Whether values lie about 0 and about 255, as JPEG leaves them, also where a PNG was made of it."""
    dark = sum(0 < value <= NOISE for value in found)
    bright = sum(UNKNOWN - NOISE <= value < UNKNOWN for value in found)
    return dark >= 3 and bright >= 3


def _find_extremes(values: Values) -> tuple[int, int]:
    """The lowest and the highest value that fill a region; of all where fewer than two do."""
    filled = np.flatnonzero(values.solid)
    found = filled if len(filled) >= 2 else np.array(values.found())
    return int(found[0]), int(found[-1])


def _check_labels(ones: Values, others: Values, folder: Path, indexed: bool) -> None:
    """Refuses what could be labels but would lose an object or gain some."""
    found = sorted({*ones.found(), *others.found()})
    labels = [value for value in found if 0 < value < UNKNOWN]
    only_void = others.sets.get((0, UNKNOWN)) or others.sets.get((UNKNOWN,))
    if only_void is not None and labels == [1] and others.solid[UNKNOWN]:
        raise _ambiguous(folder, found, f"255 is void beside label 1 in some masks, and alone in {only_void.name}")
    if only_void is not None and others.solid[UNKNOWN]:
        logger.warning("%s: 255 is void beside other labels, and %s holds nothing else", folder, only_void.name)
    if len(labels) == 1 and labels[0] >= HALF // 2 and UNKNOWN in found and others.solid[UNKNOWN]:
        raise _ambiguous(folder, found, f"{labels[0]} and 255 could be two labels, or an object and what is unknown")
    rims = [value for value in labels if not (others.solid[value] or ones.solid[value])]
    areas = others.areas[labels] / np.maximum(others.present[labels], 1)
    soft = len(rims) > SOFT_VALUES and 2 * len(rims) > len(labels) and np.median(areas) < SOFT_AREA
    grain = len(labels) > GREYS and others.solid[labels].sum() < RAGGED * others.areas[labels].sum()
    if not indexed and (soft or grain):
        raise DatasetError(
            f"the masks in {folder} have smoothed edges ({len(rims)} of {len(labels)} values line only rims); save "
            "them anew without smoothing, as PNG, or add :masks=object to the source if they show one object, or "
            ":masks=labels if each value is a label"
        )


def _ambiguous(folder: Path, found: list[int], why: str) -> DatasetError:
    return DatasetError(
        f"the masks in {folder} ({list_values(found)}) can be read in several ways: {why}; add :masks=object to the "
        "source (one object, from the half of 255 on) or :masks=labels (each value a label, 255 void)"
    )


def _labels(found: list[int]) -> tuple[Coding, str]:
    labels = tuple(value for value in found if 0 < value < UNKNOWN)
    void = ", 255 is void" if UNKNOWN in found else ""
    return Coding(labels=labels), f"{len(labels)} label{'s' * (len(labels) != 1)}{void}"


def _threshold(least: int) -> tuple[int, ...]:
    return tuple(int(value >= least) for value in range(256))


def _count_colours(colours: dict[int, np.ndarray], codes: Int32[np.ndarray, "h w"]) -> None:
    """Adds area and number of masks of each colour; the solid pixels are few enough to count by colour."""
    solid = find_solid(codes.astype(np.float32))  # exact up to 2**24
    for code, area in zip(*np.unique(codes, return_counts=True), strict=True):
        colours.setdefault(int(code), np.zeros(3, np.int64))
        colours[int(code)] += area, 0, 1
    for code, area in zip(*np.unique(codes[solid], return_counts=True), strict=True):
        colours[int(code)] += 0, area, 0


def _colour_coding(colours: dict[int, np.ndarray], folder: Path, indexed: Path | None, reading: str) -> Coding:
    if indexed is not None:
        raise DatasetError(f"{folder} holds palette masks ({indexed.name}) and RGB ones; save them all in one way")
    labels = sorted(set(colours) - {0})
    if len(labels) >= UNKNOWN:
        raise DatasetError(
            f"the masks in {folder} have {len(labels)} colours, and at most 254 can be labels; "
            "if their edges are smoothed or they are JPEGs, draw them anew as PNG without smoothing; add :masks=alpha "
            "to the source if the shapes are in an alpha channel"
        )
    counts = np.array([colours[label] for label in labels])
    rims = counts[:, 1] == 0
    small = np.median(counts[:, 0] / counts[:, 2]) < SOFT_AREA
    if reading != "labels" and rims.sum() > SOFT_VALUES and 2 * rims.sum() > len(labels) and small:
        raise DatasetError(
            f"the masks in {folder} have smoothed edges ({rims.sum()} of {len(labels)} colours line only rims); save "
            "them anew without smoothing, as PNG, or add :masks=labels to the source if each colour is a label, "
            ":masks=alpha if the shapes are in the alpha channel"
        )
    logger.info("%s: %d colours -> %d labels", folder, len(colours), len(labels))
    return Coding(colours=tuple(labels), labels=tuple(range(1, len(labels) + 1)))


def _codes(mask: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]) -> Int32[np.ndarray, "h w"]:
    mask = mask.astype(np.int32)
    return mask * 0x010101 if mask.ndim == 2 else (mask[..., 0] << 16) | (mask[..., 1] << 8) | mask[..., 2]
