"""What the values in the masks of a folder look like: which fill regions, and which only line their rims."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8

LISTED = 6
"""Values that a line of text lists by number."""


def _zeros() -> Int64[np.ndarray, " 256"]:
    return np.zeros(256, np.int64)


@dataclass
class Values:
    """Counts over the grey masks of a folder.

    Attributes:
        present: masks that hold each value.
        areas: pixels of each value.
        solid: pixels of each value whose eight neighbours have it, too: none of a rim.
        sets: the values of the masks that hold at most three, each with its first mask.
        masks: how many there are.
    """

    present: Int64[np.ndarray, " 256"] = field(default_factory=_zeros)
    areas: Int64[np.ndarray, " 256"] = field(default_factory=_zeros)
    solid: Int64[np.ndarray, " 256"] = field(default_factory=_zeros)
    sets: dict[tuple[int, ...], Path] = field(default_factory=dict)
    masks: int = 0

    def add(self, mask: UInt8[np.ndarray, "h w"], path: Path) -> None:
        """Counts one more mask."""
        areas = np.bincount(mask.ravel(), minlength=256)
        self.areas += areas
        self.present += areas > 0
        self.solid += np.bincount(mask[find_solid(mask)], minlength=256)
        self.masks += 1
        found = np.flatnonzero(areas)
        if len(found) <= 3:
            self.sets.setdefault(tuple(found.tolist()), path)

    def join(self, later: "Values") -> None:
        """Adds the counts of masks that come after these."""
        self.areas += later.areas
        self.present += later.present
        self.solid += later.solid
        self.masks += later.masks
        for values, path in later.sets.items():
            self.sets.setdefault(values, path)

    def found(self) -> list[int]:
        """The values that occur."""
        return np.flatnonzero(self.present).tolist()


def find_solid(mask: Shaped[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels whose eight neighbours have the same value; beyond the border there is none that differs."""
    around = np.ones((3, 3), np.uint8)
    return cv2.erode(mask, around) == cv2.dilate(mask, around)


def list_values(values: list[int]) -> str:
    """`2 values: 0, 255`."""
    shown = ", ".join(map(str, values[:LISTED])) + (f", ... {values[-1]}" if len(values) > LISTED else "")
    return f"{len(values)} value{'s' * (len(values) != 1)}: {shown}"
