import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.geometry import Tap
from guided_jax.backbones.neck import sum_taps
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.resample import bilinear_weights, interpolate


def test_cells_of_the_exact_grid():
    """Sizes and upsampling are the reference's: tests/guided_jax/model/test_faithfulness.py, items 2 to 4."""
    assert VGGGeometry("exact", 5, 32, 7).centres(97).tolist() == [31.5, 63.5, 95.5]


@pytest.mark.parametrize(("grid", "stride", "least"), [("exact", 32, 33), ("dilated", 8, 9), ("taps", 8, 1)])
def test_the_smallest_image_is_the_first_with_a_cell(grid, stride, least):
    geometry = VGGGeometry(grid, 5, stride, 7)
    assert geometry.minimum_size == least
    assert (geometry.cells(least - 1), geometry.cells(least)) == (0, 1)


@pytest.mark.parametrize("stride", [16, 8])
def test_dilated_grid_covers_every_pixel(stride):
    geometry = VGGGeometry("dilated", 5, stride, 7)
    for side in range(stride + 1, 200, 7):
        weights = geometry.pixel_weights(side)
        assert weights.sum(1).min() > 0
        # fc6, dilated, must reach at least as many cells as the grid has.
        assert geometry.stage_sizes(side)[-1] - 6 * geometry.dilation(6) >= geometry.cells(side)


def test_taps():
    assert VGGGeometry("taps", 5, 32, 3).tap_stages == ()
    assert VGGGeometry("taps", 5, 16, 3).tap_stages == (5,)
    assert VGGGeometry("taps", 5, 8, 3).tap_stages == (4, 5)
    assert VGGGeometry("taps", 5, 4, 3).tap_stages == (3, 4, 5)
    assert VGGGeometry("taps", 5, 8, 3).tap_sizes(375) == [47, 24]


@pytest.mark.parametrize(
    ("grid", "stride", "message"),
    [("exact", 16, "choose one of 32"), ("dilated", 32, "choose one of 16, 8"), ("fine", 8, "'fine' is not one of")],
)
def test_impossible_grids_are_refused(grid, stride, message):
    with pytest.raises(ValueError, match=message):
        VGGGeometry(grid, 5, stride, 7)


def test_chosen_layers():
    """Of those that the stride leaves; the neck reads the last one, and others are interpolated to the grid."""
    geometry = BACKBONES["vgg16"].geometry("taps", 8, 1, "5")
    assert geometry.taps == (Tap(5, 16, 7.5),) and geometry.tap_sizes(375) == [24] and geometry.cells(375) == 47
    assert BACKBONES["vgg16"].channels(BACKBONES["vgg16"].geometry("taps", 4, 1, "3, 5")) == (256, 512)
    resnet = BACKBONES["resnet50"].geometry("dilated", 8, 3, "")
    assert resnet.taps == (Tap(4, 8, 0.0),) and resnet.neck_dilation == 4 and resnet.neck_padding == 4
    coarse = jnp.arange(3.0)[None, None, :, None] * jnp.ones((1, 2, 1, 1))
    found = sum_taps([coarse], (16, 24), jnp.array([[16, 24]], jnp.int32), VGGGeometry("taps", 4, 4, 1, (4,)))
    # Cells of 8 at 3.5, 11.5 and 19.5; the grid's at 1.5, 5.5, ..., 21.5.
    np.testing.assert_allclose(found[0, 0, :, 0], [0, 0.25, 0.75, 1.25, 1.75, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("grid", "layers", "message"),
    [
        ("taps", "2,5", "layer 2 cannot be read on the grid 'taps' of stride 8; there: 4, 5"),
        ("dilated", "5", "layer 5 cannot be read on the grid 'dilated' of stride 8; there: none"),
        ("taps", "four", "layers 'four': numbers with commas between them were expected, as 3,4"),
        ("taps", "5,-1", "layers '5,-1': numbers"),
        ("taps", "5,5", "layers '5,5': names one of them twice"),
    ],
)
def test_impossible_layers_are_refused(grid, layers, message):
    with pytest.raises(ValueError, match=message):
        BACKBONES["vgg16"].geometry(grid, 8, 1, layers)


def test_normalised_interpolation_holds_the_outermost_value():
    weights = bilinear_weights(np.arange(16.0), np.array([1.5, 5.5, 9.5, 13.5]), 4)
    plane = jnp.array([[[2.0, 4.0, 8.0, 99.0]] * 4])
    up = np.asarray(interpolate(plane, weights, weights, valid=jnp.array([[4, 3]])))[0]
    np.testing.assert_allclose(up[0, [0, 1]], 2.0, rtol=1e-6)
    assert up[7, 3] == pytest.approx((2 * 5 + 4 * 3) / 8)  # 1.5 of 4 pixels past the first centre
    np.testing.assert_allclose(up[:, 10:12], 8.0, rtol=1e-6)  # the fourth column of cells is padding


def test_a_coarser_map_counts_up_to_its_last_cell():
    """Of 6 pixels on a canvas of 8: cells of 2 have their centres at 0.5, 2.5 and 4.5, those of 4 at 1.5 and 5.5."""
    coarse = jnp.tile(jnp.array([10.0, 30.0])[None, None, :, None], (1, 2, 1, 1))
    fine, size = jnp.ones((1, 4, 4, 1)), jnp.array([[6, 6]], jnp.int32)
    found = sum_taps([fine, coarse], (8, 8), size, VGGGeometry("taps", 3, 2, 3))
    np.testing.assert_allclose(found[0, :3, :3, 0], 1 + np.tile([10, 15, 25], (3, 1)), rtol=1e-6)
