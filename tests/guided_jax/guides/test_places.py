"""Distances from cells to the annotation: against brute force over all pixels, by either way of giving clicks."""

import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.resnet.geometry import ResNetGeometry
from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.guides.clicks import NO_LABEL, PaddedClicks
from guided_jax.guides.places import distance_of_clicks, distance_of_map

GEOMETRY = VGGGeometry("taps", 3, 4, 1)
FROM_ZERO = ResNetGeometry("taps", 4, 1)
"""Its first cell lies on the first pixel."""


def brute_force(annotation, size, way, geometry):
    """Of one image, over every annotated pixel inside it."""
    rows, columns = (geometry.centres(side) for side in annotation.shape)
    found = np.full((way, len(rows), len(columns)), np.inf)
    for label in range(way):
        for r, c in np.argwhere(annotation == label):
            if r < size[0] and c < size[1]:
                apart = np.hypot(rows[:, None] - r, columns[None] - c) / geometry.stride
                found[label] = np.minimum(found[label], apart)
    return found


@pytest.mark.parametrize("share", [0.01, 0.1, 0.9], ids=["few", "some", "dense"])
@pytest.mark.parametrize("geometry", [GEOMETRY, FROM_ZERO], ids=["between", "from zero"])
def test_a_map_against_brute_force(geometry, share):
    """Canvases that the stride does not divide, points on the padding, a label that is nowhere."""
    rng = np.random.default_rng(3)
    sizes = np.array([[22, 27], [13, 9]], np.int32)
    annotation = np.where(rng.random((2, 22, 27)) < share, rng.integers(0, 2, (2, 22, 27)), 255).astype(np.uint8)
    annotation[1, :13, :9] = 255
    annotation[1, 4, 3] = 1
    found = np.asarray(distance_of_map(jnp.asarray(annotation), jnp.asarray(sizes), geometry, 3))
    assert found.shape == (2, 3, 6, 7)
    for each, one, size in zip(found, annotation, sizes, strict=True):
        np.testing.assert_allclose(each, brute_force(one, size, 3, geometry), rtol=1e-6)
    assert np.isinf(found[:, 2]).all() and np.isinf(found[1, 0]).all() and np.isfinite(found[1, 1]).all()


def test_by_hand():
    """The first cell of 4x4 pixels has its centre at (1.5, 1.5), half a pixel both ways from pixel (2, 1)."""
    annotation = np.full((1, 8, 20), 255, np.uint8)
    annotation[0, 2, 1] = 0
    found = np.asarray(distance_of_map(jnp.asarray(annotation), jnp.array([[8, 20]]), GEOMETRY, 2))
    np.testing.assert_allclose(found[0, 0, 0, 0], np.sqrt(0.5) / 4, rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 0, 4], np.hypot(0.5, 16.5) / 4, rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 1, 0], np.hypot(3.5, 0.5) / 4, rtol=1e-6)


def test_clicks_are_the_map_that_they_make():
    rng = np.random.default_rng(5)
    points = np.array([divmod(p, 27) for p in rng.permutation(22 * 27)[:9].tolist()], np.int32)
    labels = np.array([0, 1, 1, 0, 1, NO_LABEL, 0, NO_LABEL, 1], np.int32)
    annotation = np.full((1, 22, 27), 255, np.uint8)
    for (r, c), label in zip(points.tolist(), labels.tolist(), strict=True):
        if label != NO_LABEL:
            annotation[0, r, c] = label
    clicks = PaddedClicks(jnp.asarray(points), jnp.asarray(labels))
    by_clicks = np.asarray(distance_of_clicks(clicks, (6, 7), GEOMETRY, 3))
    by_map = np.asarray(distance_of_map(jnp.asarray(annotation), jnp.array([[22, 27]]), GEOMETRY, 3))[0]
    np.testing.assert_allclose(by_clicks, by_map, rtol=1e-6)
    assert np.isinf(by_clicks[2]).all()
