"""Random views of an annotated image."""

import jax
import numpy as np

from guided_jax.episode import UNKNOWN
from guided_jax.tuning.views import random_view


def picture(size=(21, 31), canvas=(24, 32)):
    """A grey image whose label says where it is bright; the padding is black and unknown."""
    labels = np.full((1, *canvas), UNKNOWN, np.uint8)
    labels[0, : size[0], : size[1]] = 0
    labels[0, 6:15, 3:12] = 1
    image = np.where(labels == 1, 200, np.where(labels == 0, 100, 0)).astype(np.uint8)
    return np.repeat(image[..., None], 3, -1), labels, np.array([size], np.int32)


def test_image_and_labels_move_together():
    image, labels, size = picture()
    view = jax.jit(random_view)
    seen = []
    for number in range(6):
        shown, found = (np.asarray(each)[0] for each in view(jax.random.key(number), image, labels, size))
        assert (found[21:] == UNKNOWN).all() and (found[:, 31:] == UNKNOWN).all() and not shown[21:].any()
        bright = shown[..., 0] > 150
        # The label is the nearest and the brightness interpolated: they part at the edge alone.
        assert np.count_nonzero(bright ^ (found == 1)) < 0.2 * np.count_nonzero(found == 1)
        # What left the image is unknown; without the padding's own 24 x 32 - 21 x 31 pixels.
        assert (shown[..., 0][(found == 0) & ~bright] >= 50).mean() > 0.9
        seen.append(np.count_nonzero(found == 1))
    # Areas from 0.75 ** 2 to 1.25 ** 2 of the square's 81 pixels, some of which may leave the image.
    assert len(set(seen)) > 3 and max(seen) <= 81 * 1.25**2 * 1.1 and min(seen) >= 81 * 0.75**2 * 0.7


def test_half_of_the_views_are_mirrored():
    image, labels, size = picture()
    view = jax.jit(random_view)
    left = [np.argwhere(np.asarray(view(jax.random.key(i), image, labels, size)[1])[0] == 1)[:, 1].mean() < 15
            for i in range(24)]  # fmt: skip
    assert 6 <= sum(left) <= 18
