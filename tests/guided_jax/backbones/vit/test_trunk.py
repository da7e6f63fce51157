from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from guided_jax.backbones.vit.architecture import VITS
from guided_jax.backbones.vit.geometry import ViTGeometry
from guided_jax.backbones.vit.layouts import to_trunk
from guided_jax.backbones.vit.trunk import Trunk, to_patches
from tests.guided_jax.backbones.vit.published import arrays_of, make_hf, make_timm, patches_of

TINY = ("dinov2-tiny", "dinov2-tiny-registers", "dinov3-tiny")


@cache
def hf(name):
    return make_hf(name)


@cache
def weights(name):
    return to_trunk(arrays_of(hf(name)), Path("some.safetensors"), VITS[name])


@partial(jax.jit, static_argnums=(0, 1), static_argnames=("dtype", "remat"))
def encode(name, blocks, params, image, size, dtype="float32", remat=False):
    trunk, geometry = Trunk(VITS[name], remat, jnp.dtype(dtype)), geometry_of(name, blocks)
    return trunk.apply({"params": params}, image, size, geometry)


def geometry_of(name, blocks):
    return ViTGeometry(VITS[name].patch, 1, VITS[name].depth, blocks)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def padded(image, patch):
    """The image as published code needs it: its sides multiples of the patch, zeros beyond."""
    return np.pad(image, ((0, 0), (0, -image.shape[1] % patch), (0, -image.shape[2] % patch), (0, 0)))


@pytest.mark.parametrize("size", [(70, 70), (45, 83), (130, 99), (5, 17)])
@pytest.mark.parametrize("name", TINY)
def test_features_are_those_of_transformers(name, size):
    a, image = VITS[name], draw(1, *size, 3)
    ours = encode(name, (1, 2), weights(name), image, jnp.array([size], jnp.int32))
    for mine, theirs in zip(ours, patches_of(hf(name), padded(image, a.patch), a, (1, 2)), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=5e-6)


@pytest.mark.parametrize("name", TINY)
def test_features_are_those_of_timm(name):
    """timm always antialiases; on the grid that was learned nothing is resized."""
    a, model = VITS[name], make_timm(name)
    size = (70, 70) if a.learned and not a.antialias else (51, 99)
    image = draw(1, *size, 3)
    params = to_trunk(arrays_of(model), Path("some.safetensors"), a)
    ours = encode(name, (1, 2), params, image, jnp.array([size], jnp.int32))
    for mine, theirs in zip(ours, patches_of(model, padded(image, a.patch), a, (1, 2)), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=5e-6)


@pytest.mark.parametrize(("name", "make"), [("dinov2-s-registers", make_hf), ("dinov3-s", make_timm)])
def test_full_size(name, make):
    a, model, image = VITS[name], make(name), draw(1, 75, 101, 3)
    params = to_trunk(arrays_of(model), Path("some.safetensors"), a)
    (ours,) = encode(name, (a.depth,), params, image, jnp.array([[75, 101]], jnp.int32))
    (theirs,) = patches_of(model, padded(image, a.patch), a, (a.depth,))
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", TINY)
def test_padding_never_changes_a_result(name):
    sizes = np.array([(45, 83), (70, 31)], np.int32)
    canvas = np.full((2, 90, 100, 3), 9.0, np.float32)  # what lies on the padding does not matter
    images = [draw(1, *size, 3, seed=i) for i, size in enumerate(sizes)]
    for row, image in zip(canvas, images, strict=True):
        row[: image.shape[1], : image.shape[2]] = image[0]
    (together,) = jax.device_get(encode(name, (2,), weights(name), canvas, sizes))
    for i, (size, image) in enumerate(zip(sizes, images, strict=True)):
        (alone,) = jax.device_get(encode(name, (2,), weights(name), image, size[None]))
        rows, columns = alone.shape[1:3]
        np.testing.assert_allclose(together[i, :rows, :columns], alone[0], atol=5e-6)
        assert not together[i, rows:].any() and not together[i, :, columns:].any()


def test_blocks_behind_the_last_asked_for_do_not_exist():
    image, size = np.zeros((1, 16, 16, 3), np.float32), np.array([[16, 16]], np.int32)
    init = partial(Trunk(VITS["dinov3-tiny"]).init, geometry=geometry_of("dinov3-tiny", (1,)))
    params = jax.eval_shape(init, jax.random.key(0), image, size)["params"]
    assert sorted(params) == ["block1", "class_token", "norm", "patches", "registers"]
    assert "bias" not in params["block1"]["key"] and "bias" in params["block1"]["query"]


def test_bfloat16_is_near():
    image, size = draw(1, 48, 64, 3), jnp.array([[48, 64]], jnp.int32)
    (exact,) = encode("dinov3-tiny", (2,), weights("dinov3-tiny"), image, size)
    (half,) = encode("dinov3-tiny", (2,), weights("dinov3-tiny"), image, size, dtype="bfloat16")
    assert half.dtype == jnp.bfloat16
    assert 0 < np.abs(half.astype(np.float32) - exact).max() < 0.1


def loss(name, params, image, size, remat=False):
    (maps,) = encode(name, (2,), params, image, size, remat=remat)
    return jnp.mean(jnp.sin(maps))


@pytest.mark.parametrize("name", TINY)
def test_gradients_are_finite_and_rematerialised_ones_the_same(name):
    image, size = draw(2, 45, 83, 3), jnp.array([[45, 83], [20, 14]], jnp.int32)
    plain = jax.grad(partial(loss, name))(weights(name), image, size)
    again = jax.grad(partial(loss, name, remat=True))(weights(name), image, size)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        assert np.isfinite(one).all() and np.abs(one).max() > 0
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_several_devices_give_what_one_gives():
    image, sizes = draw(2, 48, 64, 3), np.array([(48, 64), (33, 20)], np.int32)
    params, one = weights("dinov3-tiny"), partial(loss, "dinov3-tiny")
    both = [jax.grad(one)(params, image[i : i + 1], sizes[i : i + 1]) for i in range(2)]
    spread = jax.pmap(jax.grad(one), in_axes=(None, 0, 0))(params, image[:, None], sizes[:, None])
    shared = NamedSharding(Mesh(jax.devices()[:2], "data"), PartitionSpec("data"))
    (apart,) = encode("dinov3-tiny", (2,), params, jax.device_put(image, shared), jax.device_put(sizes, shared))
    (alone,) = encode("dinov3-tiny", (2,), params, image, sizes)
    np.testing.assert_allclose(apart, alone, atol=1e-6)
    for i in range(2):
        for mine, theirs in zip(jax.tree.leaves(spread), jax.tree.leaves(both[i]), strict=True):
            np.testing.assert_allclose(mine[i], theirs, atol=1e-6)


def test_a_patch_lists_its_pixels_by_row_column_and_channel():
    image = np.arange(3 * 5 * 2, dtype=np.float32).reshape(1, 3, 5, 2)
    patches = to_patches(jnp.asarray(image), 2)
    assert patches.shape == (1, 2, 3, 8)
    np.testing.assert_array_equal(patches[0, 0, 0], [0, 1, 2, 3, 10, 11, 12, 13])
    np.testing.assert_array_equal(patches[0, 1, 2], [28, 29, 0, 0, 0, 0, 0, 0])  # the corner, completed by zeros
