"""Files of weights as people have them: what is read, and what each that is not is told as; a case is one line."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from guided_jax.backbones.file_formats import WeightsError, file_format, looks_like, no_weights, plain
from guided_jax.backbones.preprocessing import CAFFE, CAFFE_RGB, KERAS
from guided_jax.backbones.pretrained import read_weights
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.vgg.layouts import VGG16
from guided_jax.backbones.weight_files import read_arrays
from tests.guided_jax.backbones.small_weights import CONVS, LAYERS, SMALL_VGG, check_layers, only_convs
from tests.guided_jax.backbones.test_pretrained import own_names, torch_names, write_npz

torch = pytest.importorskip("torch", reason="writes .pth files: pip install 'guided_jax[test]'")


def tensors(arrays):
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def prefixed(prefix):
    return tensors({prefix + name: value for name, value in torch_names(LAYERS).items()})


def optimizer_state():
    """With momenta, tensors by name inside numbered entries."""
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    return optimizer.state_dict()


# What torch stores.

STATE = tensors(torch_names(LAYERS))
READ = {
    "state dict": STATE,
    "state_dict in a checkpoint": {"epoch": 3, "state_dict": STATE, "best": 0.5},
    "model beside an optimizer": {"model": STATE, "optimizer": optimizer_state(), "lr": [0.1]},
    "nested twice": {"checkpoint": {"model": STATE}, "step": 1},
    "module.": prefixed("module."),
    "module. in state_dict": {"state_dict": prefixed("module.")},
    "module.model.": prefixed("module.model."),
    "_orig_mod.": prefixed("_orig_mod."),
    "backbone.": prefixed("backbone."),
    "bfloat16": {name: value.to(torch.bfloat16).to(torch.float64) for name, value in STATE.items()},
}


@pytest.mark.parametrize("name", ["v.pth", "v.PT", "V.PTH.TAR"])
@pytest.mark.parametrize("stored", READ.values(), ids=READ)
def test_what_torch_stores_is_read(tmp_path, stored, name):
    torch.save(stored, tmp_path / name)
    layers = read_weights(tmp_path / name, preprocessing="caffe", backbone=SMALL_VGG).layers
    if stored is READ["bfloat16"]:
        assert layers["fc6"]["bias"][0] == pytest.approx(LAYERS["fc6"]["bias"][0], rel=2**-8)
    else:
        check_layers(layers, LAYERS)


REFUSED = {
    "two state dicts": ({"model": STATE, "ema": STATE}, r"several state dicts \(model, ema\); save model\.state_dict"),
    "no state dict": ({"epoch": 3}, r"not a state dict .*; save model\.state_dict\(\)"),
    "a list": ([1, 2], r"not a state dict"),
    "a tensor": (torch.zeros(3), r"not a state dict"),
    "numbered": ({0: torch.zeros(3)}, "not a state dict"),
    "sparse": (
        {**STATE, "features.0.weight": torch.zeros(4, 27).to_sparse()},
        "features.0.weight is a sparse tensor",
    ),
    "complex": (
        {**STATE, "features.0.bias": torch.zeros(4).cfloat()},
        "features.0.bias is complex; weights",
    ),
    "no values": ({**STATE, "features.0.bias": torch.zeros(4, device="meta")}, r"is a tensor without values \(device"),
    "a module": (torch.nn.Conv2d(3, 4, 3), r"Python object \(torch\.nn\.modules\.conv\.Conv2d\).* a whole module was"),
    "an object beside": ({"state_dict": STATE, "when": io.StringIO}, r"Python object \(_?io\.StringIO\)"),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(("stored", "message"), REFUSED.values(), ids=REFUSED)
def test_what_torch_stores_besides_is_told(tmp_path, stored, message, zipped):
    torch.save(stored, tmp_path / "v.pth", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "v.pth", message)


def refused(path, message):
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(path, preprocessing="caffe", backbone=SMALL_VGG)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and text.isprintable()
    assert "weights_only" not in text and len(text) < 600


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_told(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 4, 3)), tmp_path / "v.pth")
    refused(tmp_path / "v.pth", r"is a program of TorchScript, not a state dict; save model\.state_dict\(\)")


def test_an_npz_of_nothing_and_one_of_objects(tmp_path):
    np.savez(tmp_path / "nothing.npz")
    refused(tmp_path / "nothing.npz", "no layer of VGG-16 in it; it holds no array$")
    np.savez(tmp_path / "objects.npz", conv1_1_W=np.array([{}], object))
    refused(tmp_path / "objects.npz", "holds Python objects, not arrays alone; they can run code")


# Files that are something else.

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 58889256\n"
ELSE = {
    "html": (b"<!DOCTYPE html>\n<html><head>", "it is an HTML page"),
    "html after spaces": (b"\xef\xbb\xbf \n <HTML lang='en'>", "it is an HTML page"),
    "lfs": (LFS, "it is the pointer of Git LFS, .* run git lfs pull"),
    "empty": (b"", "the file is empty: the download was cut"),
    "json": (b'{"message": "Not Found"}', r"it is a text: '\{\"message\": \"Not Found\"\}'"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied", "it is a text: .*AccessDenied"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "it is compressed by gzip"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(40), "it is an image"),
    "codes": (b"\x1b[31m\x80\x80" * 9, "the file is broken or cut"),
    "tar": (bytes(257) + b"ustar" + bytes(300), "it is a tar archive: unpack it"),
    "npy": (b"\x93NUMPY\x01" + bytes(60), "it is a single array of NumPy"),
}


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".keras", ".pth", ".safetensors"])
@pytest.mark.parametrize(("content", "message"), ELSE.values(), ids=ELSE)
def test_a_file_that_is_something_else_is_told(tmp_path, content, message, suffix):
    (tmp_path / f"v{suffix}").write_bytes(content)
    refused(tmp_path / f"v{suffix}", message)


def test_one_format_under_the_name_of_another(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(3)
    (tmp_path / "a.h5").rename(tmp_path / "a.npz")
    refused(tmp_path / "a.npz", r"it is HDF5: its name should end in \.h5")
    write_npz(tmp_path / "b.npz", own_names(LAYERS)).rename(tmp_path / "b.h5")
    refused(tmp_path / "b.h5", r"it is a zip archive: its name should end in \.npz or \.keras or \.pth")


def test_an_html_page_under_a_published_name(tmp_path):
    (tmp_path / "vgg16-397923af.pth").write_bytes(ELSE["html"][0])
    with pytest.raises(WeightsError, match=r"its sha256 is .*: it is an HTML page, not the file itself"):
        read_weights(tmp_path / "vgg16-397923af.pth", backbone=BACKBONES["vgg16"])


def test_a_folder(tmp_path):
    with pytest.raises(WeightsError, match="is a folder"):
        read_weights(tmp_path, backbone=BACKBONES["vgg16"])
    with pytest.raises(WeightsError, match="is a folder, not a file of weights"):
        read_arrays(tmp_path)


# Numbers.

WRONG = {
    "nan": (np.nan, np.float32),
    "inf": (-np.inf, np.float32),
    "nan in half": (np.nan, np.float16),
    "beyond float32": (1e300, np.float64),
}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])
@pytest.mark.parametrize(("value", "dtype"), WRONG.values(), ids=WRONG)
def test_values_that_are_not_finite_are_refused_by_file_and_layer(tmp_path, value, dtype, suffix):
    bias = LAYERS["conv3_2"]["bias"].astype(dtype)
    bias[1] = value
    arrays, path = own_names(LAYERS) | {"conv3_2/bias": bias}, tmp_path / f"v{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    elif suffix == ".safetensors":
        save_file(arrays, path)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    refused(path, r"conv3_2/bias holds NaN or infinity \(1 of 6 values\)")


def test_whole_numbers_are_no_weights(tmp_path):
    arrays = own_names(LAYERS) | {"conv3_2/bias": np.ones(6, np.int8)}
    refused(write_npz(tmp_path / "v.npz", arrays), r"conv3_2/bias is of int8; floating point was expected")


def test_bfloat16_in_safetensors(tmp_path):
    from safetensors.torch import save_file as save_tensors

    stored = {name: value.to(torch.bfloat16) for name, value in STATE.items()}
    save_tensors(stored, tmp_path / "v.safetensors")
    arrays, _ = read_arrays(tmp_path / "v.safetensors")
    assert {name: value.dtype for name, value in arrays.items()} == dict.fromkeys(STATE, np.dtype(np.float32))
    for name, value in stored.items():
        np.testing.assert_array_equal(arrays[name], value.float().numpy())


# Keras 3, and the file of 2016.


def flat(kernel, layer):
    return kernel.reshape(-1, kernel.shape[-1]) if layer.startswith("fc") else kernel


def write_keras3(file, layers, *, named, counted=True, inside="layers"):
    numbers = {**{conv: number for number, conv in enumerate(CONVS)}, "fc6": 0, "fc7": 1}
    for layer, parts in layers.items():
        own = {"fc6": "fc1", "fc7": "fc2"}.get(layer) or f"block{layer[4]}_conv{layer[6]}"
        kind = "dense" if layer.startswith("fc") else "conv2d"
        path = f"{kind}_{numbers[layer]}" if numbers[layer] else kind
        group = file.create_group(f"{inside}/{path if counted else own}/vars")
        group["0"], group["1"] = flat(parts["kernel"], layer), parts["bias"]
        if named:
            group.attrs["name"] = own
    file["optimizer/vars/0"] = np.zeros(3, np.float32)


KERAS3 = {
    "by name": {"named": False, "counted": False},
    "counted, names stored": {"named": True},
    "counted": {"named": False},
    "in a model": {"named": True, "inside": "layers/functional/layers"},
}


@pytest.mark.parametrize("keep", [only_convs, dict], ids=["notop", "full"])
@pytest.mark.parametrize("layout", KERAS3.values(), ids=KERAS3)
def test_keras_3(tmp_path, layout, keep):
    with h5py.File(tmp_path / "v.weights.h5", "w") as file:
        write_keras3(file, keep(LAYERS), **layout)
    tells = layout is not KERAS3["counted"]
    weights = read_weights(tmp_path / "v.weights.h5", preprocessing=None if tells else "caffe", backbone=SMALL_VGG)
    check_layers(weights.layers, keep(LAYERS))
    assert weights.preprocessing == KERAS


def test_a_model_of_keras_3(tmp_path):
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        write_keras3(file, LAYERS, named=True)
    with zipfile.ZipFile(tmp_path / "v.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({}))
        archive.writestr("model.weights.h5", stored.getvalue())
    check_layers(read_weights(tmp_path / "v.keras", backbone=SMALL_VGG).layers, LAYERS)


def test_another_head_in_keras_3_is_named(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        write_keras3(file, only_convs(LAYERS), named=True)
        file["layers/dense/vars/0"] = np.zeros((4, 2), np.float32)
    refused(tmp_path / "v.h5", r"not of VGG-16: layers/dense/vars/0$")


def test_the_npz_of_tensorflow(tmp_path):
    arrays = {}
    for layer, parts in LAYERS.items():
        arrays |= {f"{layer}_W": flat(parts["kernel"], layer), f"{layer}_b": parts["bias"]}
    arrays |= {"fc8_W": np.zeros((9, 3), np.float32), "fc8_b": np.zeros(3, np.float32)}
    path = write_npz(tmp_path / "vgg16_weights.npz", arrays)
    check_layers(read_weights(path, preprocessing="caffe", backbone=SMALL_VGG).layers, LAYERS)
    with pytest.raises(WeightsError, match="pass preprocessing='caffe'"):
        read_weights(path, backbone=SMALL_VGG)


@pytest.mark.real_data
@pytest.mark.parametrize(("turned", "expected"), [(False, CAFFE), (True, CAFFE_RGB)])
def test_oxfords_first_kernel_tells_the_order_of_channels(real_data, tmp_path, turned, expected):
    published = read_weights(real_data / "weights/vgg16_imagenet_conv_fp16.npz", backbone=BACKBONES["vgg16"]).layers
    arrays = {}
    for layer, parts in published.items():
        arrays |= {f"{layer}_W": parts["kernel"], f"{layer}_b": parts["bias"]}
    if turned:
        arrays["conv1_1_W"] = arrays["conv1_1_W"][:, :, ::-1]
    weights = read_weights(write_npz(tmp_path / "again.npz", arrays), backbone=BACKBONES["vgg16"])
    assert weights.preprocessing == expected
    assert {layer: parts["kernel"].shape for layer, parts in weights.layers.items()} == only_convs(VGG16)


# Names and words.


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.NPZ", ".npz"), ("a.hdf5", ".h5"), ("a.pth.tar", ".pth"), ("a.tar", ".tar"), ("a", ""), ("a.b.Pt", ".pth")],
)
def test_formats_by_name(tmp_path, name, expected):
    assert file_format(tmp_path / name) == expected


def test_words_of_others_are_one_short_plain_line():
    assert plain("a \x1b[1mbold\x1b[0m\n\tword\x00") == "a bold word"
    assert plain("x" * 300) == "x" * 197 + "..."


def test_nothing_is_known_of_other_bytes(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02}q\x00.")
    assert no_weights(tmp_path / "a.pth") is None
    assert looks_like(tmp_path / "a.pth", ".pth") is None
