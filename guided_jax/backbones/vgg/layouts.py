"""How Keras, TensorFlow, torchvision, timm and this project name and lay out VGG-16's arrays, and their common form.

The common form: `conv1_1` ... `conv5_3`, and where a file has them `fc6` and `fc7` as the convolutions that
they are in a fully convolutional network, each with a `kernel` (height, width, in, out) and a `bias`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from guided_jax.backbones.backbone import Layers
from guided_jax.backbones.file_formats import WeightsError, some
from guided_jax.backbones.vgg.trunk import STAGES, conv_names

Shapes = Mapping[str, tuple[int, int, int, int]]


def kernel_shapes(stages: tuple[tuple[int, ...], ...], fc_width: int) -> dict[str, tuple[int, int, int, int]]:
    """Shapes of the kernels of a VGG whose fc6 sees 7x7 cells: its convolutions, fc6 and fc7."""
    widths = [width for stage in stages for width in stage]
    convs = zip(conv_names(stages), [3, *widths], widths, strict=False)
    shapes = {name: (3, 3, inputs, outputs) for name, inputs, outputs in convs}
    return {**shapes, "fc6": (7, 7, widths[-1], fc_width), "fc7": (1, 1, fc_width, fc_width)}


VGG16 = kernel_shapes(STAGES["vgg16"], 4096)

OPTIONAL = ("fc6", "fc7")

_CONVS = conv_names(STAGES["vgg16"])
_TORCH_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
# classifier.1 and .4: torchvision until 2017, when Dropout came first, and the Caffe-converted file.
_TORCH_LAYERS = {
    **{f"features.{index}": conv for index, conv in zip(_TORCH_INDICES, _CONVS, strict=True)},
    **{"classifier.0": "fc6", "classifier.1": "fc6", "classifier.3": "fc7", "classifier.4": "fc7"},
    **{"pre_logits.fc1": "fc6", "pre_logits.fc2": "fc7"},
    **{"classifier.6": "fc8", "head.fc": "fc8"},
}
_KERAS_LAYERS = {
    **{f"block{conv[4]}_conv{conv[6]}": conv for conv in _CONVS},
    **{"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"},
}
_COUNTED = re.compile(r"(?:.*/)?layers/((?:conv2d|dense)(?:_\d+)?)/vars/([01])")
_COUNTED_LAYERS = {
    **{f"conv2d_{number}" if number else "conv2d": conv for number, conv in enumerate(_CONVS)},
    **{"dense": "fc6", "dense_1": "fc7", "dense_2": "fc8"},
}
_KERAS_PART = re.compile(r"(?:.*_)?(kernel|W|bias|b)(?:_\d+)?(?::0)?")

# A name in the file -> its layer and whether it is the kernel or the bias; None: not of VGG-16.
Naming = Callable[[str], tuple[str, str] | None]


def _own_naming(name: str) -> tuple[str, str] | None:
    layer, _, part = name.rpartition("/")
    return (layer, part) if layer in (*VGG16, "fc8") and part in ("kernel", "bias") else None


def _torch_naming(name: str) -> tuple[str, str] | None:
    module, _, part = name.rpartition(".")
    if module not in _TORCH_LAYERS or part not in ("weight", "bias"):
        return None
    return _TORCH_LAYERS[module], "kernel" if part == "weight" else "bias"


def _keras_naming(name: str) -> tuple[str, str] | None:
    *groups, leaf = name.split("/")
    layers = [_KERAS_LAYERS[group] for group in groups if group in _KERAS_LAYERS]
    part = _KERAS_PART.fullmatch(leaf)
    if not layers or not part:
        return None
    return layers[0], "kernel" if part[1] in ("kernel", "W") else "bias"


def _keras3_naming(name: str) -> tuple[str, str] | None:
    """A layer's own name stands before `vars` where the file stores it."""
    *_, layer, variables, number = ("", "", *name.split("/"))
    if variables != "vars" or layer not in _KERAS_LAYERS or number not in ("0", "1"):
        return None
    return _KERAS_LAYERS[layer], ("kernel", "bias")[int(number)]


def _counted_naming(name: str) -> tuple[str, str] | None:
    """Keras 3 without the layers' names: `layers/conv2d_3/vars/0`, numbered in the order of the model."""
    match = _COUNTED.fullmatch(name)
    layer = _COUNTED_LAYERS.get(match[1]) if match else None
    return (layer, ("kernel", "bias")[int(match[2])]) if layer else None


def _tensorflow_naming(name: str) -> tuple[str, str] | None:
    """D. Frossard's `vgg16_weights.npz` of 2016: `conv1_1_W`, laid out as Keras's are."""
    layer, _, part = name.rpartition("_")
    return (layer, {"W": "kernel", "b": "bias"}[part]) if layer in (*VGG16, "fc8") and part in ("W", "b") else None


