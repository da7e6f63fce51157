"""How early fusion shows an annotation to the network: as channels beside the image, or as a mask on it.

On a canvas, the size of the padding changes nothing within the image: annotations are unknown (255) there, and
the trunk sets its input to 0 there.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.episode import UNKNOWN
from guided_jax.resample import label_planes

DISC_SIDE = 11
"""Pixels that a point is dilated to, both ways: the reference's DilateMask(11)."""

DISC_VALUE = 128.0
"""Discs are +128 and all else -128, about the range of an image less its mean: the reference's ScaleMask(256)."""

DISTANCE_LIMIT = 255.0
"""Pixels at which distances are truncated, as DIOS does to store them in a byte (Xu et al. 2016, section 3.1)."""

ENCODINGS = ("discs", "distance")


def amplitude(preprocessing: Preprocessing) -> float:
    """Factor that brings an encoding, like an image of 0 to 255, to the magnitude of normalised images.

    1 where the preprocessing only subtracts a mean, as all that come from Caffe do.
    """
    return float(preprocessing.scale / np.mean(preprocessing.std))


def discs(annotation: UInt8[Array, "*b h w"], way: int) -> Float[Array, "*b h w k"]:
    """One channel a label: +128 within 5 rows and 5 columns of one of its pixels, else -128 (the reference's).

    A label without a pixel is -128 everywhere. Where discs of two labels meet, both are +128.
    """
    planes = (label_planes(annotation, way) > 0).astype(jnp.uint8)
    for axis in (-2, -1):
        window = [1] * planes.ndim
        window[axis] = DISC_SIDE
        planes = jax.lax.reduce_window(planes, np.uint8(0), jax.lax.max, window, (1,) * planes.ndim, "SAME")
    return jnp.where(jnp.moveaxis(planes, -3, -1) > 0, jnp.float32(DISC_VALUE), jnp.float32(-DISC_VALUE))


def distance_maps(
    annotation: UInt8[Array, "*b h w"], way: int, limit: float = DISTANCE_LIMIT
) -> Float[Array, "*b h w k"]:
    """One channel a label: exact Euclidean distance in pixels to its nearest pixel, truncated (DIOS).

    Distances within the column by scans, then the least over columns (Felzenszwalb and Huttenlocher 2012,
    by brute force): h w^2 operations a label that XLA fuses into one reduction.

    Args:
        annotation: labels; 255 where unannotated.
        way: number of labels K.
        limit: the greatest distance, also that of a label without a pixel.
    """
    planes = label_planes(annotation, way) > 0
    axis = planes.ndim - 2
    rows = jax.lax.broadcasted_iota(jnp.float32, planes.shape, axis)
    above = jax.lax.cummax(jnp.where(planes, rows, -jnp.inf), axis)
    below = jax.lax.cummin(jnp.where(planes, rows, jnp.inf), axis, reverse=True)
    vertical = jnp.minimum(jnp.minimum(rows - above, below - rows), jnp.float32(limit))
    columns = np.arange(planes.shape[-1], dtype=np.float32)
    horizontal = jnp.square(columns[:, None] - columns).reshape((1,) * (planes.ndim - 1) + (len(columns),) * 2)
    squares = jnp.min(jnp.square(vertical)[..., None, :] + horizontal, axis=-1)
    return jnp.moveaxis(jnp.minimum(jnp.sqrt(squares), jnp.float32(limit)), -3, -1)


def stack(
    image: Float[Array, "*b h w 3"], annotation: UInt8[Array, "*b h w"], way: int, encoding: str, amplitude: float
) -> Float[Array, "*b h w c"]:
    """Early fusion by stacking (paper 4.1): the image, and the annotation as one more channel a label.

    Args:
        image: normalised.
        annotation: labels; 255 where unannotated.
        way: number of labels K.
        encoding: of `ENCODINGS`.
        amplitude: factor on the encoding, of `amplitude`.

    Returns:
        Channels [image, label 0 (negative), label 1, ...], 3 + K of them, in the image's dtype.

    Raises:
        ValueError: no encoding of that name.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding {encoding!r} of an annotation is not one of {', '.join(ENCODINGS)}")
    encode = discs if encoding == "discs" else distance_maps
    channels = encode(annotation, way) * jnp.float32(amplitude)
    return jnp.concatenate([image, channels.astype(image.dtype)], axis=-1)


def mask_positives(image: Float[Array, "*b h w 3"], annotation: UInt8[Array, "*b h w"]) -> Float[Array, "*b h w 3"]:
    """Early fusion by masking (OSLSM): the image where a positive is annotated, elsewhere 0, the mean colour.

    Negatives and unannotated pixels look alike. Without a positive the image is all 0.

    Args:
        image: normalised.
        annotation: labels; 255 where unannotated.
    """
    positive = (annotation > 0) & (annotation != UNKNOWN)
    return jnp.where(positive[..., None], image, jnp.zeros((), image.dtype))
