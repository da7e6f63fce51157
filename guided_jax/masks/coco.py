"""Label maps as COCO has them: an object for each label, with its run lengths."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as coco_mask


def objects_of(labels: UInt8[np.ndarray, "h w"]) -> list[dict[str, Any]]:
    """An annotation for each label from 1 on that is there, in the order of the labels, without its ids."""
    height, width = labels.shape
    objects = []
    for label in np.unique(labels[labels > 0]).tolist():
        mask = labels == label
        runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        objects.append(
            {
                "category_id": label,
                "segmentation": {"size": [height, width], "counts": runs["counts"].decode()},
                "area": int(mask.sum()),
                "bbox": [float(side) for side in coco_mask.toBbox(runs)],
                "iscrowd": 0,
            }
        )
    return objects


def to_coco(
    images: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
    objects: Mapping[int, str],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of a file of COCO.

    Args:
        images: for each its file_name, height and width, and its annotations, as `objects_of` gives them.
        objects: names by label; one without a name is called by its label.
        info: what made the masks.
    """
    described, annotations = [], []
    for number, (image, of_image) in enumerate(images, 1):
        described.append({"id": number, **image})
        annotations += [{"id": len(annotations) + i, "image_id": number, **each} for i, each in enumerate(of_image, 1)]
    categories = [{"id": label, "name": name or str(label)} for label, name in objects.items()]
    return {"info": info, "images": described, "annotations": annotations, "categories": categories}
