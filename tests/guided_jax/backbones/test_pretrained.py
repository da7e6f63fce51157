import hashlib
import json
import sys
from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from guided_jax.backbones import known_weights
from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.known_file import KnownFile, checksum
from guided_jax.backbones.preprocessing import CAFFE, CAFFE_ILSVRC, KERAS, TORCHVISION
from guided_jax.backbones.pretrained import METADATA_KEY, read_weights
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.vgg.layouts import VGG16
from tests.guided_jax.backbones.small_weights import CONVS, LAYERS, SMALL_VGG, check_layers, only_convs, write_weights

TORCH_INDEX = dict(zip(CONVS, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True))


def own_names(layers) -> dict[str, np.ndarray]:
    return {f"{layer}/{part}": value for layer, parts in layers.items() for part, value in parts.items()}


def torch_names(layers, fc=("classifier.0", "classifier.3"), dense=True) -> dict[str, np.ndarray]:
    """torchvision's state dict: OIHW; fc6 and fc7 dense, of features flattened channel first."""
    modules = {**{conv: f"features.{i}" for conv, i in TORCH_INDEX.items()}, "fc6": fc[0], "fc7": fc[1]}
    state = {}
    for layer, parts in layers.items():
        weight = np.ascontiguousarray(np.moveaxis(parts["kernel"], (3, 2), (0, 1)))
        if layer.startswith("fc") and dense:
            weight = weight.reshape(len(weight), -1)
        state[f"{modules[layer]}.weight"], state[f"{modules[layer]}.bias"] = weight, parts["bias"]
    return state


def keras_names(layers, *, old) -> dict[str, np.ndarray]:
    """Keras's arrays by path: HWIO; fc1 and fc2 dense, of features flattened channel last."""
    arrays = {}
    for layer, parts in layers.items():
        group = {"fc6": "fc1", "fc7": "fc2"}.get(layer) or f"block{layer[4]}_conv{layer[6]}"
        kernel = parts["kernel"].reshape(-1, parts["kernel"].shape[-1]) if group in ("fc1", "fc2") else parts["kernel"]
        names = (f"{group}_W_1:0", f"{group}_b_1:0") if old else (f"{group}/kernel:0", f"{group}/bias:0")
        arrays |= {f"{group}/{names[0]}": kernel, f"{group}/{names[1]}": parts["bias"]}
    return arrays


def write_h5(path, arrays, root="/"):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file.create_dataset(f"{root}/{name}", data=value)
        file.create_group(f"{root}/block1_pool")
    return path


def write_pth(path, state, **options):
    torch = pytest.importorskip("torch", reason="writes a .pth file: pip install 'guided_jax[test]'")
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, path, **options)
    return path


def write_npz(path, arrays):
    np.savez(path, **arrays)
    return path


# Layouts.


@pytest.mark.parametrize("keep", [only_convs, dict], ids=["notop", "full"])
@pytest.mark.parametrize(("old", "root"), [(True, "/"), (False, "/"), (False, "model_weights")])
def test_keras_h5(tmp_path, keep, old, root):
    layers = keep(LAYERS)
    top = {"predictions/predictions_W_1:0": np.ones((9, 3), np.float32)} if "fc6" in layers else {}
    path = write_h5(tmp_path / "vgg16.h5", {**keras_names(layers, old=old), **top}, root)
    weights = read_weights(path, backbone=SMALL_VGG)
    check_layers(weights.layers, layers)
    assert weights.preprocessing == KERAS


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("fc", [("classifier.0", "classifier.3"), ("classifier.1", "classifier.4")])
def test_pth_of_torchvision_and_of_caffe(tmp_path, fc, zipped):
    state = {**torch_names(LAYERS, fc), "classifier.6.weight": np.ones((3, 9), np.float32)}
    path = write_pth(tmp_path / "vgg16.pth", state, _use_new_zipfile_serialization=zipped)
    for name, expected in (("torchvision", TORCHVISION), ("caffe", CAFFE)):
        weights = read_weights(path, preprocessing=name, backbone=SMALL_VGG)
        check_layers(weights.layers, LAYERS)
        assert weights.preprocessing == expected


def test_pth_without_classifier(tmp_path):
    path = write_pth(tmp_path / "features.pth", torch_names(only_convs(LAYERS)))
    check_layers(read_weights(path, preprocessing=CAFFE, backbone=SMALL_VGG).layers, only_convs(LAYERS))


def test_safetensors_of_timm(tmp_path):
    state = torch_names(LAYERS, ("pre_logits.fc1", "pre_logits.fc2"), dense=False)
    path = tmp_path / "model.safetensors"
    save_file({**state, "head.fc.weight": np.ones((3, 9), np.float32)}, path, metadata={"format": "pt"})
    weights = read_weights(path, preprocessing="torchvision", backbone=SMALL_VGG)
    check_layers(weights.layers, LAYERS)
    assert weights.preprocessing == TORCHVISION


