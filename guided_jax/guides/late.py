"""Late fusion (paper 4.1): the features of an image under its annotation's masks, pooled or kept.

The annotation never enters the encoder, so features are computed once an image, and a click costs a mask and
a sum.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from guided_jax.backbones.geometry import Geometry
from guided_jax.episode import UNKNOWN
from guided_jax.guides.guidance import Guidance
from guided_jax.resample import bilinear_weights, interpolate, valid_cells


def inside_only(annotation: UInt8[Array, "*b h w"], size: Int32[Array, "*b 2"]) -> UInt8[Array, "*b h w"]:
    """The annotation without what lies on the padding: points there are no points."""
    return jnp.where(valid_cells(annotation.shape[-2:], size), annotation, jnp.uint8(UNKNOWN))


def guide(
    features: Float[Array, "*b n m c"],
    masks: Float[Array, "*b k n m"],
    points: Float[Array, "*b k"],
    pooling: str = "average",
) -> Guidance:
    """Pools the features of one shot under each label's mask, in float32.

    Args:
        features: features of the annotated image; 0 on the padding, else not negative.
        masks: weight of each cell for each label; 0 on the padding.
        points: number of annotated pixels of each label.
        pooling: average (a sum here, which the merge divides by the mass), or maximum over the cells that a mask
            touches.
    """
    features = features.astype(jnp.float32)
    if pooling == "maximum":
        touched = jnp.where(masks[..., None] > 0, features[..., None, :, :, :], 0.0)
        return Guidance(touched.max((-3, -2)), masks.sum((-2, -1)), points)
    total = jnp.einsum("...nmc,...knm->...kc", features, masks, precision=jax.lax.Precision.HIGHEST)
    return Guidance(total, masks.sum((-2, -1)), points)


def count_points(planes: Float[Array, "*b k h w"]) -> Float[Array, "*b k"]:
    """Number of annotated pixels of each label."""
    return planes.sum((-2, -1))


def fixed_masks(
    planes: Float[Array, "*b k h w"], geometry: Geometry, size: Int32[Array, "*b 2"]
) -> Float[Array, "*b k n m"]:
    """Maps an annotation to one mask a label on the feature grid by fixed interpolation.

    The bilinear kernel sums to 1, so a lone point inside the image touches four cells with a mass of
    1 / stride^2 in all; see checklist item 6 of the reference. Linear: masks of clicks add up.

    Args:
        planes: 1 where a label is annotated.
        geometry: where the cells lie.
        size: true height and width of the image in pixels; cells beyond it get nothing.
    """
    scale = np.float32(1 / geometry.stride)  # exact for a power of two
    rows, columns = (geometry.pixel_weights(side).T * scale for side in planes.shape[-2:])
    return _keep_cells(interpolate(planes, rows, columns), geometry, size)


class LearnedMasks(nn.Module):
    """The map from annotation to mask, learned end to end (paper 4.1): a positive kernel of two strides a side.

    It is linear, so that clicks add up as they do under the fixed masks, from which it starts, and it is the same
    for every label: what it can learn is how far around a point its features count.

    Attributes:
        geometry: where the cells lie.
    """

    geometry: Geometry

    @nn.compact
    def __call__(self, planes: Float[Array, "*b k h w"], size: Int32[Array, "*b 2"]) -> Float[Array, "*b k n m"]:
        """Maps planes as `fixed_masks` does."""
        stride, first = self.geometry.stride, self.geometry.first
        low = int(stride - 0.5 - first)  # pixels before the first one that the first cell's kernel reaches
        profile = bilinear_weights(np.arange(2 * stride, dtype=np.float64), np.array([low + first]), stride)
        profile = profile[profile[:, 0] > 0] / np.float32(stride)
        start = np.log(profile * profile.T)
        kernel = jnp.exp(self.param("log_kernel", lambda _: jnp.asarray(start, jnp.float32)))
        padding, cells = [], []
        for side in planes.shape[-2:]:
            number = self.geometry.cells(side)
            padding.append((low, (number + 1) * stride - low - side))
            cells.append(number)
        single = planes.reshape(-1, *planes.shape[-2:], 1)
        masks = jax.lax.conv_general_dilated(
            single,
            kernel[:, :, None, None],
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )
        return _keep_cells(masks.reshape(*planes.shape[:-2], *cells), self.geometry, size)


def points_by_cell(
    planes: Float[Array, "*b k h w"], geometry: Geometry, size: Int32[Array, "*b 2"]
) -> Float[Array, "*b k n m"]:
    """Counts the points of each label by the nearest cell of the image."""

    def nearest(side: int, axis: int) -> Float[Array, "*b side n"]:
        centres = geometry.centres(side)
        # Half a cell before the first centre is nearest to it, and so on; ties go to the later cell.
        cell = np.floor((np.arange(side) - centres[0]) / geometry.stride + 0.5).astype(np.int32)
        last = jnp.maximum(geometry.cells(size[..., axis]) - 1, 0)[..., None]
        along = (1,) * (size.ndim - 1) + (side,)
        return jax.nn.one_hot(jnp.clip(jnp.asarray(cell).reshape(along), 0, last), len(centres))

    rows, columns = nearest(planes.shape[-2], 0), nearest(planes.shape[-1], 1)
    counts = jnp.einsum("...khw,...wm->...khm", planes, columns, precision=jax.lax.Precision.HIGHEST)
    return jnp.einsum("...khm,...hn->...knm", counts, rows, precision=jax.lax.Precision.HIGHEST)


def _keep_cells(masks, geometry, size):
    inside = valid_cells(masks.shape[-2:], geometry.cells(size))
    return jnp.where(inside[..., None, :, :], masks, 0.0)
