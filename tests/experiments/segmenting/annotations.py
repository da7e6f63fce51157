"""Small files of annotations, as each tool writes them: a dog on an image of 4 x 6 pixels (height x width)."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (4, 6)
BOX = np.zeros(SIZE, int)
BOX[1:3, 2:5] = 1
"""What every area here covers."""


def write_image(path: Path, size: tuple[int, int] = SIZE, seed: int = 0, **saved) -> Path:
    """An image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, **saved)
    return path


def write_json(path: Path, values: Any) -> Path:
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def in_base64(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme(*shapes: dict, name: str = "a.png", **fields) -> dict[str, Any]:
    size = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    return {"version": "5.4.1", "flags": {}, "imagePath": name, "imageData": None, **size, "shapes": shapes, **fields}


def shape(kind: str, *points: list, label: str = "dog", **fields) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **fields}


def cvat(inside: str, name: str = "a.png", height: int = SIZE[0]) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task/></meta>'
        f'<image id="0" name="{name}" width="{SIZE[1]}" height="{height}">{inside}</image></annotations>'
    )


def coco(*annotations: dict, name: str = "a.png") -> dict[str, Any]:
    image = {"id": 7, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
    return {
        "images": [image, {**image, "id": 8, "file_name": "other.png"}],
        "annotations": [
            {"id": number, "image_id": 7, "category_id": 18, "iscrowd": 0, **each}
            for number, each in enumerate(annotations, 1)
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
    }


def own(*marks: dict, name: str | int = "a.png", size: tuple[int, int] = SIZE, dog: str = "dog") -> dict[str, Any]:
    return {
        "format": "guided_jax annotations",
        "version": 1,
        "objects": [{"label": 1, "name": dog}, {"label": 2, "name": "cat"}],
        "images": [{"name": name, "size": list(size), "marks": list(marks)}],
    }