def test_npz_in_float16(tmp_path):
    half = {layer: {part: v.astype(np.float16) for part, v in parts.items()} for layer, parts in LAYERS.items()}
    path = write_npz(tmp_path / "mine.npz", own_names(half))
    weights = read_weights(str(path), preprocessing=CAFFE, backbone=SMALL_VGG)
    check_layers(weights.layers, half)
    assert weights.source == "mine.npz"
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_vgg16s_own_shapes_are_the_default(tmp_path):
    layers = {
        layer: {"kernel": np.full(shape, i, np.float16), "bias": np.full(shape[-1:], -i, np.float16)}
        for i, (layer, shape) in enumerate(only_convs(VGG16).items())
    }
    assert VGG16["conv5_3"] == (3, 3, 512, 512)
    assert VGG16["fc6"] == (7, 7, 512, 4096)
    path = write_npz(tmp_path / "v.npz", own_names(layers))
    weights = read_weights(path, preprocessing=CAFFE, backbone=BACKBONES["vgg16"])
    check_layers(weights.layers, layers)


@pytest.mark.parametrize("kind", ["torch", "keras"])
def test_fc6_as_a_convolution_is_the_dense_layer_on_flattened_features(tmp_path, kind):
    rng = np.random.default_rng(1)
    features = rng.standard_normal((7, 7, 8), np.float32)
    dense, bias = rng.standard_normal((7 * 7 * 8, 9), np.float32), rng.standard_normal(9, np.float32)
    if kind == "torch":
        arrays = {**torch_names(only_convs(LAYERS)), "classifier.0.weight": dense.T, "classifier.0.bias": bias}
        path = write_pth(tmp_path / "v.pth", {name: np.ascontiguousarray(v) for name, v in arrays.items()})
        expected = features.transpose(2, 0, 1).ravel() @ dense + bias
    else:
        arrays = keras_names(only_convs(LAYERS), old=False)
        path = write_h5(tmp_path / "v.h5", {**arrays, "fc1/fc1/kernel:0": dense, "fc1/fc1/bias:0": bias})
        expected = features.ravel() @ dense + bias
    preprocessing = "torchvision" if kind == "torch" else "keras"
    fc6 = read_weights(path, preprocessing=preprocessing, backbone=SMALL_VGG).layers["fc6"]
    out = jax.lax.conv_general_dilated(
        jnp.asarray(features[None]), fc6["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert out.shape == (1, 1, 1, 9)
    np.testing.assert_allclose(np.asarray(out)[0, 0, 0] + fc6["bias"], expected, rtol=1e-4, atol=1e-4)


# Safetensors of our own: the preprocessing travels.


@pytest.mark.parametrize("preprocessing", [TORCHVISION, CAFFE_ILSVRC])
def test_what_is_written_is_read_with_its_preprocessing(tmp_path, preprocessing):
    write_weights(tmp_path / "own.safetensors", LAYERS, preprocessing)
    weights = read_weights(tmp_path / "own.safetensors", backbone=SMALL_VGG)
    check_layers(weights.layers, LAYERS)
    assert weights.preprocessing == preprocessing


def test_metadata_that_is_no_preprocessing_is_refused(tmp_path):
    path = tmp_path / "own.safetensors"
    save_file(own_names(LAYERS), path, metadata={METADATA_KEY: json.dumps({"mean": 0})})
    with pytest.raises(WeightsError, match=r"its metadata guided_jax\.preprocessing cannot be read: .* fields"):
        read_weights(path, backbone=SMALL_VGG)


# Which preprocessing.


@pytest.mark.parametrize("suffix", [".npz", ".pth", ".safetensors"])
def test_an_unknown_file_asks_for_its_preprocessing(tmp_path, suffix):
    path = tmp_path / f"vgg16{suffix}"
    if suffix == ".npz":
        write_npz(path, own_names(LAYERS))
    elif suffix == ".pth":
        write_pth(path, torch_names(LAYERS))
    else:
        save_file(torch_names(LAYERS), path)
    with pytest.raises(WeightsError, match=r"pass preprocessing='caffe' .* or preprocessing='torchvision'"):
        read_weights(path, backbone=SMALL_VGG)


def test_the_mean_may_be_overridden_but_neither_the_channels_nor_the_deviation(tmp_path):
    path = tmp_path / "own.safetensors"
    write_weights(path, LAYERS, CAFFE)
    assert read_weights(path, preprocessing="caffe-ilsvrc", backbone=SMALL_VGG).preprocessing == CAFFE_ILSVRC
    with pytest.raises(WeightsError, match=r"its weights expect bgr .*, but the preprocessing passed is rgb"):
        read_weights(path, preprocessing="torchvision", backbone=SMALL_VGG)
    with pytest.raises(WeightsError, match=r"its weights expect bgr .*std=1\.0,1\.0,1\.0, but .* std=2\.0,1\.0,1\.0"):
        read_weights(path, preprocessing=replace(CAFFE, std=(2.0, 1.0, 1.0)), backbone=SMALL_VGG)


def publish(monkeypatch, name, algorithm, digest, preprocessing):
    known = KnownFile(name, algorithm, digest, preprocessing, "the published one")
    monkeypatch.setattr(known_weights, "KNOWN_FILES", (known,))


@pytest.mark.parametrize("length", [64, 8])
def test_a_known_file_is_known_by_its_bytes_under_any_name(tmp_path, monkeypatch, length):
    path = write_npz(tmp_path / "renamed.npz", own_names(LAYERS))
    publish(monkeypatch, "vgg.npz", "sha256", checksum(path)[:length], TORCHVISION)
    weights = read_weights(path, backbone=SMALL_VGG)
    assert weights.preprocessing == TORCHVISION
    assert weights.source == "the published one"


def test_a_known_h5_is_known_by_its_md5(tmp_path, monkeypatch):
    path = write_h5(tmp_path / "renamed.h5", keras_names(LAYERS, old=True))
    publish(monkeypatch, "vgg.h5", "md5", hashlib.md5(path.read_bytes()).hexdigest(), KERAS)
    assert read_weights(path, backbone=SMALL_VGG).source == "the published one"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg16-397923af.pth", "its sha256 is {sha256}, that of the published {name} is 397923af8e79"),
        ("vgg16-00b39a1b.pth", "its sha256 is {sha256}, that of the published {name} starts with 00b39a1b:"),
        ("vgg16_imagenet_conv_fp16.npz", "its sha256 is {sha256}, that of the published {name} is 5951250add37"),
        ("vgg16_weights_tf_dim_ordering_tf_kernels.h5", "its md5 is {md5}, that of the published {name} is 6437328"),
        ("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "its md5 is {md5}, .* {name} is 6d6bbae143d832006294"),
    ],
)
def test_a_cut_download_of_a_known_file_states_both_checksums(tmp_path, name, message):
    content = b"half of it"
    (tmp_path / name).write_bytes(content)
    digests = {"sha256": hashlib.sha256(content).hexdigest(), "md5": hashlib.md5(content).hexdigest()}
    with pytest.raises(WeightsError, match=message.format(name=name, **digests) + ".*the download was cut"):
        read_weights(tmp_path / name, backbone=BACKBONES["vgg16"])


def test_a_copy_saved_again_under_a_known_name_is_read_when_its_preprocessing_is_passed(tmp_path):
    path = write_pth(tmp_path / "vgg16-00b39a1b.pth", torch_names(LAYERS))
    check_layers(read_weights(path, preprocessing="caffe", backbone=SMALL_VGG).layers, LAYERS)


# Errors.


def test_missing_and_surplus_layers_are_named(tmp_path):
    state = own_names({layer: parts for layer, parts in LAYERS.items() if layer not in ("conv5_3", "fc7")})
    del state["conv2_1/bias"]
    path = write_npz(tmp_path / "v.npz", {**state, "foo.bar": np.zeros(3, np.float32)})
    with pytest.raises(WeightsError, match=r"v\.npz: missing: conv5_3, conv2_1/bias; not of VGG-16: foo\.bar$"):
        read_weights(path, preprocessing=CAFFE, backbone=SMALL_VGG)


def test_a_vgg_of_another_depth_or_with_batch_norm_is_named(tmp_path):
    state = {**torch_names(LAYERS), "features.34.weight": np.zeros((8, 8, 3, 3), np.float32)}
    message = r"this file holds a VGG of 14 convolutions{}; VGG-16 has 13 and no BatchNorm$"
    for number, norm in enumerate(("", " with BatchNorm")):
        path = tmp_path / f"{number}.safetensors"
        save_file(state | ({"features.1.running_mean": np.zeros(4, np.float32)} if norm else {}), path)
        with pytest.raises(WeightsError, match=message.format(norm)):
            read_weights(path, preprocessing=CAFFE, backbone=SMALL_VGG)


def test_many_surplus_names_stay_one_short_line(tmp_path):
    state = own_names(LAYERS) | {f"head{i}": np.zeros(1, np.float32) for i in range(100)}
    with pytest.raises(WeightsError, match=r"head14 and 85 more$"):
        read_weights(write_npz(tmp_path / "v.npz", state), preprocessing=CAFFE, backbone=SMALL_VGG)


def test_a_file_of_another_network_shows_its_names(tmp_path):
    path = write_npz(tmp_path / "v.npz", {"layer1.0.conv1.weight": np.zeros(3, np.float32)})
    with pytest.raises(WeightsError, match=r"no layer of VGG-16 in it; its names are like layer1\.0\.conv1"):
        read_weights(path, preprocessing=CAFFE, backbone=BACKBONES["vgg16"])


def test_the_same_layer_twice_is_refused(tmp_path):
    path = tmp_path / "v.safetensors"
    save_file(torch_names(LAYERS) | torch_names(LAYERS, ("classifier.1", "classifier.4")), path)
    with pytest.raises(WeightsError, match=r"gives fc6/(kernel|bias) more than once, the last time as classifier"):
        read_weights(path, preprocessing=CAFFE, backbone=SMALL_VGG)


def test_wrong_shapes_are_named_with_both_shapes(tmp_path):
    state = own_names(LAYERS) | {"conv3_1/kernel": np.zeros((3, 3, 5, 7), np.float32)}
    state["fc6/bias"] = np.zeros(3, np.float32)
    message = r"conv3_1/kernel is \(3, 3, 5, 7\), VGG-16's is \(3, 3, 5, 6\); fc6/bias is \(3,\), VGG-16's is \(9,\)"
    with pytest.raises(WeightsError, match=message):
        read_weights(write_npz(tmp_path / "v.npz", state), preprocessing=CAFFE, backbone=SMALL_VGG)


def test_dense_layers_of_another_input_size_are_refused(tmp_path):
    state = torch_names(LAYERS) | {"classifier.0.weight": np.zeros((9, 8 * 36), np.float32)}
    path = tmp_path / "v.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"fc6/kernel is \(9, 288\), VGG-16's is \(7, 7, 8, 9\)"):
        read_weights(path, preprocessing=CAFFE, backbone=SMALL_VGG)


def test_no_file(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.npz: there is no such file of weights"):
        read_weights(tmp_path / "none.npz", backbone=BACKBONES["vgg16"])


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    (tmp_path / "vgg.caffemodel").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"weights are read from \.npz, .*, \.safetensors, not from '\.caffemodel'"):
        read_weights(tmp_path / "vgg.caffemodel", backbone=BACKBONES["vgg16"])


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".pth", ".safetensors"])
def test_a_broken_file_says_so(tmp_path, suffix):
    if suffix == ".pth":
        pytest.importorskip("torch", reason="reads a .pth file: pip install 'guided_jax[test]'")
    path = tmp_path / f"vgg{suffix}"
    path.write_bytes(b"\x93this is no file of weights" * 20)
    with pytest.raises(WeightsError, match=rf"cannot be read as \{suffix} \(.*the file is broken or cut"):
        read_weights(path, preprocessing=CAFFE, backbone=BACKBONES["vgg16"])


