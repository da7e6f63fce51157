import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.guides import early, guidance
from guided_jax.guides.guidance import EPSILON


def shot_of(features, points, pooling="average", *, cells=None, local=False):
    """Guidance of one shot [n, m, c], of which `cells` lie on the image."""
    annotation = np.full((8, 8), UNKNOWN, np.uint8)
    annotation.flat[:points] = np.arange(points) % 2
    cells = jnp.array(cells or features.shape[:2])
    return early.guide(jnp.asarray(features, jnp.float32), jnp.asarray(annotation), cells, pooling, local=local)


def merged(shots, merge="annotating", pooling="average"):
    return guidance.pool_shots(jax.tree.map(lambda *leaves: jnp.stack(leaves), *shots), merge, pooling)


def test_the_mean_over_the_image_by_hand():
    """Features are 0 on the padding, which counts in no mean."""
    features = np.zeros((3, 4, 2))
    features[:2, :3] = np.arange(12).reshape(2, 3, 2)
    shot = shot_of(features, 3, cells=(2, 3))
    assert (shot.total.tolist(), shot.mass.tolist(), shot.points.tolist()) == ([[30.0, 36.0]], [6.0], [3.0])
    np.testing.assert_allclose(merged([shot]), [[5.0, 6.0]], rtol=1e-6)


def test_the_maximum_over_the_image_by_hand():
    features = np.zeros((3, 4, 2))
    features[0, 1], features[1, 2] = [3, 1], [2, 5]
    assert merged([shot_of(features, 3, "maximum")], pooling="maximum").tolist() == [[3.0, 5.0]]


def test_a_shot_without_annotation_says_nothing():
    rng = np.random.default_rng(0)
    some, other = rng.random((3, 4, 2)), rng.random((3, 4, 2))
    empty = shot_of(other, 0)
    for merge in ("annotating", "pooled"):
        alone = merged([shot_of(some, 2)], merge)
        np.testing.assert_array_equal(merged([shot_of(some, 2), empty], merge), alone)
        assert not np.asarray(merged([empty, empty], merge)).any()
    diluted = merged([shot_of(some, 2), empty], "every")
    np.testing.assert_allclose(diluted, merged([shot_of(some, 2)]) / 2, rtol=1e-6)


def test_larger_images_weigh_more_where_the_cells_of_all_shots_are_pooled():
    """As the reference's early form: 2 cells of 1, and 6 cells of 5."""
    shots = [shot_of(np.full((1, 2, 1), 1.0), 1), shot_of(np.full((2, 3, 1), 5.0), 1)]
    np.testing.assert_allclose(merged(shots, "pooled"), [[(2 * 1 + 6 * 5) / 8]], rtol=1e-6)
    np.testing.assert_allclose(merged(shots, "annotating"), [[3.0]], rtol=1e-6)


@pytest.mark.parametrize("cells", [(3, 4), (2, 3)])
def test_local_guidance_keeps_the_features_of_the_image(cells):
    features = np.random.default_rng(1).random((3, 4, 2)).astype(np.float32)
    features[cells[0] :], features[:, cells[1] :] = 0, 0
    for points, scale in ((2, 1.0), (0, 0.0)):
        shot = shot_of(features, points, cells=cells, local=True)
        local = guidance.keep_positions(jax.tree.map(lambda leaf: leaf[None, None], shot))
        assert local.shape == (1, 1, 3, 4, 2)
        np.testing.assert_allclose(local[0, 0], scale * features, rtol=2 * EPSILON)
