"""Small images and videos of two sizes in folders, as a user has them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

COLOURS = np.array([[30, 30, 30], [200, 40, 40], [40, 40, 200]])
VIDEOS = {"bird": ((40, 24), 4, 1), "cars": ((24, 40), 5, 2)}
"""Height and width, frames and objects of the videos."""
CLASSES = {"dog": ((24, 40), 4), "horse": ((24, 40), 3), "sheep": ((40, 24), 4)}
"""Height and width and number of the images of each class."""


def write_pair(folders: Sequence[Path], name: int, labels: np.ndarray, rng: np.random.Generator) -> None:
    """Writes an image in the colours of its labels, and their mask, where the second folder is named."""
    image = COLOURS[np.where(labels == 255, 0, labels)] + rng.integers(0, 9, (*labels.shape, 3))
    for folder, values in zip(folders, (image.astype(np.uint8), labels), strict=False):
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), values)


def write_videos(root: Path) -> Path:
    """Objects that move to the right, in `frames/NAME` and `masks/NAME`; the last frame of each has no mask."""
    rng = np.random.default_rng(0)
    for name, ((height, width), frames, objects) in VIDEOS.items():
        for frame in range(frames):
            labels = np.zeros((height, width), np.uint8)
            labels[2:10, 2 + 3 * frame : 12 + 3 * frame] = 1
            if objects == 2:
                labels[14:20, 4 + 4 * frame : 14 + 4 * frame] = 2
            folders = [root / kind / name for kind in ("frames", "masks")]
            write_pair(folders[: 2 if frame < frames - 1 else 1], frame, labels, rng)
    return root


def write_classes(root: Path) -> Path:
    """A square in each image, and some void, in `CLASS/images` and `CLASS/masks`."""
    rng = np.random.default_rng(0)
    for name, (size, images) in CLASSES.items():
        for i in range(images):
            labels = np.zeros(size, np.uint8)
            labels[6:18, 2 + 3 * i : 14 + 3 * i] = 1
            labels[0, :5] = 255
            write_pair([root / name / "images", root / name / "masks"], i, labels, rng)
    return root
