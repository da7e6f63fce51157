"""ResNet's maps: those of torchvision's and timm's graphs, whatever the canvas, and gradients through them."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from guided_jax.backbones.resnet.geometry import ResNetGeometry
from guided_jax.backbones.resnet.unit import ResNet
from guided_jax.backbones.table import BACKBONES
from tests.guided_jax.backbones.resnet.torch_resnets import TINY, layers_of, random_resnet, randomise, state_of
from tests.guided_jax.backbones.torch_operators import name_operators

SMALL = ResNet("small", "small", TINY)


def params_of(unit, network):
    """The parameters of the trunk, from the state dict."""
    layers = unit.read(state_of(network), Path("a file")).layers
    return unflatten_dict(
        {tuple(f"{layer}/{part}".split("/")): v for layer, p in layers.items() for part, v in p.items()}
    )


@partial(jax.jit, static_argnames=("unit", "geometry", "dtype"))
def compiled(params, images, sizes, *, unit, geometry, dtype):
    return unit.trunk(dtype).apply({"params": params}, images, sizes, geometry)


def encode(params, images, sizes, *, unit, geometry, dtype="float32"):
    """The maps as NumPy's: JAX would compile a program for each part of them that is looked at."""
    return jax.device_get(compiled(params, images, sizes, unit=unit, geometry=geometry, dtype=dtype))


def picture(size, seed=0, canvas=None, fill=0.0):
    image = np.random.default_rng(seed).standard_normal((*size, 3), np.float32)
    laid = np.full((*(canvas or size), 3), fill, np.float32)
    laid[: size[0], : size[1]] = image
    return image, laid[None], np.array([size], np.int32)


def assert_close(found, expected, tolerance=1e-5):
    """To float32 rounding of the greatest value."""
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


GRIDS = {
    ResNetGeometry("taps", 4, 1): (False, False, False),
    ResNetGeometry("dilated", 16, 1, (3, 4)): (False, False, True),
    ResNetGeometry("dilated", 8, 1, (2, 3, 4)): (False, True, True),
}
"""With torchvision's `replace_stride_with_dilation`."""


@pytest.mark.parametrize("geometry", GRIDS, ids=lambda geometry: geometry.key())
@pytest.mark.parametrize("size", [(33, 50), (64, 31), (1, 5)])
def test_maps_are_those_of_torchvision(geometry, size):
    network = random_resnet((1, 2, 2, 2), GRIDS[geometry])
    unit = ResNet("small", "small", (1, 2, 2, 2))
    image, laid, sizes = picture(size)
    found = encode(params_of(unit, network), laid, sizes, unit=unit, geometry=geometry)
    expected = layers_of(network, image)
    assert len(found) == len(geometry.taps)
    for tap, one, rows, columns in zip(geometry.taps, found, *map(geometry.tap_sizes, size), strict=True):
        assert one.shape[1:3] == (rows, columns)
        assert_close(one[0], expected[tap.number - 1])


@pytest.mark.parametrize(("name", "grid"), [("resnet50", "dilated"), ("resnet101", "taps")])
def test_maps_of_full_size(name, grid):
    """As deep and as wide as published; rounding grows with the depth."""
    unit = BACKBONES[name]
    geometry = unit.geometry(grid, 8, 1, "2,3,4")
    network = random_resnet(unit.blocks, (False, True, True) if grid == "dilated" else (False,) * 3)
    image, laid, sizes = picture((75, 58))
    found = encode(params_of(unit, network), laid, sizes, unit=unit, geometry=geometry)
    assert tuple(each.shape[-1] for each in found) == unit.channels(geometry) == (512, 1024, 2048)
    for one, expected in zip(found, layers_of(network, image)[1:], strict=True):
        assert_close(one[0], expected, 5e-5)


