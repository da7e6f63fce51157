import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.geometry import Geometry
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.backbones.resnet.geometry import ResNetGeometry
from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.episode import UNKNOWN
from guided_jax.guides import guidance, late
from guided_jax.guides.late import LearnedMasks, fixed_masks, points_by_cell
from guided_jax.model_config import ModelConfig
from guided_jax.resample import label_planes
from guided_jax.segmentor import Segmentor
from tests.guided_jax.guides.sums import add

GRIDS = [("taps", 2), ("taps", 4), ("taps", 8), ("exact", 8), ("dilated", 4), ("dilated", 2), ("odd", 8)]
"""The last one has its first cell on the first pixel, as ResNet has; the others have it between pixels."""
SIZES = [(24, 32), (21, 29), (9, 17), (15, 23)]  # the last: pixels whose nearest cell of the canvas is padding
CANVAS = (24, 32)


def geometry_of(grid, stride) -> Geometry:
    return ResNetGeometry("taps", stride, 3) if grid == "odd" else VGGGeometry(grid, 3, stride, 3)


def scattered(size, way=3, seed=0, canvas=CANVAS):
    """Planes of an annotation of a tenth of the pixels, and the size as an array."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(canvas) < 0.1, rng.integers(0, way, canvas), UNKNOWN).astype(np.uint8)
    size = jnp.asarray(size, jnp.int32)
    return label_planes(late.inside_only(jnp.asarray(labels), size), way), size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("grid", "stride"), GRIDS)
def test_learned_masks_start_as_the_fixed_ones(grid, stride, size):
    geometry, (planes, size) = geometry_of(grid, stride), scattered(size)
    module = LearnedMasks(geometry)
    params = module.init(jax.random.key(0), planes, size)
    side = 2 * stride - (grid == "odd")
    assert params["params"]["log_kernel"].shape == (side, side)
    fixed = fixed_masks(planes, geometry, size)
    assert fixed.shape == (3, geometry.cells(24), geometry.cells(32)) and np.abs(fixed).max() > 0
    np.testing.assert_allclose(module.apply(params, planes, size), fixed, atol=1e-6)


def test_learned_masks_are_positive_linear_and_the_same_for_every_label():
    geometry, (planes, size) = geometry_of("taps", 4), scattered((21, 29))
    kernel = jax.random.normal(jax.random.key(0), (8, 8))
    masks = LearnedMasks(geometry).bind({"params": {"log_kernel": kernel}})(planes, size)
    assert (masks >= 0).all()
    np.testing.assert_allclose(masks[::-1], LearnedMasks(geometry).apply(params_of(kernel), planes[::-1], size))
    first = planes.at[:, :10].set(0)
    parts = [LearnedMasks(geometry).apply(params_of(kernel), each, size) for each in (first, planes - first)]
    np.testing.assert_allclose(parts[0] + parts[1], masks, atol=1e-5 * masks.max())
    gradient = jax.grad(lambda kernel: LearnedMasks(geometry).apply(params_of(kernel), planes, size).sum())(kernel)
    assert np.isfinite(gradient).all() and (gradient > 0).mean() > 0.8


def params_of(kernel):
    return {"params": {"log_kernel": kernel}}


def test_a_point_in_the_middle_of_a_cell_is_shared_among_its_neighbours():
    """Stride 4: cells at 1.5, 5.5, ...; a point at (5, 2) lies 1/8 before the one and 1/8 behind the other."""
    planes = jnp.zeros((1, 8, 8)).at[0, 5, 2].set(1)
    masks = fixed_masks(planes, geometry_of("taps", 4), jnp.array([8, 8]))
    np.testing.assert_allclose(16 * masks[0], np.outer([1 / 8, 7 / 8], [7 / 8, 1 / 8]), rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("grid", "stride"), GRIDS)
def test_points_are_counted_by_the_nearest_cell_of_the_image(grid, stride, size):
    geometry, (planes, true) = geometry_of(grid, stride), scattered(size)
    counts = np.asarray(points_by_cell(planes, geometry, true))
    rows, columns = (
        geometry.centres(side)[: geometry.cells(true_side)] for side, true_side in zip(CANVAS, size, strict=True)
    )
    expected = np.zeros_like(counts)
    for label, row, column in np.argwhere(np.asarray(planes) > 0):
        # Of two cells at the same distance the later one.
        distances = np.abs(rows - row)[::-1], np.abs(columns - column)[::-1]
        i, j = len(rows) - 1 - np.argmin(distances[0]), len(columns) - 1 - np.argmin(distances[1])
        expected[label, i, j] += 1
    np.testing.assert_array_equal(counts, expected)
    assert counts.sum() == np.asarray(planes).sum() > 10


def test_average_and_maximum_pooling_by_hand():
    features = jnp.array([[[1.0, 10.0], [2.0, 0.0], [9.0, 30.0]]])  # one row of three cells, two channels
    masks = jnp.array([[[0.25, 0.75, 0.0]], [[0.0, 0.5, 0.5]], [[0.0, 0.0, 0.0]]])
    points = jnp.array([1.0, 1.0, 0.0])
    average = late.guide(features, masks, points)
    np.testing.assert_allclose(average.total, [[1.75, 2.5], [5.5, 15.0], [0.0, 0.0]])
    np.testing.assert_allclose(average.mass, [1.0, 1.0, 0.0])
    maximum = late.guide(features, masks, points, "maximum")
    np.testing.assert_array_equal(maximum.total, [[2.0, 10.0], [9.0, 30.0], [0.0, 0.0]])
    np.testing.assert_array_equal(maximum.mass, average.mass)


def test_a_maximum_of_shots_by_hand():
    """Two shots of one channel; the second annotates the first label alone."""
    shots = guidance.Guidance(
        jnp.array([[[3.0], [5.0]], [[7.0], [99.0]]]), jnp.ones((2, 2)), jnp.array([[1.0, 2.0], [1.0, 0.0]])
    )
    merged = {merge: guidance.pool_shots(shots, merge, "maximum") for merge in ("annotating", "every", "pooled")}
    assert {merge: z[:, 0].tolist() for merge, z in merged.items()} == {
        "annotating": [5.0, 5.0],
        "every": [5.0, 2.5],
        "pooled": [7.0, 5.0],
    }


def test_maxima_of_clicks_are_the_maximum_of_all():
    rng = np.random.default_rng(0)
    geometry, (planes, size) = geometry_of("taps", 4), scattered((24, 32))
    features = jnp.asarray(rng.random((6, 8, 5)), jnp.float32)

    def guide(planes):
        return late.guide(features, fixed_masks(planes, geometry, size), late.count_points(planes), "maximum")

    first = planes.at[:, :10].set(0)
    both = add(guide(first), guide(planes - first), "maximum")
    np.testing.assert_array_equal(both.total, guide(planes).total)
    np.testing.assert_array_equal(both.points, guide(planes).points)


@pytest.mark.parametrize(("grid", "stride", "fine"), [("taps", 4, 2), ("taps", 8, 2), ("exact", 8, 4)])
def test_interpolated_features_of_a_plane_guide_as_the_coarse_ones(grid, stride, fine):
    """Bilinear interpolation keeps planes: within the outermost centres both read the map at the points."""
    coarse = ModelConfig(backbone="vgg-tiny", grid=grid, stride=stride, fc6_kernel=3)
    finer = dataclasses.replace(coarse, support_grid="interpolated", support_stride=fine)
    geometry, canvas, size = geometry_of(grid, stride), (41, 50), jnp.array([[41, 50]])
    rows, columns = (jnp.asarray(geometry.centres(side), jnp.float32) for side in canvas)
    features = (rows[:, None] + 2 * columns[None])[None, :, :, None]
    annotation = np.full((1, *canvas), UNKNOWN, np.uint8)
    points = np.array([[10, 12], [17, 22], [25, 29]])
    annotation[0, points[:, 0], points[:, 1]] = 1

    def read(config):
        model = Segmentor(config, CAFFE)
        some = model.apply({}, features, canvas, size, method="refine_support")
        shot = model.apply({}, some, jnp.asarray(annotation), size, method="guide")
        return some.shape[1:3], float(shot.total[0, 1, 0] / shot.mass[0, 1])

    shape, value = read(finer)
    assert shape == (-(-41 // fine), -(-50 // fine))
    expected = np.mean(points @ [1, 2])
    np.testing.assert_allclose([read(coarse)[1], value], expected, rtol=1e-5)
