import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from guided_jax.backbones.preprocessing import CAFFE, KERAS, TORCHVISION, normalise
from guided_jax.episode import UNKNOWN
from guided_jax.guides.encodings import (
    ENCODINGS,
    amplitude,
    discs,
    distance_maps,
    label_planes,
    mask_positives,
    stack,
)


def make_annotation(shape, points=()) -> np.ndarray:
    """Unknown everywhere but at `points`, each (index..., label)."""
    annotation = np.full(shape, UNKNOWN, np.uint8)
    for *index, label in points:
        annotation[tuple(index)] = label
    return annotation


def random_annotation(shape, way, share, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    annotated = rng.random(shape) < share
    return np.where(annotated, rng.integers(0, way, shape), UNKNOWN).astype(np.uint8)


def scipy_distances(annotation, way, limit=255.0):
    """scipy's exact transform; undefined without a point, where ours is the limit."""
    maps = []
    for label in range(way):
        far = annotation != label
        distance = ndimage.distance_transform_edt(far) if not far.all() else np.full(far.shape, np.inf)
        maps.append(np.minimum(distance, limit))
    return np.stack(maps, -1).astype(np.float32)


def scipy_discs(annotation, way):
    planes = [
        ndimage.maximum_filter((annotation == label).astype(np.uint8), 11, mode="constant") for label in range(way)
    ]
    return (np.stack(planes, -1).astype(np.float32) - 0.5) * 256


def compiled(encoder):
    return jax.jit(encoder, static_argnums=1)


ENCODERS = {"discs": (compiled(discs), scipy_discs), "distance": (compiled(distance_maps), scipy_distances)}


def test_label_planes_of_several_ways():
    annotation = np.array([[[0, 1, 255], [2, 2, 3]]], np.uint8)
    planes = label_planes(jnp.asarray(annotation), 3)
    expected = [[[1, 0, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 1, 0]]]
    np.testing.assert_array_equal(planes, np.array([expected], bool))


# Discs.


def test_a_disc_is_a_square_of_11_by_11_pixels_and_ends_at_the_border():
    out = np.asarray(discs(jnp.asarray(make_annotation((30, 40), [(12, 20, 1), (0, 39, 0)])), 2))
    assert out.shape == (30, 40, 2)
    assert out.dtype == np.float32
    expected = np.full((30, 40, 2), -128, np.float32)
    expected[7:18, 15:26, 1] = 128
    expected[:6, 34:, 0] = 128
    np.testing.assert_array_equal(out, expected)


def test_discs_of_two_labels_overlap():
    out = discs(jnp.asarray(make_annotation((11, 13), [(5, 5, 0), (5, 7, 1)])), 2)
    np.testing.assert_array_equal(out[5, :, 0] > 0, [True] * 11 + [False] * 2)
    np.testing.assert_array_equal(out[5, :, 1] > 0, [False] * 2 + [True] * 11)


# Distances.


def test_distances_by_hand():
    out = np.asarray(distance_maps(jnp.asarray(make_annotation((4, 5), [(0, 0, 1), (3, 4, 1)])), 2))
    assert out.dtype == np.float32
    root = np.sqrt(np.array([[0, 1, 4, 9, 9], [1, 2, 5, 5, 4], [4, 5, 5, 2, 1], [9, 9, 4, 1, 0]], np.float32))
    np.testing.assert_array_equal(out[..., 1], root)
    np.testing.assert_array_equal(out[..., 0], np.full((4, 5), 255))


def test_distances_are_truncated():
    out = np.asarray(distance_maps(jnp.asarray(make_annotation((1, 300), [(0, 0, 0)])), 1))
    np.testing.assert_array_equal(out[0, :, 0], np.minimum(np.arange(300), 255))
    short = np.asarray(distance_maps(jnp.asarray(make_annotation((9, 9), [(0, 0, 0)])), 1, limit=2.5))
    np.testing.assert_array_equal(short[..., 0], scipy_distances(make_annotation((9, 9), [(0, 0, 0)]), 1, 2.5)[..., 0])


# Both.


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.3, 1.0])
def test_encodings_agree_with_scipy(encoding, share):
    ours, theirs = ENCODERS[encoding]
    annotation = random_annotation((2, 2, 70, 53), 3, share)
    expected = np.stack([[theirs(plane, 3) for plane in shots] for shots in annotation])
    np.testing.assert_array_equal(ours(annotation, 3), expected)


