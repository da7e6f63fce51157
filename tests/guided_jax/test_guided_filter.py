"""The guided filter against an independent one of float64, and what it promises of images, canvases and gradients."""

from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.guided_filter import apply_filter, box_sum, filter_guide, filter_logits, to_blocks
from guided_jax.resample import interpolate

SIZE = (24, 36)


def picture(size=SIZE, seed=0):
    """Smooth patches of colour under a little noise."""
    rng = np.random.default_rng(seed)
    patches = cv2.resize(rng.integers(0, 256, (4, 5, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(patches + rng.integers(-9, 10, (*size, 3)), 0, 255).astype(np.uint8)


def on_canvas(image, canvas):
    """The image under noise on the rest of the canvas, and its size."""
    laid = np.random.default_rng(9).integers(0, 256, (1, *canvas, 3), np.uint8)
    laid[0, : image.shape[0], : image.shape[1]] = image
    return jnp.asarray(laid), jnp.array([image.shape[:2]], jnp.int32)


@partial(jax.jit, static_argnames=("radius", "block", "epsilon"))
def whole_filter(images, size, scores, *, radius, block, epsilon):
    guide = filter_guide(images, size, radius=radius, epsilon=epsilon, block=block)
    return apply_filter(guide, scores, radius=radius, block=block)


def filtered(image, scores, *, radius, block, canvas=None, epsilon=1e-3):
    """Filters the scores [k, n, m] of the blocks of one image."""
    images, size = on_canvas(image, canvas or image.shape[:2])
    scores = jnp.asarray(scores, jnp.float32)[None]
    return np.asarray(whole_filter(images, size, scores, radius=radius, block=block, epsilon=epsilon))[0]


def box_mean(planes, reach):
    def total(values):
        return cv2.boxFilter(values, -1, (2 * reach + 1,) * 2, normalize=False, borderType=cv2.BORDER_CONSTANT)

    return total(planes) / total(np.ones(planes.shape[:2])).reshape(*planes.shape[:2], *[1] * (planes.ndim - 2))


def reference(image, scores, radius, block, epsilon=1e-3):
    """Equations 14 to 16 and 19 of the paper on means of blocks, its linear systems solved one by one."""
    h, w = image.shape[:2]
    colours = image.reshape(h // block, block, w // block, block, 3).mean((1, 3)) / 255
    reach, planes = radius // block, []
    mean_i = box_mean(colours, reach)
    outer = np.einsum("nmi,nmj->nmij", colours, colours).reshape(*colours.shape[:2], 9)
    sigma = box_mean(outer, reach).reshape(*colours.shape[:2], 3, 3) - np.einsum("nmi,nmj->nmij", mean_i, mean_i)
    for plane in scores.astype(np.float64):
        mean_p = box_mean(plane, reach)
        covariance = box_mean(colours * plane[..., None], reach) - mean_i * mean_p[..., None]
        a = np.linalg.solve(sigma + epsilon * np.eye(3), covariance[..., None])[..., 0]
        b = mean_p - (a * mean_i).sum(-1)
        smooth = box_mean(np.concatenate([a, b[..., None]], -1), reach)
        full = cv2.resize(smooth, (w, h), interpolation=cv2.INTER_LINEAR)
        planes.append((full[..., :3] * (image / 255)).sum(-1) + full[..., 3])
    return np.stack(planes)


def scores_of(block, seed=1, labels=2):
    return np.random.default_rng(seed).normal(size=(labels, SIZE[0] // block, SIZE[1] // block)).astype(np.float32)


@pytest.mark.parametrize(("radius", "block"), [(3, 1), (4, 2), (8, 4), (12, 4)])
def test_it_is_the_papers(radius, block):
    image, scores = picture(), 10 * scores_of(block)
    expected = reference(image, scores, radius, block)
    np.testing.assert_allclose(filtered(image, scores, radius=radius, block=block), expected, atol=2e-3)


@pytest.mark.parametrize("canvas", [(24, 40), (32, 64), (29, 43)])
def test_a_canvas_changes_nothing(canvas):
    image = picture((22, 33))  # cuts the last blocks
    scores = np.random.default_rng(2).normal(size=(1, 6, 9)).astype(np.float32)
    roomy = np.full((1, *(-(-side // 4) for side in canvas)), np.nan, np.float32)
    roomy[:, :6, :9] = scores
    alone = filtered(image, scores, radius=8, block=4)
    found = filtered(image, roomy, radius=8, block=4, canvas=canvas)[:, :22, :33]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert alone.std() > 0.01


def test_on_a_flat_image_it_is_the_mean_over_windows_of_means():
    scores = scores_of(1)
    found = filtered(np.full((*SIZE, 3), 90, np.uint8), scores, radius=3, block=1)
    np.testing.assert_allclose(found, [box_mean(box_mean(plane, 3), 3) for plane in scores], atol=1e-5)


def test_a_block_that_the_border_cuts_has_a_score_of_its_own():
    size, scores = (22, 33), np.random.default_rng(2).normal(size=(1, 6, 9)).astype(np.float32)
    found = filtered(np.full((*size, 3), 90, np.uint8), scores, radius=4, block=4)
    blocks = box_mean(box_mean(scores[0], 1), 1)
    expected = cv2.resize(blocks, (36, 24), interpolation=cv2.INTER_LINEAR)[:22, :33]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_constants_and_affine_functions_of_the_colour_stay():
    image = picture()
    np.testing.assert_allclose(filtered(image, np.full((1, 6, 9), 3.0), radius=8, block=4), 3, atol=1e-4)
    scores = (image / 255 @ np.array([2.0, -1.0, 0.5]) + 0.25)[None].astype(np.float32)
    np.testing.assert_allclose(filtered(image, scores, radius=4, block=1, epsilon=1e-7), scores, atol=1e-2)


def test_an_edge_of_the_image_is_taken_over():
    """Scores that turn over softly, around an edge that lies 4 pixels beside the middle of the turn, turn there."""
    image = np.full((*SIZE, 3), 40, np.uint8)
    image[:, 20:] = 200
    ramp = np.clip((np.arange(2, 36, 4) - 16) / 8, -1, 1)
    scores = np.tile(ramp.astype(np.float32), (1, 6, 1))
    labels = filtered(image, scores, radius=12, block=4)[0] > 0
    np.testing.assert_array_equal(labels, np.arange(36)[None] >= np.full((24, 1), 20))
    assert (ramp[4] > 0) == (np.arange(2, 36, 4)[4] > 16)


def test_it_is_linear_and_has_a_finite_gradient():
    image, (one, other) = picture(), scores_of(4)
    parts = [filtered(image, plane[None], radius=8, block=4) for plane in (one, other, 2 * one - other)]
    np.testing.assert_allclose(2 * parts[0] - parts[1], parts[2], atol=1e-4)
    images, size = on_canvas(image, (32, 40))
    guide = jax.jit(filter_guide)(images, size)
    gradient = jax.jit(jax.grad(lambda scores: (apply_filter(guide, scores) ** 2).sum()))(jnp.ones((1, 2, 8, 10)))
    assert np.isfinite(gradient).all()
    assert (gradient[:, :, :6, :9] > 0).all() and (gradient[:, :, 6:] == 0).all() and (gradient[..., 9:] == 0).all()


def test_sums_over_windows():
    planes = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = [[10, 18, 24, 18], [27, 45, 54, 39], [26, 42, 48, 34]]
    np.testing.assert_array_equal(box_sum(jnp.asarray(planes), 1), expected)
    np.testing.assert_array_equal(box_sum(jnp.asarray(planes), 5), np.full((3, 4), 66))


def test_blocks_have_the_scores_that_pixels_have():
    geometry, size = VGGGeometry("taps", 4, 8, 3), jnp.array([[21, 30]], jnp.int32)
    scores = jnp.asarray(np.random.default_rng(3).normal(size=(1, 2, 3, 4)), jnp.float32)
    blocks = to_blocks(scores, geometry, (24, 32), size)
    weights = [geometry.pixel_weights(side) for side in (24, 32)]
    pixels = np.asarray(interpolate(scores, *weights, valid=geometry.cells(size)[:, None]))
    between = pixels[:, :, :20].reshape(1, 2, 5, 4, 32)[..., :28].reshape(1, 2, 5, 4, 7, 4)[:, :, :, 1:3, :, 1:3]
    np.testing.assert_allclose(blocks[:, :, :5, :7], between.mean((3, 5)), atol=1e-5)


def test_the_filter_of_masks_is_of_blocks_of_4_and_windows_of_12():
    image, scores = picture(), scores_of(4)
    images, size = on_canvas(image, SIZE)
    usual = jax.jit(lambda *images: apply_filter(filter_guide(*images), jnp.asarray(scores)[None]))(images, size)
    usual = np.asarray(usual)[0]
    np.testing.assert_allclose(usual, reference(image, scores, 12, 4, 1e-3), atol=2e-3)
    np.testing.assert_array_equal(usual, filtered(image, scores, radius=12, block=4, epsilon=1e-3))
    assert np.abs(usual - filtered(image, scores, radius=12, block=4, epsilon=2e-3)).max() > 0.01


def test_a_window_smaller_than_a_block_is_refused():
    with pytest.raises(ValueError, match="a radius of 3 pixels is less than a block of 4"):
        filter_guide(*on_canvas(picture(), SIZE), radius=3)


def test_logits_at_pixels_are_filtered_as_those_of_the_grid_are():
    """Constants stay, the padding does not matter, and scores that step beside an edge move onto it."""
    image = np.zeros((1, 24, 40, 3), np.uint8)
    image[:, :, 16:] = 255
    size = jnp.array([[22, 38]], jnp.int32)
    guide = filter_guide(jnp.asarray(image), size)
    constant = filter_logits(guide, jnp.full((1, 2, 24, 40), 3.0))
    np.testing.assert_allclose(constant[:, :, :22, :38], 3, atol=1e-5)
    beside = np.where(np.arange(40) < 20, -1.0, 1.0).astype(np.float32)  # four pixels off the edge
    logits = np.broadcast_to(beside, (1, 1, 24, 40)).copy()
    found = np.asarray(filter_logits(guide, jnp.asarray(logits)))[0, 0, :22, :38]
    assert (found[:, 17:20] > 0).all() and (found[:, :15] < 0).all()
    logits[:, :, 22:], logits[:, :, :, 38:] = 99, -99
    np.testing.assert_allclose(filter_logits(guide, jnp.asarray(logits))[0, 0, :22, :38], found, atol=1e-5)