def test_timms_resnet_has_the_same_names_and_the_same_maps(tmp_path):
    torch = pytest.importorskip("torch", reason="the independent graph: pip install 'guided_jax[test]'")
    name_operators()
    timm = pytest.importorskip("timm", reason="the same")
    network = timm.create_model("resnet50", pretrained=False)
    randomise(network, torch.Generator().manual_seed(1))
    unit = BACKBONES["resnet50"]
    image, laid, sizes = picture((40, 47))
    found = encode(params_of(unit, network.eval()), laid, sizes, unit=unit, geometry=unit.geometry("taps", 16, 1, ""))
    with torch.no_grad():
        expected = network.forward_features(torch.from_numpy(np.moveaxis(image, -1, 0)[None].copy()))
    assert_close(found[-1][0], np.moveaxis(expected[0].numpy(), 0, -1), 5e-5)


@pytest.mark.parametrize("geometry", GRIDS, ids=lambda geometry: geometry.key())
def test_the_canvas_and_what_lies_on_it_change_nothing(geometry):
    params, size = params_of(SMALL, random_resnet()), (33, 50)
    _, alone, sizes = picture(size)
    expected = encode(params, alone, sizes, unit=SMALL, geometry=geometry)
    for canvas, fill in (((64, 72), 0.0), ((64, 72), 9.0), ((53, 51), -9.0)):
        found = encode(params, picture(size, canvas=canvas, fill=fill)[1], sizes, unit=SMALL, geometry=geometry)
        for one, other in zip(found, expected, strict=True):
            rows, columns = other.shape[1:3]
            assert_close(one[0, :rows, :columns], other[0])
            assert not one[0, rows:].any() and not one[0, :, columns:].any()


def test_a_cell_is_centred_on_its_pixel():
    """Where all weights are positive, every row that a cell sees raises it: they lie symmetrically about its centre."""
    unit = ResNet("narrow", "narrow", TINY, width=1)
    geometry = unit.geometry("taps", 4, 1, "")
    rows = 161
    images = np.ones((rows, rows, 9, 3), np.float32) + np.eye(rows, dtype=np.float32)[:, :, None, None]
    sizes = np.tile(np.array([[rows, 9]], np.int32), (rows, 1))
    trunk = unit.trunk(jnp.float32)
    init = jax.jit(trunk.init, static_argnums=3)
    shapes = jax.eval_shape(init, jax.random.key(0), images[:1], sizes[:1], geometry)["params"]
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, np.float32), shapes)
    maps = encode(params, images, sizes, unit=unit, geometry=geometry)
    flat = encode(params, np.ones((1, rows, 9, 3), np.float32), sizes[:1], unit=unit, geometry=geometry)
    for tap, one, plain, cell, reach in zip(geometry.taps, maps, flat, (18, 9, 5, 2), (9, 13, 21, 37), strict=True):
        sees = np.flatnonzero(one[:, cell, 0, 0] > plain[0, cell, 0, 0] * (1 + 1e-6))
        centre = tap.centres(rows)[cell]
        assert (sees.min(), sees.max()) == (centre - reach, centre + reach)


def test_gradients_are_finite_also_at_the_start():
    geometry = SMALL.geometry("taps", 8, 1, "")
    _, laid, sizes = jax.device_put(picture((30, 41), canvas=(32, 48)))
    trunk = SMALL.trunk(jnp.float32)
    start = jax.jit(trunk.init, static_argnums=3)(jax.random.key(0), laid, sizes, geometry)["params"]

    def loss(params):
        return sum(jnp.mean(maps**2) for maps in trunk.apply({"params": params}, laid, sizes, geometry))

    for params in (start, params_of(SMALL, random_resnet())):
        value, gradients = jax.jit(jax.value_and_grad(loss))(params)
        assert 0 < value < 1e4
        flat = flatten_dict(gradients, sep="/")
        assert all(np.isfinite(each).all() for each in flat.values())
        assert flat["conv1/kernel"].any() and flat["layer4_0/conv3/kernel"].any()


def test_half_precision_is_about_the_same():
    params, geometry = params_of(SMALL, random_resnet()), SMALL.geometry("dilated", 8, 1, "")
    _, laid, sizes = picture((40, 33))
    (exact,) = encode(params, laid, sizes, unit=SMALL, geometry=geometry)
    (half,) = encode(params, laid, sizes, unit=SMALL, geometry=geometry, dtype="bfloat16")
    assert half.dtype == jnp.bfloat16
    assert_close(half.astype(np.float32), exact, 0.05)
