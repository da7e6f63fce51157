"""Which tasks a model segments for a number of labels, and an annotation as each of them takes it."""

import numpy as np
from jaxtyping import UInt8

from guided_jax.episode import UNKNOWN, Click
from guided_jax.episodic import takes_way
from guided_jax.guides.clicks import NO_LABEL, PaddedClicks
from guided_jax.inference.union import binary_task
from guided_jax.model_config import ModelConfig, guides_by_coordinates
from guided_jax.session.edits import Marks
from guided_jax.session.marks import paint

CAPACITY = 32
"""Clicks on an image that one program takes; with more the capacity doubles, and another program is compiled."""

ALL = 0
"""The task of all labels at once; any other task is that of a label against the rest, and is named by the label."""


def tasks_of(config: ModelConfig, way: int) -> tuple[int, ...]:
    """The tasks whose union segments a number of labels.

    A head of two labels that takes no other number has a task for each positive label from the first one on, so that
    labels may be added and nothing changes for those that are there.

    Raises:
        ValueError: the head takes neither this number of labels nor a label against the rest.
    """
    takes_any = takes_way(config, config.way + 1)
    if takes_any or (takes_way(config, way) and config.way > 2):
        return (ALL,)
    if takes_way(config, 2):
        return tuple(range(1, way))
    raise ValueError(
        f"way={way}: the head scores {config.way} labels at once, and no label against the rest; only one metric for "
        "every label (model.sharing=shared or model.inference=distance, late fusion) takes any number from 2 on"
    )


def labels_at_once(task: int, way: int) -> int:
    """Number of labels of a task, the negative included."""
    return way if task == ALL else 2


def annotation_of(
    config: ModelConfig, marks: Marks, size: tuple[int, int], canvas: tuple[int, int], task: int
) -> PaddedClicks | UInt8[np.ndarray, "1 h w"]:
    """The annotation of an image for a task, in the form that costs the model least: by coordinates where it can be.

    Args:
        config: of the model.
        marks: on the image.
        size: height and width of the image in pixels.
        canvas: height and width of its canvas.
        task: one of `tasks_of`.
    """
    if guides_by_coordinates(config) and all(isinstance(mark, Click) for mark in marks):
        return _padded({mark[:2]: mark.label if task == ALL else int(mark.label == task) for mark in marks})
    annotation = np.full((1, *canvas), UNKNOWN, np.uint8)
    annotation[0, : size[0], : size[1]] = paint(marks, size)
    return annotation if task == ALL else binary_task(annotation, task)


def _padded(labels: dict[tuple[int, int], int]) -> PaddedClicks:
    """Positions and labels of clicks, filled up to a power of two."""
    number = max(CAPACITY, power_of_two(len(labels)))
    points, filled = np.zeros((number, 2), np.int32), np.full(number, NO_LABEL, np.int32)
    points[: len(labels)] = np.array(list(labels), np.int32).reshape(-1, 2)
    filled[: len(labels)] = list(labels.values())
    return PaddedClicks(points, filled)


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number."""
    return 1 << max(0, number - 1).bit_length()
