"""Where the annotation of an image lies: how far each cell of the grid is from the nearest annotated pixel of a label.

Exact Euclidean distances between cells' centres and pixels, by coordinates where clicks are known, else by a pass over
the annotation as a map; the two agree to rounding.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from guided_jax.backbones.geometry import Geometry
from guided_jax.guides.clicks import PaddedClicks
from guided_jax.guides.late import inside_only
from guided_jax.resample import label_planes

FAR = 1e12
"""Distance in pixels, or its square, that stands for none: far above the square of any image's diagonal."""


def distance_of_map(
    annotation: UInt8[Array, "b h w"], size: Int32[Array, "b 2"], geometry: Geometry, way: int
) -> Float[Array, "b k n m"]:
    """Distances to the annotated pixels of a map, in cells; infinite where the label is not annotated.

    First along each row, to the nearest pixel of it, by blocks of a stride: of every block only the pixel nearest to
    its own centre and those nearest to its two ends matter. Then over the rows.

    Args:
        annotation: labels of each image's pixels; points on the padding are no points.
        size: true height and width of each image.
        geometry: where the cells lie: each within the first stride of pixels that are its own.
        way: number of labels K.
    """
    stride, (height, width) = geometry.stride, annotation.shape[-2:]
    planes = label_planes(inside_only(annotation, size), way) > 0
    blocks = jnp.pad(planes, [(0, 0)] * 3 + [(0, -width % stride)])
    blocks = blocks.reshape(*planes.shape[:-1], -1, stride)
    rows, columns = (geometry.centres(side).astype(np.float32) for side in (height, width))
    first = (stride * np.arange(len(columns), dtype=np.float32)).reshape(1, 1, 1, -1, 1)
    offsets = np.arange(stride, dtype=np.float32).reshape(1, 1, 1, 1, -1)
    # Columns of the pixels at the ends of every block, and the distance of its nearest one to its own centre.
    left = jnp.where(blocks, offsets + first, FAR).min(-1)
    right = jnp.where(blocks, offsets + first, -FAR).max(-1)
    own = jnp.where(blocks, jnp.abs(offsets - np.float32(geometry.first)), FAR).min(-1)
    # The nearest ones of all blocks behind, and of all before.
    behind, before = jax.lax.cummin(left, 3, reverse=True)[..., 1:], jax.lax.cummax(right, 3)[..., :-1]
    behind = jnp.pad(behind, [(0, 0)] * 3 + [(0, 1)], constant_values=FAR)
    before = jnp.pad(before, [(0, 0)] * 3 + [(1, 0)], constant_values=-FAR)
    centre = columns.reshape(1, 1, 1, -1)
    along = jnp.square(jnp.minimum(own, jnp.minimum(behind - centre, centre - before)))
    down = np.square(np.arange(height, dtype=np.float32)[None] - rows[:, None])
    return _in_cells((along[:, :, None] + down[None, None, :, :, None]).min(-2), geometry)


def distance_of_clicks(
    clicks: PaddedClicks, cells: tuple[int, int], geometry: Geometry, way: int
) -> Float[Array, "k n m"]:
    """Distances to the clicks on one image, as `distance_of_map` has them.

    Args:
        clicks: on the image.
        cells: rows and columns of the grid.
        geometry: where the cells lie.
        way: number of labels K.
    """
    points = clicks.points.astype(jnp.float32)
    centres = [geometry.centres(side * geometry.stride).astype(np.float32) for side in cells]
    down, across = (jnp.square(points[:, axis, None] - centres[axis][None]) for axis in (0, 1))
    of_label = jax.nn.one_hot(clicks.labels, way, dtype=jnp.bool_)
    squares = down[:, :, None] + across[:, None, :]
    far = jnp.where(of_label.T[:, :, None, None], squares[None], FAR).min(1)
    return _in_cells(far, geometry)


def _in_cells(squares, geometry):
    return jnp.where(squares < FAR, jnp.sqrt(squares) / geometry.stride, jnp.inf)