_NAMINGS: dict[str, Naming] = {
    "own": _own_naming,
    "torch": _torch_naming,
    "keras": _keras_naming,
    "keras3": _keras3_naming,
    "counted": _counted_naming,
    "tensorflow": _tensorflow_naming,
}
_CHANNELS_LAST = ("keras", "keras3", "counted", "tensorflow")


def _to_hwio(kernel: np.ndarray, layout: str, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Brings a kernel to (height, width, in, out); a dense one becomes the convolution of the given shape."""
    height, width, inputs, outputs = shape
    if layout == "torch":  # out first; dense kernels are of features flattened channel first
        if kernel.shape == (outputs, inputs * height * width):
            kernel = kernel.reshape(outputs, inputs, height, width)
        return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel
    if layout in _CHANNELS_LAST and kernel.shape == (height * width * inputs, outputs):  # flattened channel last
        return kernel.reshape(shape)
    return kernel


def _another_depth(arrays: Mapping[str, np.ndarray]) -> str | None:
    """A VGG that is no VGG-16, under torchvision's names, in words; None where it is none."""
    number = sum(bool(re.fullmatch(r"features\.\d+\.weight", n)) and a.ndim == 4 for n, a in arrays.items())
    norm = any(re.fullmatch(r"features\.\d+\.running_mean", name) for name in arrays)
    if not number or (number == len(_CONVS) and not norm):
        return None
    return f"a VGG of {number} convolutions{' with BatchNorm' * norm}"


def to_layers(arrays: Mapping[str, np.ndarray], path: Path, shapes: Shapes, title: str) -> tuple[Layers, str]:
    """Brings the arrays of a file to the common form.

    Args:
        arrays: as the file names them.
        path: of the file, for errors.
        shapes: of the kernels; all but fc6 and fc7 must be in the file.
        title: of the network whose shapes they are, for errors.

    Returns:
        The layers in the order of `shapes`, float32, and the layout of the file: `own`, `torch`, `keras`, `keras3`,
        `counted` (Keras 3 without its layers' names) or `tensorflow`. The classifier proper (fc8) is left out.

    Raises:
        WeightsError: layers are missing, are not of the network, have another shape, or are not of floating point.
    """
    found = {layout: {name: naming(name) for name in arrays} for layout, naming in _NAMINGS.items()}
    layout = max(found, key=lambda layout: sum(part is not None for part in found[layout].values()))
    parts_of = found[layout]
    if not any(parts_of.values()):
        names = f"its names are like {some(arrays)}" if arrays else "it holds no array"
        raise WeightsError(f"{path}: no layer of {title} in it; {names}")
    values: dict[tuple[str, str], np.ndarray] = {}
    for name, part in parts_of.items():
        if part in values:
            raise WeightsError(f"{path}: gives {'/'.join(part)} more than once, the last time as {name}")
        if part is not None:
            values[part] = arrays[name]

    present = {layer for layer, _ in values}
    missing = [layer for layer in shapes if layer not in present and layer not in OPTIONAL]
    halves = [(layer, part) for layer in shapes if layer in present for part in ("kernel", "bias")]
    missing += ["/".join(half) for half in halves if half not in values]
    surplus = [name for name, part in parts_of.items() if part is None or part[0] not in (*shapes, "fc8")]
    if missing or surplus:
        if (held := _another_depth(arrays)) and shapes.keys() >= set(_CONVS):
            raise WeightsError(f"{path}: this file holds {held}; {title} has {len(_CONVS)} and no BatchNorm")
        parts = ([f"missing: {some(missing)}"] if missing else []) + (
            [f"not of {title}: {some(surplus)}"] if surplus else []
        )
        raise WeightsError(f"{path}: {'; '.join(parts)}")

    layers, wrong = {}, []
    for layer in (layer for layer in shapes if layer in present):
        kernel, bias = _to_hwio(values[layer, "kernel"], layout, shapes[layer]), values[layer, "bias"]
        for part, value, shape in (("kernel", kernel, shapes[layer]), ("bias", bias, shapes[layer][-1:])):
            if value.shape != shape:
                wrong.append(f"{layer}/{part} is {value.shape}, {title}'s is {shape}")
            elif not np.issubdtype(value.dtype, np.floating):
                raise WeightsError(f"{path}: {layer}/{part} is of {value.dtype}; floating point was expected")
        layers[layer] = {"kernel": kernel, "bias": bias}
    if wrong:
        raise WeightsError(f"{path}: wrong shapes (height, width, in, out): {some(wrong, '; ')}")
    return {
        layer: {part: np.ascontiguousarray(value, np.float32) for part, value in parts.items()}
        for layer, parts in layers.items()
    }, layout
