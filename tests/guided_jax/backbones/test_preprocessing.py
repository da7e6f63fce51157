import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.preprocessing import (
    CAFFE,
    CAFFE_ILSVRC,
    CAFFE_RGB,
    KERAS,
    PREPROCESSINGS,
    TORCHVISION,
    Preprocessing,
    named_preprocessing,
    normalise,
)
from guided_jax.backbones.pretrained import read_weights
from guided_jax.backbones.table import BACKBONES

RED_GREEN_BLUE = np.array([[[200, 100, 50]]], np.uint8)


def pixel(preprocessing: Preprocessing, dtype=jnp.float32) -> np.ndarray:
    return np.asarray(normalise(jnp.asarray(RED_GREEN_BLUE), preprocessing, dtype))[0, 0]


def test_caffe_reverses_the_channels_and_subtracts_the_mean_of_each():
    np.testing.assert_allclose(pixel(CAFFE), [50 - 103.939, 100 - 116.779, 200 - 123.68], rtol=1e-6)


def test_caffe_ilsvrc_is_the_mean_of_the_guided_networks_code():
    np.testing.assert_allclose(pixel(CAFFE_ILSVRC), [50 - 104.00699, 100 - 116.66877, 200 - 122.67891], atol=1e-4)


def test_torchvision_keeps_the_channels_and_divides_by_the_deviation():
    expected = [(200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(pixel(TORCHVISION), expected, rtol=1e-5)


def test_keras_uses_the_caffe_weights():
    assert KERAS == CAFFE


def test_bfloat16_is_the_float32_result_rounded_once():
    exact = normalise(jnp.asarray(RED_GREEN_BLUE), CAFFE, jnp.float32)
    rounded = normalise(jnp.asarray(RED_GREEN_BLUE), CAFFE, jnp.bfloat16)
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(rounded), np.asarray(exact.astype(jnp.bfloat16)))


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_leading_axes_are_images_each_for_itself(lead):
    images = np.random.default_rng(0).integers(0, 256, (*lead, 4, 5, 3), dtype=np.uint8)
    batch = jax.jit(normalise, static_argnums=(1, 2))(jnp.asarray(images), TORCHVISION, jnp.float32)
    alone = [normalise(jnp.asarray(image), TORCHVISION, jnp.float32) for image in images.reshape(-1, 4, 5, 3)]
    assert batch.shape == images.shape
    np.testing.assert_allclose(np.asarray(batch).reshape(-1, 4, 5, 3), np.asarray(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS.values(), ids=PREPROCESSINGS)
def test_json_gives_back_the_same_preprocessing_and_key(preprocessing):
    back = Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict())))
    assert back == preprocessing
    assert back.key() == preprocessing.key()


def test_key_is_stable_text_that_tells_preprocessings_apart():
    assert CAFFE.key() == "bgr scale=1.0 mean=103.939,116.779,123.68 std=1.0,1.0,1.0"
    integers = {"channels": "bgr", "scale": 1, "mean": [103.939, 116.779, 123.68], "std": [1, 1, 1]}
    assert Preprocessing.from_dict(integers).key() == CAFFE.key()
    assert len({p.key() for p in PREPROCESSINGS.values()}) == len({CAFFE, CAFFE_ILSVRC, CAFFE_RGB, TORCHVISION})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": "grb"}, "'rgb' or 'bgr', not 'grb'"),
        ({"mean": [1.0, 2.0]}, "mean of a preprocessing has 3 values, one a channel, not 2"),
        ({"std": [1.0, 0.0, 1.0]}, "scale and std of a preprocessing are positive"),
        ({"scale": -1.0}, "scale and std of a preprocessing are positive"),
        ({"gamma": 2.2}, "has the fields channels, scale, mean and std, not .*gamma"),
    ],
)
def test_fields_that_make_no_preprocessing_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_dict({**CAFFE.to_dict(), **fields})


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'imagenet' is not one of caffe, caffe-ilsvrc, torchvision, keras"):
        named_preprocessing("imagenet")


@pytest.mark.real_data
def test_real_weights_give_the_activations_of_an_independent_network_on_a_real_image(real_data):
    torch = pytest.importorskip("torch", reason="the independent network is torch's: pip install 'guided_jax[test]'")
    path = real_data / "weights/vgg16_imagenet_conv_fp16.npz"
    images = sorted((real_data / "data/VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))
    bgr = cv2.imread(str(images[0]))[100:164, 100:164]
    names = ["conv1_1", "conv1_2", "conv2_1", "conv2_2"]

    with np.load(path) as file:
        maps = torch.from_numpy(bgr.astype(np.float32) - np.float32([103.939, 116.779, 123.68])).permute(2, 0, 1)[None]
        for name in names:
            kernel, bias = (torch.from_numpy(file[f"{name}/{part}"]).float() for part in ("kernel", "bias"))
            maps = torch.conv2d(maps, kernel.permute(3, 2, 0, 1), bias, padding=1).relu()
            if name == "conv1_2":
                maps = torch.nn.functional.max_pool2d(maps, 2)
    expected = maps[0].permute(1, 2, 0).numpy()

    weights = read_weights(path, backbone=BACKBONES["vgg16"])

    def activations(preprocessing: Preprocessing) -> np.ndarray:
        maps = normalise(jnp.asarray(bgr[None, ..., ::-1]), preprocessing, jnp.float32)
        for name in names:
            layer = weights.layers[name]
            maps = jax.lax.conv_general_dilated(
                maps, jnp.asarray(layer["kernel"]), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            maps = jax.nn.relu(maps + jnp.asarray(layer["bias"]).reshape(1, 1, 1, -1))
            if name == "conv1_2":
                maps = jax.lax.reduce_window(maps, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return np.asarray(maps[0])

    scale = np.abs(expected).mean()
    np.testing.assert_allclose(activations(weights.preprocessing), expected, atol=1e-4 * scale, rtol=1e-4)
    rgb = Preprocessing("rgb", CAFFE.scale, CAFFE.mean[::-1], CAFFE.std)
    for wrong in (rgb, TORCHVISION):
        assert np.abs(activations(wrong) - expected).mean() > 0.1 * scale
