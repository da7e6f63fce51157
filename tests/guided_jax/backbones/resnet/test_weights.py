"""Files of ResNet's weights: what is read, and what is said of a file that holds something else."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.preprocessing import CAFFE, TORCHVISION
from guided_jax.backbones.pretrained import load_into, read_weights
from guided_jax.backbones.resnet.layouts import folded_layers
from guided_jax.backbones.resnet.unit import ResNet
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.weight_downloads import check_weights

TINY = BACKBONES["resnet-tiny"]


def random_state(unit, seed=0):
    """A state dict with torchvision's names."""
    rng, state = np.random.default_rng(seed), {"fc.weight": np.ones((3, 8), np.float32)}
    for fold in folded_layers(unit.blocks, unit.width):
        parts = {f"{fold.conv}.weight": fold.shape}
        parts |= {f"{fold.norm}.{part}": fold.shape[:1] for part in ("weight", "bias", "running_mean", "running_var")}
        state |= {name: rng.random(shape, np.float32) for name, shape in parts.items()}
        state[f"{fold.norm}.num_batches_tracked"] = np.array(7)
    return state


def write(path, state):
    if path.suffix == ".pth":
        torch = pytest.importorskip("torch", reason="writes a .pth file: pip install 'guided_jax[test]'")
        torch.save({"state_dict": {name: torch.from_numpy(value) for name, value in state.items()}, "epoch": 3}, path)
    else:
        save_file(state, path)
    return path


def test_the_normalisation_is_folded_in():
    """By hand: a scale of 2 / sqrt(4) and a mean of 3 in the stem's first channel."""
    state = random_state(TINY)
    norm = {"weight": 2.0, "bias": 0.5, "running_mean": 3.0, "running_var": 4 - 1e-5}
    for part, value in norm.items():
        state[f"bn1.{part}"][0] = value
    layers = TINY.read(state, Path("a file")).layers
    np.testing.assert_allclose(
        layers["conv1"]["kernel"][..., 0], state["conv1.weight"][0].transpose(1, 2, 0), rtol=1e-6
    )
    assert layers["conv1"]["bias"][0] == pytest.approx(0.5 - 3.0)
    assert layers["layer2_0/downsample"]["kernel"].shape == (16, 32)
    assert layers["layer4_0/conv2"]["kernel"].shape == (3, 3, 32, 32)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_goes_into_the_trunk_of_a_model(tmp_path, suffix):
    path = write(tmp_path / f"mine{suffix}", random_state(TINY))
    pretrained = read_weights(path, TINY)
    assert pretrained.preprocessing == TORCHVISION
    sizes = jnp.array([[8, 8]], jnp.int32)
    trunk, geometry = TINY.trunk(jnp.float32), TINY.geometry("taps", 8, 1, "")
    params = {
        name: jax.eval_shape(lambda c=c: trunk.init(jax.random.key(0), jnp.zeros((1, 8, 8, c)), sizes, geometry))[
            "params"
        ]
        for name, c in (("trunk", 3), ("support_trunk", 5))
    }
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), params)
    loaded, report = load_into(params, pretrained)
    assert not report.untouched and not report.unused and "trunk/layer3_0/downsample" in report.loaded
    np.testing.assert_array_equal(
        loaded["trunk"]["layer1_0"]["conv2"]["kernel"], pretrained.layers["layer1_0/conv2"]["kernel"]
    )
    kernel = loaded["support_trunk"]["conv1"]["kernel"]  # early fusion: further channels start as the image's mean
    np.testing.assert_array_equal(kernel[:, :, :3], pretrained.layers["conv1"]["kernel"])
    np.testing.assert_allclose(kernel[:, :, 4], pretrained.layers["conv1"]["kernel"].mean(2), rtol=1e-6)


def test_a_preprocessing_of_ones_own_is_taken(tmp_path):
    path = write(tmp_path / "mine.safetensors", random_state(TINY))
    assert read_weights(path, TINY, preprocessing=CAFFE).preprocessing == CAFFE


def without(*names):
    return lambda state: {name: value for name, value in state.items() if name not in names}


def renamed(old, new):
    return lambda state: {name.replace(old, new): value for name, value in state.items()}


def with_arrays(**arrays):
    """Names have two underscores for each point."""
    return lambda state: {**state, **{name.replace("__", "."): value for name, value in arrays.items()}}


OTHERS = {
    r"missing: layer2\.0\.bn3\.bias$": without("layer2.0.bn3.bias"),
    r"not of resnet-tiny: layer1\.0\.se\.fc1\.weight$": with_arrays(layer1__0__se__fc1__weight=np.ones(2, np.float32)),
    r"is \(4, 2, 3, 3\), .*'s is \(4, 4": with_arrays(layer1__0__conv2__weight=np.ones((4, 2, 3, 3), np.float32)),
    "bn1.running_var holds negative variances": with_arrays(bn1__running_var=-np.ones(4, np.float32)),
    "bn1.bias is of int64; floating point was expected": with_arrays(bn1__bias=np.ones(4, np.int64)),
    "a ResNet of 1, 1, 2, 1 blocks .* of 1, 1, 1, 1$": with_arrays(layer3__1__conv1__weight=np.ones(2, np.float32)),
    "of basic blocks .as ResNet-18 and -34 are., not": without(*(f"layer{n}.0.conv3.weight" for n in (1, 2, 3, 4))),
    "no layer of resnet-tiny in it; its names are like": renamed("layer", "stage"),
}


@pytest.mark.parametrize("message", OTHERS)
def test_what_is_no_such_resnet_is_told(tmp_path, message):
    path = write(tmp_path / "other.safetensors", OTHERS[message](random_state(TINY)))
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(path, TINY)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_depth_is_named(tmp_path, monkeypatch):
    """Narrow twins of the published ones, so that their files are small."""
    for name, title, blocks in (("resnet50", "ResNet-50", (1, 2, 1, 1)), ("resnet101", "ResNet-101", (1, 2, 2, 1))):
        monkeypatch.setitem(BACKBONES, name, ResNet(name, title, blocks, width=2))
    larger = write(tmp_path / "r101.pth", random_state(BACKBONES["resnet101"]))
    with pytest.raises(
        WeightsError, match=r"holds a ResNet-101 \(torchvision\); the configuration asks for resnet50: "
    ):
        read_weights(larger, BACKBONES["resnet50"])


def test_published_weights_of_another_backbone_are_refused_by_name():
    with pytest.raises(
        WeightsError, match=r"^vgg16: is Oxford's VGG-16.*; model\.backbone=resnet101: .*resnet101 down"
    ):
        check_weights("vgg16", BACKBONES["resnet101"])
    check_weights("resnet101-v2", BACKBONES["resnet101"])
