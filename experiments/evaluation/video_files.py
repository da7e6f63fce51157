"""Masks of videos as files: VIDEO/FRAME.png with a palette, as DAVIS has them and its official scorer reads them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_pipelines.datasets.reading.files import read_mask
from data_pipelines.datasets.record import DatasetError
from data_pipelines.disk import replacing
from data_pipelines.safe_paths import safe_path
from data_pipelines.videos import Video
from experiments.settings.errors import UserError
from guided_jax.episode import UNKNOWN
from guided_jax.masks.palette import to_png


def write_mask(path: Path, labels: UInt8[np.ndarray, "h w"]) -> None:
    """Writes a label map as a PNG with DAVIS's palette, whole or not at all."""
    with replacing(path) as file:
        file.write(to_png(labels))


def write_masks(folder: Path, video: Video, maps: Sequence[UInt8[np.ndarray, "h w"]]) -> None:
    """Writes the label maps of all frames of a video as `folder/VIDEO/FRAME.png`, with the video's own ids."""
    table = np.array([0, *video.objects], np.uint8)
    for name, labels in zip(video.frames, maps, strict=True):
        path = safe_path(folder, f"{video.name}/{name}", ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mask(path, table[labels])


def check_predictions(folder: Path, videos: Sequence[Video]) -> None:
    """Raises UserError where the folder lacks a mask of a frame that is scored."""
    if not folder.is_dir():
        raise UserError(f"--predictions={folder}: no such folder")
    for video in videos:
        path = _find(folder, video.name)
        if not path.is_dir():
            others = sorted(child.name for child in folder.iterdir() if child.is_dir())
            there = f"it holds {', '.join(others[:8])}" if others else "it holds no folder at all"
            raise UserError(
                f"{path}: no such folder, for the masks of the video {video.name} (VIDEO/FRAME.png); {there}"
            )
        files = [_find(folder, f"{video.name}/{video.frames[i]}", ".png") for i in video.scored]
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise UserError(
                f"{missing[0]}: no such file; masks of {len(missing)} of the {len(video.scored)} scored frames "
                f"of {video.name} are missing"
            )


def _find(folder: Path, name: str, suffix: str = "") -> Path:
    """A file or folder under the very name, as other programs write it, or else as `write_masks` does."""
    path = folder / f"{name}{suffix}"
    safe = safe_path(folder, name, suffix)
    return safe if os.path.exists(safe) and not os.path.exists(path) else path  # not Path's: a name may be too long


def read_prediction(folder: Path, video: Video, position: int) -> UInt8[np.ndarray, "h w"]:
    """The mask of a frame as labels: 0, or 1 to K for the video's objects.

    In the mask of a video with a single object, 255 is this object where no other positive value is.

    Raises:
        UserError: the file is broken or coloured, of another size, or has an id that no object of the video has.
    """
    path = _find(folder, f"{video.name}/{video.frames[position]}", ".png")
    try:
        mask = read_mask(path)
    except DatasetError as error:
        raise UserError(str(error)) from error
    if mask.ndim == 3:
        raise UserError(f"{path}: is an RGB image; a mask holds ids, as a palette or grey PNG")
    if mask.shape != (video.height, video.width):
        raise UserError(
            f"{path}: is {mask.shape[0]}x{mask.shape[1]} pixels (height x width), the frames of {video.name} are "
            f"{video.height}x{video.width}"
        )
    ids = np.unique(mask).tolist()
    if len(video.objects) == 1 and UNKNOWN in ids and set(ids) <= {0, UNKNOWN}:
        return (mask == UNKNOWN).astype(np.uint8)
    if unknown := sorted(set(ids) - {0, *video.objects}):
        raise UserError(
            f"{path}: has the id {unknown[0]}; the objects of {video.name} are "
            f"{', '.join(map(str, video.objects))}, and 0 is background"
        )
    table = np.zeros(256, np.uint8)
    table[list(video.objects)] = np.arange(1, len(video.objects) + 1)
    return table[mask]
