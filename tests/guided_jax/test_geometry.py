import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.geometry import Geometry
from guided_jax.guides.late import fixed_masks
from guided_jax.resample import bilinear_weights, interpolate, label_planes

EXACT = Geometry("exact", 5, 32, 7)


def masks_of(geometry, annotation):
    planes = label_planes(jnp.asarray(annotation), 2)
    return np.asarray(fixed_masks(planes, geometry, jnp.array(annotation.shape, jnp.int32)))


def test_exact_grid_is_the_reference_s():
    assert EXACT.pad == 81
    sizes = np.arange(33, 601)
    np.testing.assert_array_equal(EXACT.cells(sizes), np.ceil(sizes / 32).astype(int) - 1)
    # fc6 is valid: its map is the last pooling's, less 6 cells.
    np.testing.assert_array_equal(EXACT.stage_sizes(sizes)[-1] - 6, EXACT.cells(sizes))
    assert EXACT.centres(97).tolist() == [31.5, 63.5, 95.5]
    assert EXACT.minimum_size == 33


@pytest.mark.parametrize("stride", [16, 8])
def test_dilated_grid_covers_every_pixel(stride):
    geometry = Geometry("dilated", 5, stride, 7)
    for side in range(stride + 1, 200, 7):
        weights = geometry.pixel_weights(side)
        assert weights.sum(1).min() > 0
        # fc6, dilated, must reach at least as many cells as the grid has.
        assert geometry.stage_sizes(side)[-1] - 6 * geometry.dilation(6) >= geometry.cells(side)


def test_taps():
    assert Geometry("taps", 5, 32, 3).tap_stages == ()
    assert Geometry("taps", 5, 16, 3).tap_stages == (5,)
    assert Geometry("taps", 5, 8, 3).tap_stages == (4, 5)
    assert Geometry("taps", 5, 4, 3).tap_stages == (3, 4, 5)
    assert Geometry("taps", 5, 8, 3).tap_sizes(375) == [47, 24]


@pytest.mark.parametrize(
    ("grid", "stride", "message"),
    [("exact", 16, "choose one of 32"), ("dilated", 32, "choose one of 16, 8"), ("fine", 8, "'fine' is not one of")],
)
def test_impossible_grids_are_refused(grid, stride, message):
    with pytest.raises(ValueError, match=message):
        Geometry(grid, 5, stride, 7)


def test_upsampling_fades_at_the_border_as_the_reference_does():
    weights = EXACT.pixel_weights(97)
    plane = jnp.ones((1, 3, 3))
    up = np.asarray(interpolate(plane, weights, weights))[0]
    assert up[0, 32] == pytest.approx(0.015625)
    assert up[0, 0] == pytest.approx(0.000244140625)
    assert up[32, 32] == 1.0


def test_normalised_interpolation_holds_the_outermost_value():
    weights = bilinear_weights(np.arange(16.0), np.array([1.5, 5.5, 9.5, 13.5]), 4)
    plane = jnp.array([[[2.0, 4.0, 8.0, 99.0]] * 4])
    up = np.asarray(interpolate(plane, weights, weights, valid=jnp.array([[4, 3]])))[0]
    np.testing.assert_allclose(up[0, [0, 1]], 2.0, rtol=1e-6)
    assert up[7, 3] == pytest.approx((2 * 5 + 4 * 3) / 8)  # 1.5 of 4 pixels past the first centre
    np.testing.assert_allclose(up[:, 10:12], 8.0, rtol=1e-6)  # the fourth column of cells is padding


def test_a_lone_point_touches_four_cells_with_the_reference_s_mass():
    annotation = np.full((480, 640), 255, np.uint8)
    annotation[200, 300] = 1
    masks = masks_of(EXACT, annotation)
    assert masks.shape == (2, 14, 19)
    assert not masks[0].any()
    assert (masks[1] > 0).sum() == 4
    assert masks[1].sum() == pytest.approx(1 / 1024)
    annotation[:] = 255
    annotation[0, 0] = 1
    corner = masks_of(EXACT, annotation)[1].sum()
    assert corner == pytest.approx(2.4e-7, rel=0.02)


def test_masks_of_clicks_add_up():
    rng = np.random.default_rng(0)
    annotation = np.full((60, 70), 255, np.uint8)
    clicks = rng.choice(60 * 70, 20, replace=False)
    annotation.flat[clicks] = rng.integers(0, 2, 20)
    geometry = Geometry("taps", 3, 4, 3)
    parts = []
    for click in clicks:
        alone = np.full_like(annotation, 255)
        alone.flat[click] = annotation.flat[click]
        parts.append(masks_of(geometry, alone))
    np.testing.assert_allclose(sum(parts), masks_of(geometry, annotation), atol=1e-6)
