"""Masks that were computed for many images at once, kept as PNG beside the journal, so that they outlive the server."""

import io
import re
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from guided_jax.session.marks import LabelMap
from guided_jax.snapshots.files import write_whole

Kind = Literal["all", "along"]
"""Every image by itself, or a clip frame after frame."""


class Result(NamedTuple):
    """The mask of an image.

    Attributes:
        kind: what computed it.
        version: of the annotations that it follows from.
        labels: the label of every pixel.
    """

    kind: Kind
    version: int
    labels: LabelMap


def result_file(folder: Path, name: str) -> Path:
    """Where the result of an image lies; names of images are not trusted as names of files."""
    readable = re.sub(r"[^\w.-]", "_", name)[:80].lstrip(".")
    return folder / f"{readable}-{sha256(name.encode(errors='surrogatepass')).hexdigest()[:12]}.png"


def write_result(folder: Path, name: str, labels: UInt8[np.ndarray, "h w"]) -> None:
    """Writes a result, whole or not at all.

    Raises:
        ValueError: it cannot be written.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(labels)).save(buffer, "PNG", compress_level=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be made: {error.strerror}") from None
    write_whole(result_file(folder, name), lambda partial: partial.write_bytes(buffer.getvalue()))


def read_result(folder: Path, name: str) -> UInt8[np.ndarray, "h w"] | None:
    """A result; None where there is none that can be read."""
    try:
        with Image.open(result_file(folder, name), formats=["PNG"]) as image:
            return np.array(image) if image.mode == "L" else None
    except (OSError, ValueError):
        return None
