"""How the masks of a folder are to be read, found out from all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from data_pipelines.datasets.files import has_palette, read_mask
from data_pipelines.datasets.record import DatasetError
from guided_jax.episode import UNKNOWN

SOFT_VALUES = 16
SOFT_AREA = 24
"""Grey values between 0 and 255: more than so many, on so few pixels a mask each, are the edges of a smoothed mask."""


@dataclass(frozen=True)
class Coding:
    """What the values or colours in the masks of a folder mean.

    Attributes:
        binary: 255 is the only positive value: it stands for label 1, and not for void.
        colours: the colours 0xRRGGBB of the labels 1, 2, ...; empty where values are labels.
    """

    binary: bool
    colours: tuple[int, ...]


def survey(paths: Sequence[Path]) -> Coding:
    """Finds out how the masks of a folder are coded.

    Grey and palette masks hold labels: 0 negative, 1 ... 254, 255 void; but where 255 is the only positive value in
    the whole folder, it is label 1. In a folder with a coloured mask that has no palette, each colour but black
    is a label, numbered by the order of red, then green, then blue, so that it is the same in every image.
    """
    present, areas, colours, indexed = np.zeros(256, np.int64), np.zeros(256, np.int64), set(), None
    for path in paths:
        mask = read_mask(path)
        colours.update(np.unique(_codes(mask)).tolist() if mask.ndim == 3 else [])
        if mask.ndim == 2:
            counts = np.bincount(mask.ravel(), minlength=256)
            areas += counts
            present += counts > 0
            indexed = path if has_palette(path) else indexed
    if colours:
        colours.update(int(value) * 0x010101 for value in np.flatnonzero(present))
        return _colour_coding(colours, paths[0].parent, indexed)
    between = present[1:UNKNOWN] > 0
    mean_areas = areas[1:UNKNOWN][between] / present[1:UNKNOWN][between]
    if indexed is None and present[UNKNOWN] and between.sum() > SOFT_VALUES and np.median(mean_areas) < SOFT_AREA:
        raise DatasetError(
            f"the masks in {paths[0].parent} have smoothed edges ({between.sum()} grey values between 0 and 255); "
            "threshold them and save them as PNG"
        )
    return Coding(binary=bool(present[UNKNOWN] and not between.any()), colours=())


def read_coded(path: Path, coding: Coding) -> UInt8[np.ndarray, "h w"]:
    """Reads a mask as a label map: 0 negative, 1 ... 254 labels, 255 void."""
    mask = read_mask(path)
    if coding.colours:
        codes = _codes(mask)
        labels = np.searchsorted(np.array((0, *coding.colours)), codes)
        return labels.astype(np.uint8)
    return (mask == UNKNOWN).astype(np.uint8) if coding.binary else mask


def _colour_coding(colours: set[int], folder: Path, indexed: Path | None) -> Coding:
    if indexed is not None:
        raise DatasetError(f"{folder} holds palette masks ({indexed.name}) and RGB ones; save them all in one way")
    labels = sorted(colours - {0})
    if len(labels) >= UNKNOWN:
        raise DatasetError(
            f"the masks in {folder} have {len(labels)} colours, and at most 254 can be labels; "
            "if their edges are smoothed or they are JPEGs, draw them anew as PNG without smoothing"
        )
    return Coding(binary=False, colours=tuple(labels))


def _codes(mask: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]) -> Int32[np.ndarray, "h w"]:
    mask = mask.astype(np.int32)
    return mask * 0x010101 if mask.ndim == 2 else (mask[..., 0] << 16) | (mask[..., 1] << 8) | mask[..., 2]
