"""The messages of the web socket: JSON texts, and masks as binary frames of run lengths.

A frame is the length of its head in bytes (uint32), the head as JSON filled up by spaces to a multiple of 4, and the
body. All numbers are little-endian.

| type of the head | body |
| --- | --- |
| mask | where each run of equal labels begins, row by row (int32), then the label of each run (uint8) |
| heat | uncertainty of 0 to 255 (uint8), row by row, at `height` x `width`, to be stretched over the image |
"""

import json
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from guided_jax.session.marks import LabelMap

HEAT_SIDE = 320
"""Longer side at most of the uncertainty that is sent: it is smooth."""

MOST_MESSAGE = 1 << 20
"""Bytes of a message that the page sends; a scribble of the most points has a tenth of it."""


def mask_frame(labels: UInt8[np.ndarray, "h w"], head: dict[str, Any]) -> bytes:
    """A label map with what the page is told of it."""
    runs = LabelMap.of(labels)
    height, width = labels.shape
    head = {"type": "mask", **head, "height": height, "width": width, "runs": len(runs.values)}
    return _frame(head, runs.starts + runs.values)


def heat_frame(unsure: Float[np.ndarray, "h w"], head: dict[str, Any]) -> bytes:
    """The uncertainty at every pixel, 0 to 1."""
    longest = max(unsure.shape)
    if longest > HEAT_SIDE:
        sides = (max(1, round(side * HEAT_SIDE / longest)) for side in unsure.shape[::-1])
        unsure = cv2.resize(unsure, tuple(sides), interpolation=cv2.INTER_AREA)
    height, width = unsure.shape
    body = np.clip(np.round(unsure * np.float32(255)), 0, 255).astype(np.uint8).tobytes()
    return _frame({"type": "heat", **head, "height": height, "width": width}, body)


def read_message(text: str) -> dict[str, Any]:
    """What the page sent.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ValueError("a message must be a JSON object")
    return message


def _frame(head: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + body
