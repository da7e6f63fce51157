"""The pytree that crosses the border between data and model.

Numpy on the side of the data (one episode has no batch axis, a batch stacks episodes), JAX arrays on
the side of the model. This module imports neither JAX nor Flax, so that loader processes start fast.

Shape names: B episodes, A annotation draws for the same images, S shots, H and W the canvas,
K labels (0 is the negative).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8, UInt32

UNKNOWN = 255
"""Unannotated in an annotation, void in a target, padding in both."""

TrunkMaps = tuple[Float[np.ndarray, "*batch _ _ _"], ...]
"""Cached features of a frozen trunk, one map a tap, finest first; see `guided_jax.backbones.backbone`."""


class Click(NamedTuple):
    """One annotated pixel of an image, in pixels from the top left; label 0 is the negative."""

    row: int
    column: int
    label: int


class Episode(NamedTuple):
    """One task, or a batch of them: annotated support, and the query to segment accordingly.

    An image lies at the top left of its canvas; the rest of the canvas is padding, which never
    counts. Where the trunk is frozen and its features are cached, the maps stand in place of the image.

    Attributes:
        query: RGB image, 0 to 255, or the maps of the trunk for it.
        query_size: true height and width of the query image in pixels.
        target: dense truth of the query: 0 negative, 1..K-1 the positives, 255 void or padding.
        support: the annotated images, or None where the support is the query image itself
            (interactive mode, S = 1), so that it is neither copied nor encoded twice.
        support_size: true height and width of each support image; None as `support` is.
        annotation: sparse labels on the support, 255 where unannotated. A > 1 gives several
            annotations of the same images (points 1, 2, 4, ... in an evaluation), encoded once.
        task_class: class id of the task in its data set, 0 where the data set has none.
        index: number of the episode in its stream; folded into the keys of random operations, so
            that the numbers do not depend on the layout of devices.
        real: False for the episodes that only fill up the last batch of an evaluation.
    """

    query: UInt8[np.ndarray, "*b h w 3"] | TrunkMaps
    query_size: Int32[np.ndarray, "*b 2"]
    target: UInt8[np.ndarray, "*b h w"]
    support: UInt8[np.ndarray, "*b s h w 3"] | TrunkMaps | None
    support_size: Int32[np.ndarray, "*b s 2"] | None
    annotation: UInt8[np.ndarray, "*b a s h w"]
    task_class: Int32[np.ndarray, "*b"]
    index: UInt32[np.ndarray, "*b"]
    real: Bool[np.ndarray, "*b"]


def blank_batch(side: int) -> Episode:
    """A batch of one blank interactive episode, to initialise a model with."""
    labels = np.zeros((1, side, side), np.uint8)
    number = np.zeros(1, np.int32)
    return Episode(
        query=np.zeros((1, side, side, 3), np.uint8),
        query_size=np.full((1, 2), side, np.int32),
        target=labels,
        support=None,
        support_size=None,
        annotation=labels[:, None, None],
        task_class=number,
        index=number.astype(np.uint32),
        real=number == 0,
    )
