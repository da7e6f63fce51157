"""Pretrained weights in the layers of a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.backbones.pretrained import Pretrained, load_into
from guided_jax.backbones.weight_files import WeightsError
from tests.guided_jax.backbones.small_weights import CONVS, LAYERS, SMALL, check_layers, only_convs

WIDTH = SMALL["fc7"][-1]


def make_pretrained(layers=LAYERS) -> Pretrained:
    return Pretrained(layers, CAFFE, "0" * 64, "a file", "conv1_1")


def make_layer(shape, dtype=jnp.float32):
    return jax.device_put({"kernel": np.zeros(shape, dtype), "bias": np.zeros(shape[-1:], dtype)})


def make_trunk(inputs=3, dtype=jnp.float32):
    return {conv: make_layer((3, 3, inputs, 4) if conv == "conv1_1" else SMALL[conv], dtype) for conv in CONVS}


def make_params(fc6=SMALL["fc6"], fc7=(2 * WIDTH, 2 * WIDTH), inputs=3, dtype=jnp.float32):
    """A guided network: fc7 of its head reads the query's features and the guidance's."""
    return {
        "trunk": make_trunk(inputs, dtype),
        "neck": {"fc6": make_layer(fc6, dtype), "tap3": {"kernel": jnp.zeros((1, 1, 6, WIDTH), dtype)}},
        "head": {"fc7": make_layer(fc7, dtype)},
    }


def test_place_fills_trunk_and_fitting_fc6_and_leaves_the_rest():
    params = make_params()
    loaded, report = load_into(params, make_pretrained())
    check_layers(loaded["trunk"], only_convs(LAYERS))
    check_layers({"fc6": loaded["neck"]["fc6"]}, {"fc6": LAYERS["fc6"]})
    assert report.loaded == (*(f"trunk/{conv}" for conv in CONVS), "neck/fc6")
    assert report.untouched == ("neck/tap3", "head/fc7")
    assert report.unused == ("fc7",)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    assert loaded["head"]["fc7"]["kernel"] is params["head"]["fc7"]["kernel"]
    assert not params["trunk"]["conv1_1"]["kernel"].any(), "the parameters given are not changed"


def test_place_leaves_an_fc6_of_another_width():
    loaded, report = load_into(make_params(fc6=(7, 7, 8, 5)), make_pretrained())
    assert not loaded["neck"]["fc6"]["kernel"].any()
    assert report.untouched == ("neck/fc6", "neck/tap3", "head/fc7")
    assert report.unused == ("fc6", "fc7")


def test_place_with_convolutions_only_and_a_shorter_trunk():
    params = make_params()
    for conv in ("conv5_1", "conv5_2", "conv5_3"):
        del params["trunk"][conv]
    loaded, report = load_into(params, make_pretrained(only_convs(LAYERS)))
    assert list(loaded["trunk"]) == CONVS[:-3]
    assert report.unused == ("conv5_1", "conv5_2", "conv5_3")


def test_place_without_a_neck():
    loaded, report = load_into({"trunk": make_trunk(), "head": {"score": make_layer((8, 2))}}, make_pretrained())
    check_layers(loaded["trunk"], only_convs(LAYERS))
    assert report.untouched == ("head/score",)
    assert report.unused == ("fc6", "fc7")


def test_place_below_a_collection_and_in_the_models_dtype():
    params = {"params": make_params(fc7=(WIDTH, WIDTH), inputs=5, dtype=jnp.bfloat16)}
    loaded, report = load_into(params, make_pretrained())
    kernel = loaded["params"]["trunk"]["conv1_1"]["kernel"]
    assert kernel.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(kernel[:, :, :3]), LAYERS["conv1_1"]["kernel"].astype(jnp.bfloat16))
    assert report.loaded[0] == "params/trunk/conv1_1"
    assert report.loaded[-1] == "params/head/fc7"


# Early fusion.


@pytest.mark.parametrize("way", [2, 3])
def test_further_input_channels_get_the_mean_of_the_three(way):
    loaded, report = load_into(make_params(inputs=3 + way), make_pretrained())
    kernel, ours = LAYERS["conv1_1"]["kernel"], np.asarray(loaded["trunk"]["conv1_1"]["kernel"])
    assert ours.shape == (3, 3, 3 + way, 4)
    np.testing.assert_array_equal(ours[:, :, :3], kernel)
    mean = (kernel[:, :, 0] + kernel[:, :, 1] + kernel[:, :, 2]) / 3
    for channel in range(3, 3 + way):
        np.testing.assert_allclose(ours[:, :, channel], mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(loaded["trunk"]["conv1_1"]["bias"], LAYERS["conv1_1"]["bias"])
    assert LAYERS["conv1_1"]["kernel"].shape == (3, 3, 3, 4), "the weights given are not changed"
    assert "trunk/conv1_1" in report.loaded


def test_the_supports_own_encoder_is_filled_too():
    support = make_params(inputs=5)
    params = {**make_params(), "support_trunk": support["trunk"], "support_neck": support["neck"]}
    loaded, report = load_into(params, make_pretrained())
    check_layers(loaded["trunk"], only_convs(LAYERS))
    later = [conv for conv in CONVS if conv != "conv1_1"]
    check_layers({c: loaded["support_trunk"][c] for c in later}, {c: LAYERS[c] for c in later})
    np.testing.assert_array_equal(loaded["support_trunk"]["conv1_1"]["kernel"][:, :, :3], LAYERS["conv1_1"]["kernel"])
    assert loaded["support_trunk"]["conv1_1"]["kernel"].shape == (3, 3, 5, 4)
    check_layers({"fc6": loaded["support_neck"]["fc6"]}, {"fc6": LAYERS["fc6"]})
    assert {"trunk/conv1_1", "support_trunk/conv1_1", "neck/fc6", "support_neck/fc6"} <= set(report.loaded)
    assert report.untouched == ("neck/tap3", "head/fc7", "support_neck/tap3")


# fc7.


def test_fc7_of_the_same_width_is_taken_as_a_matrix():
    loaded, report = load_into(make_params(fc7=(WIDTH, WIDTH)), make_pretrained())
    np.testing.assert_array_equal(loaded["head"]["fc7"]["kernel"], LAYERS["fc7"]["kernel"].reshape(WIDTH, WIDTH))
    np.testing.assert_array_equal(loaded["head"]["fc7"]["bias"], LAYERS["fc7"]["bias"])
    assert report.loaded[-1] == "head/fc7"
    assert report.unused == ()


def test_fc7_stays_where_it_does_not_follow_the_files_fc6():
    # A guided head on features half as wide has a fc7 of the same shape, but of the query and the guidance.
    loaded, report = load_into(make_params(fc6=(7, 7, 8, 5), fc7=(WIDTH, WIDTH)), make_pretrained())
    assert not loaded["head"]["fc7"]["kernel"].any()
    assert report.unused == ("fc6", "fc7")


def test_fc7_stays_where_the_file_has_none():
    layers = {layer: parts for layer, parts in LAYERS.items() if layer != "fc7"}
    loaded, report = load_into(make_params(fc7=(WIDTH, WIDTH)), make_pretrained(layers))
    assert not loaded["head"]["fc7"]["kernel"].any()
    assert "head/fc7" in report.untouched
    assert report.unused == ()


# What does not fit.


def test_place_names_layers_of_the_trunks_that_the_file_lacks_once():
    layers = {layer: parts for layer, parts in LAYERS.items() if layer not in ("conv1_1", "conv4_2")}
    with pytest.raises(WeightsError, match=r"a file: does not have the trunk's conv1_1, conv4_2$"):
        load_into({**make_params(), "support_trunk": make_trunk(5)}, make_pretrained(layers))


@pytest.mark.parametrize("shape", [(3, 3, 3, 2), (3, 3, 5, 2), (3, 3, 2, 4)])
def test_place_refuses_a_trunk_of_other_widths_with_both_shapes(shape):
    params = make_params()
    params["trunk"]["conv1_1"]["kernel"] = jnp.zeros(shape, jnp.float32)
    message = rf"trunk/conv1_1/kernel is \({', '.join(map(str, shape))}\) in the model and \(3, 3, 3, 4\) in a file"
    with pytest.raises(WeightsError, match=message):
        load_into(params, make_pretrained())


def test_further_input_channels_are_of_the_first_convolution_only():
    params = make_params()
    params["trunk"]["conv1_2"]["kernel"] = jnp.zeros((3, 3, 6, 4), jnp.float32)
    with pytest.raises(WeightsError, match=r"trunk/conv1_2/kernel is \(3, 3, 6, 4\) .* \(3, 3, 4, 4\) in a file"):
        load_into(params, make_pretrained())


def test_place_refuses_a_model_without_trunk():
    with pytest.raises(WeightsError, match="no 'trunk' to put weights into; its parts are neck, head"):
        load_into({part: tree for part, tree in make_params().items() if part != "trunk"}, make_pretrained())