def test_a_pickle_that_runs_code_is_not_run(tmp_path):
    torch = pytest.importorskip("torch", reason="reads a .pth file: pip install 'guided_jax[test]'")

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"features.0.weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match=r"cannot be read as \.pth"):
        read_weights(tmp_path / "bomb.pth", preprocessing=CAFFE, backbone=BACKBONES["vgg16"])
    assert not (tmp_path / "exploded").exists()


def test_a_checkpoint_that_is_no_state_dict_is_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="writes a .pth file: pip install 'guided_jax[test]'")
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "v.pth")
    with pytest.raises(WeightsError, match=r"not a state dict .*; save model\.state_dict\(\)"):
        read_weights(tmp_path / "v.pth", preprocessing=CAFFE, backbone=BACKBONES["vgg16"])


def test_without_torch_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "v.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(WeightsError, match=r"needs torch: pip install 'guided_jax\[torch\]'"):
        read_weights(tmp_path / "v.pth", preprocessing=CAFFE, backbone=BACKBONES["vgg16"])


@pytest.mark.real_data
def test_the_real_npz_is_known(real_data):
    path = real_data / "weights/vgg16_imagenet_conv_fp16.npz"
    weights = read_weights(path, backbone=BACKBONES["vgg16"])
    assert weights.preprocessing == CAFFE
    assert weights.source == "Oxford's VGG-16, convolutions in float16"
    with np.load(path) as file:
        for layer, parts in weights.layers.items():
            np.testing.assert_array_equal(parts["kernel"], file[f"{layer}/kernel"].astype(np.float32))
    assert {layer: parts["kernel"].shape for layer, parts in weights.layers.items()} == only_convs(VGG16)