def test_distances_agree_with_scipy_far_from_the_points():
    annotation = make_annotation((300, 310), [(0, 0, 0), (299, 309, 1), (150, 0, 1), (0, 200, 0)])
    np.testing.assert_array_equal(compiled(distance_maps)(annotation, 2), scipy_distances(annotation, 2))


@pytest.mark.parametrize(("label", "disc", "distance"), [(0, [128, -128], [0, 255]), (1, [-128, 128], [255, 0])])
def test_an_image_of_one_pixel(label, disc, distance):
    annotation = jnp.full((1, 1), label, jnp.uint8)
    np.testing.assert_array_equal(discs(annotation, 2)[0, 0], disc)
    np.testing.assert_array_equal(distance_maps(annotation, 2)[0, 0], distance)


def test_nothing_annotated_is_the_same_as_far_away():
    annotation = jnp.full((3, 4), UNKNOWN, jnp.uint8)
    assert (discs(annotation, 2) == -128).all()
    assert (distance_maps(annotation, 2) == 255).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_everything_annotated(encoding):
    annotation = jnp.zeros((6, 7), jnp.uint8)
    out = ENCODERS[encoding][0](annotation, 2)
    near, far = (128, -128) if encoding == "discs" else (0, 255)
    assert (out[..., 0] == near).all()
    assert (out[..., 1] == far).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_canvas_changes_nothing_within_the_image(encoding):
    encode = ENCODERS[encoding][0]
    annotation = random_annotation((23, 31), 2, 0.01)
    annotation[22, 30], annotation[0, 30] = 1, 0
    canvas = np.full((40, 48), UNKNOWN, np.uint8)
    canvas[:23, :31] = annotation
    np.testing.assert_array_equal(encode(canvas, 2)[:23, :31], encode(annotation, 2))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_images_of_a_batch_do_not_see_each_other(encoding):
    encode = ENCODERS[encoding][0]
    batch = make_annotation((2, 3, 8, 9), [(0, 1, 7, 8, 1), (1, 2, 0, 0, 0)])
    alone = np.stack([[encode(plane, 2) for plane in shots] for shots in batch])
    np.testing.assert_array_equal(encode(batch, 2), alone)


# Beside the image.


def test_amplitude_is_that_of_the_preprocessing():
    assert amplitude(CAFFE) == amplitude(KERAS) == 1.0
    # (0.229 + 0.224 + 0.225) / 3 = 0.226
    assert amplitude(TORCHVISION) == pytest.approx(1 / 255 / 0.226)
    span = np.ptp(normalise(jnp.array([[[0] * 3, [255] * 3]], jnp.uint8), TORCHVISION, jnp.float32))
    assert 255 * amplitude(TORCHVISION) == pytest.approx(span, rel=0.1)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_stack_puts_the_labels_behind_the_image_in_order(encoding, dtype):
    annotation = make_annotation((2, 20, 20), [(0, 3, 4, 0), (0, 15, 15, 1), (1, 10, 10, 2)])
    image = jax.random.normal(jax.random.key(0), (2, 20, 20, 3), dtype)
    out = jax.jit(stack, static_argnums=(2, 3, 4))(image, annotation, 3, encoding, 0.5)
    assert out.shape == (2, 20, 20, 6)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out[..., :3], image)
    channels = ENCODERS[encoding][0](annotation, 3) * 0.5
    np.testing.assert_array_equal(out[..., 3:], channels.astype(dtype))


def test_stack_refuses_another_encoding():
    with pytest.raises(ValueError, match="encoding 'dots' of an annotation is not one of discs, distance"):
        stack(jnp.zeros((2, 2, 3)), jnp.zeros((2, 2), jnp.uint8), 2, "dots", 1.0)


# On the image.


def test_masking_keeps_the_positives_alone():
    annotation = np.array([[0, 1, 2], [254, 255, 0]], np.uint8)
    image = jax.random.normal(jax.random.key(0), (2, 3, 3), jnp.bfloat16)
    out = mask_positives(image, jnp.asarray(annotation))
    assert out.dtype == jnp.bfloat16
    kept = np.array([[0, 1, 1], [1, 0, 0]], bool)
    np.testing.assert_array_equal(out, np.where(kept[..., None], image, 0))


@pytest.mark.parametrize("label", [0, UNKNOWN])
def test_masking_without_positives_leaves_the_mean_colour(label):
    image = jnp.ones((2, 3, 4, 3))
    assert not mask_positives(image, jnp.full((2, 3, 4), label, jnp.uint8)).any()
