"""Convolutions of large maps: their values and gradients are those of XLA's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.layers.convolution import convolve

CASES = {
    "as VGG's": {"padding": 1},
    "rows that fill no band": {"padding": 1, "side": (70, 66)},
    "padding beyond the kernel, as the exact grid's": {"padding": 9},
    "no padding, dilated": {"padding": 0, "kernel_dilation": 2},
    "unlike sides": {"padding": ((0, 2), (3, 1)), "kernel_dilation": (1, 3)},
    "one channel, another kernel": {"padding": ((1, 1), (2, 2)), "kernel_size": (3, 5), "channels": 1},
}


def make_layers(side=(64, 64), channels=3, kernel_size=(3, 3), **options):
    rng = np.random.default_rng(0)
    maps = jnp.asarray(rng.normal(size=(2, *side, channels)).astype(np.float32))
    plain = nn.Conv(4, kernel_size, **options)
    return plain, plain.clone(conv_general_dilated=convolve), plain.init(jax.random.key(0), maps), maps


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_values_and_gradients_are_those_of_a_plain_layer(options):
    plain, ours, params, maps = make_layers(**options)
    found, expected = (jax.jit(layer.apply)(params, maps) for layer in (ours, plain))
    np.testing.assert_array_equal(found, expected)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=found.shape).astype(np.float32))

    def gradients(layer):
        return jax.jit(jax.grad(lambda params, maps: (weights * layer.apply(params, maps)).sum(), (0, 1)))(params, maps)

    assert np.abs(gradients(ours)[0]["params"]["kernel"]).max() > 10
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3),
        gradients(ours),
        gradients(plain),
    )


def test_the_gradient_of_the_kernel_is_a_sum_over_the_episodes_of_a_batch():
    _, ours, params, maps = make_layers(padding=1)
    gradient = jax.jit(jax.grad(lambda params, maps: jnp.square(ours.apply(params, maps)).sum()))
    whole, parts = gradient(params, maps), [gradient(params, each[None]) for each in maps]
    jax.tree.map(lambda one, *others: np.testing.assert_allclose(one, sum(others), rtol=1e-4, atol=1e-2), whole, *parts)


def test_bfloat16_is_summed_in_float32():
    """4,096 products of 1 and 1: a bfloat16 would stay at 256."""
    maps, layer = (
        jnp.ones((1, 64, 64, 1), jnp.bfloat16),
        nn.Conv(1, (1, 1), padding=0, use_bias=False, dtype=jnp.bfloat16, conv_general_dilated=convolve),
    )
    params = layer.init(jax.random.key(0), maps)
    gradient = jax.grad(lambda params: layer.apply(params, maps).astype(jnp.float32).sum())(params)
    assert float(gradient["params"]["kernel"][0, 0, 0, 0]) == 4096


def test_strides_groups_dilated_and_small_maps_are_left_to_xla():
    large = [{"strides": 2, "padding": 1}, {}, {"padding": 1, "input_dilation": 2}]
    large.append({"padding": 1, "channels": 4, "feature_group_count": 2})
    for side, options in [((63, 64), {"padding": 1}), *(((64, 64), each) for each in large)]:
        _, ours, params, maps = make_layers(side, **options)
        assert "custom_vjp" not in str(jax.make_jaxpr(ours.apply)(params, maps))
    _, ours, params, maps = make_layers(padding=1)
    assert "custom_vjp" in str(jax.make_jaxpr(ours.apply)(params, maps))
