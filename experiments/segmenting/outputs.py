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
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from pycocotools import mask as coco_mask

from data_pipelines.disk import replacing, write_text
from data_pipelines.safe_paths import inside
from experiments.drawing.overlays import overlay
from experiments.evaluation.video_files import davis_palette, write_mask
from experiments.settings.json_files import read_json, write_json

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
    objects = []
    for label in np.unique(segmented.labels[segmented.labels > 0]).tolist():
        mask = segmented.labels == label
        runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        objects.append(
            {
                "category_id": label,
                "segmentation": {"size": [height, width], "counts": runs["counts"].decode()},
                "area": int(mask.sum()),
                "bbox": [float(side) for side in coco_mask.toBbox(runs)],
                "iscrowd": 0,
                **_score(segmented, label, mask),
            }
        )
    return {
        "image": {"file_name": segmented.file_name, "height": height, "width": width},
        "annotations": objects,
    }


def _score(segmented: Segmented, label: int, mask: Bool[np.ndarray, "h w"]) -> dict[str, float]:
    if segmented.probabilities is None:
        return {}
    score = float(segmented.probabilities[label][mask].mean())
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
    images, annotations = [], []
    for number, path in enumerate(sorted(folder.rglob("*.json")), 1):
        part = read_json(path)
        images.append({"id": number, **part["image"]})
        annotations += [
            {"id": len(annotations) + i, "image_id": number, **each} for i, each in enumerate(part["annotations"], 1)
        ]
    categories = [{"id": label, "name": name or str(label)} for label, name in objects.items()]
    content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    write_json(out / COCO, content)
    return out / COCO
