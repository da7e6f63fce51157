"""A backbone that segments from an example, as it is."""

from functools import partial

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import guided_jax
from guided_jax.backbones.file_formats import WeightsError
from guided_jax.without_training import in_context_config, place_directions
from tests.guided_jax.backbones.vit.published import arrays_of, make_hf


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(arrays_of(make_hf("dinov3-tiny")), path)
    return path


def test_a_session_segments_by_one_click_a_label(weights):
    """Two halves of other colours: a click on each is enough, since patches of one colour are more alike."""
    model = guided_jax.in_context("dinov3-tiny", weights, layers="1", backward=True, clusters=2)
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48], image[:, 48:] = (250, 30, 10), (10, 60, 240)
    session = guided_jax.Session(model, canvases=[(64, 96)])
    session.add("photo", image)
    session.click("photo", 32, 8, 0)
    session.click("photo", 32, 88, 1)
    mask = session.mask("photo")
    assert (mask[:, 64:] == 1).mean() > 0.9 and (mask[:, :32] == 0).mean() > 0.9


def test_positions_are_found_on_a_blank_image_and_left_out(weights):
    model = guided_jax.in_context("dinov3-tiny", weights, positional=5)
    directions = model.params["neck"]["directions"]
    np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-5)

    def encoded(loaded):
        image, size = np.zeros((1, 48, 80, 3), np.uint8), np.array([[48, 80]], np.int32)
        encode = partial(loaded.model.apply, canvas=(48, 80), method="encode")
        return np.asarray(jax.jit(encode)({"params": loaded.params}, image, size=size))

    features = encoded(model)
    assert features.shape == (1, 3, 5, 16)
    np.testing.assert_allclose(features.reshape(15, 16) @ directions, 0, atol=1e-5)
    plain = guided_jax.in_context("dinov3-tiny", weights)
    assert place_directions(plain.model, plain.params) is plain.params
    whole = encoded(plain).reshape(15, 16)
    # A blank image shows nothing but positions: without them its patches are more alike.
    alike = [np.mean(each @ each.T) for each in (features.reshape(15, 16), whole)]
    assert alike[0] > alike[1]


def test_what_is_refused(weights):
    with pytest.raises(ValueError, match="backbone 'dinov4' is not one of vgg16, "):
        guided_jax.in_context("dinov4", weights)
    with pytest.raises(ValueError, match=r"model\.clusters=99: from 0"):
        guided_jax.in_context("dinov3-tiny", weights, clusters=99)
    with pytest.raises(WeightsError, match="this file holds a dinov3-tiny"):
        guided_jax.in_context("dinov3-s", weights)


def test_the_stride_is_the_backbones_usual_one():
    strides = {name: in_context_config(name).stride for name in ("vgg16", "vgg-tiny", "dinov2-s", "dinov3-l")}
    assert strides == {"vgg16": 16, "vgg-tiny": 4, "dinov2-s": 14, "dinov3-l": 16}
