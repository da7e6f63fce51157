"""What is written of an image: a palette PNG, an overlay, its objects as COCO has them; each file whole or not at all.

    OUT/masks/NAME.png       labels, with DAVIS's palette; OUT/masks/classes.txt has the names of objects
    OUT/overlays/NAME.jpg    the image with its masks
    OUT/coco.json            all objects as run lengths with scores, made of OUT/.coco/NAME.json
    OUT/videos/NAME.mp4      the overlays of a clip

NAME keeps the sub-folders of the query. A frame of a clip has the name of the clip as its folder.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from data_pipelines.disk import replacing, write_text
from data_pipelines.safe_paths import inside
from experiments.drawing.overlays import overlay
from experiments.evaluation.video_files import write_mask
from experiments.settings.json_files import read_json, write_json
from guided_jax.masks.coco import objects_of, to_coco
from guided_jax.masks.palette import davis_palette

FORMATS = {
    "png": "masks/{}.png",
    "overlay": "overlays/{}.jpg",
    "coco": ".coco/{}.json",
    "mp4": "videos/{}.mp4",
}
"""Where each format is written below the folder of the outputs."""

COCO = "coco.json"
NAMES = "masks/classes.txt"

QUALITY = 92
"""Of overlays, JPEG's."""
DIGITS = 4
"""Of a score."""


class Segmented(NamedTuple):
    """An image with its masks.

    Attributes:
        name: of the outputs.
        file_name: of the image, as COCO's file shall name it.
        image: RGB.
        labels: of its pixels.
        probabilities: of each label; None where they are not known, or not written.
    """

    name: str
    file_name: str
    image: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    probabilities: Float[np.ndarray, "k h w"] | None = None


def file_of(out: Path, kind: str, name: str) -> Path:
    """The file of a format.

    Raises:
        DatasetError: a link leads out of the folder.
    """
    return inside(out, FORMATS[kind].format(name))


def write(out: Path, formats: Sequence[str], segmented: Segmented) -> None:
    """Writes an image's files of some formats, other than a video."""
    for kind in formats:
        path = file_of(out, kind, segmented.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "png":
            write_mask(path, segmented.labels)
        elif kind == "overlay":
            drawn = Image.fromarray(overlay(segmented.image, segmented.labels, davis_palette()))
            with replacing(path) as file:
                drawn.save(file, "JPEG", quality=QUALITY)
        elif kind == "coco":
            write_json(path, describe_objects(segmented))


def describe_objects(segmented: Segmented) -> dict[str, Any]:
    """The image and its objects as COCO has them, but for their ids.

    The score of an object is the mean probability of its label over its pixels. A frame has none where guidance follows
    a clip, which gives labels alone.

    Raises:
        ValueError: a probability is no number.
    """
    height, width = segmented.labels.shape
    return {
        "image": {"file_name": segmented.file_name, "height": height, "width": width},
        "annotations": [{**each, **_score(segmented, each["category_id"])} for each in objects_of(segmented.labels)],
    }


def _score(segmented: Segmented, label: int) -> dict[str, float]:
    if segmented.probabilities is None:
        return {}
    score = float(segmented.probabilities[label][segmented.labels == label].mean())
    if not math.isfinite(score):
        raise ValueError(
            f"{segmented.file_name}: the model gives {score} as a probability; its parameters are not sound"
        )
    return {"score": round(score, DIGITS)}


def write_names(out: Path, objects: Mapping[int, str]) -> None:
    """Writes the names of the labels beside the masks, where `folder@OUT` looks for them; not without any names."""
    if objects and all(objects.values()):
        (out / NAMES).parent.mkdir(parents=True, exist_ok=True)
        write_text(out / NAMES, "".join(f"{label} {' '.join(name.split())}\n" for label, name in objects.items()))


def collect_coco(out: Path, objects: Mapping[int, str], info: Mapping[str, Any]) -> Path:
    """Makes one file of what was written of each image, in the order of their names; gives its path.

    Args:
        out: folder of the outputs.
        objects: names by label; one without a name is called by its label.
        info: what made the masks.

    Raises:
        UserError: one of the files is broken.
    """
    folder = out / Path(FORMATS["coco"]).parent
    parts = [read_json(path) for path in sorted(folder.rglob("*.json"))]
    write_json(out / COCO, to_coco([(part["image"], part["annotations"]) for part in parts], objects, info))
    return out / COCO
