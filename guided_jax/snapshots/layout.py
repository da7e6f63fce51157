"""Between the reference's state dicts (PyTorch's names, kernels as out, in, height, width) and our parameter trees."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float32, Float64

from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.vgg.trunk import conv_names
from guided_jax.backbones.weight_files import WeightsError
from guided_jax.snapshots.models import MODELS, ReferenceModel, canonical_name, find_model, head_width

State = dict[str, Float32[np.ndarray, "..."]]


class Layer(NamedTuple):
    """Where a convolution of the reference lies here.

    Attributes:
        path: path of the layer in the parameter tree here.
        shape: shape of the reference's kernel: out, in, height, width.
        inputs: for each input channel here, which one it is there; empty: the same.
    """

    path: tuple[str, ...]
    shape: tuple[int, int, int, int]
    inputs: tuple[int, ...] = ()


def layers_of(model: ReferenceModel) -> dict[str, Layer]:
    """Every convolution of a model that has parameters, by its module's name there."""
    config = model.config
    width, way = config.feature_width, config.way
    outer = {}
    if config.inference == "direct":
        channels = 5 if config.fusion == "stack" else 3
        encoder = _encoder("encoder", "", channels, model)
        outer["encoder.fc7"] = Layer(("head", "fc7"), (head_width(config), width, 1, 1))
        outer["head"] = Layer(("head", "score"), (way, head_width(config), 1, 1))
        return encoder | outer
    outputs = 1 if config.sharing == "shared" else way
    if config.fusion == "stack":
        encoder = _encoder("supp_encoder", "support_", 5, model) | _encoder("qry_encoder", "", 3, model)
        order = (*range(width, 2 * width), *range(width))  # theirs is [support, query]
        fc7 = Layer(("head", "fc7"), (head_width(config), 2 * width, 1, 1), order)
    else:
        encoder = _encoder("encoder", "", 3, model)
        blocks = 2 if config.sharing == "shared" else 3
        fc7 = Layer(("head", "fc7"), (head_width(config), blocks * width, 1, 1))
    return encoder | {"head.fc7": fc7, "head.score": Layer(("head", "score"), (outputs, head_width(config), 1, 1))}


def _encoder(prefix: str, ours: str, channels: int, model: ReferenceModel) -> dict[str, Layer]:
    stages = _stages(model)
    layers, inputs = {}, channels
    for name, outputs in zip(conv_names(stages), (width for stage in stages for width in stage), strict=True):
        layers[f"{prefix}.{name}"] = Layer((f"{ours}trunk", name), (outputs, inputs, 3, 3))
        inputs = outputs
    if channels == 5 and model.positive_first:
        first = f"{prefix}.conv1_1"
        layers[first] = layers[first]._replace(inputs=(0, 1, 2, 4, 3))
    kernel = (model.config.fc6_kernel, model.config.fc6_kernel)
    layers[f"{prefix}.fc6"] = Layer((f"{ours}neck", "fc6"), (model.config.feature_width, inputs, *kernel))
    return layers


def _stages(model: ReferenceModel) -> tuple[tuple[int, ...], ...]:
    """Widths of the encoder's convolutions; the reference has encoders of this kind alone."""
    return BACKBONES[model.config.backbone].stages


def numbered_modules(stages: tuple[tuple[int, ...], ...]) -> dict[str, str]:
    """The number that each convolution has as a module of the encoder: recent torch names it so in a cut encoder.

    Each convolution is followed by a ReLU, each stage by a pooling; fc6 is 31 of VGG-16.
    """
    numbers, module = {}, 0
    for stage, widths in enumerate(stages, 1):
        for i in range(1, len(widths) + 1):
            numbers[f"conv{stage}_{i}"] = str(module)
            module += 2
        module += 1
    return {**numbers, "fc6": str(module)}


def bilinear_kernel(stride: int) -> Float64[np.ndarray, "k k"]:
    """Of the reference's interpolation: 2 * stride a side, 1 at most."""
    profile = 1 - np.abs(np.arange(2 * stride) - (stride - 0.5)) / stride
    return profile[:, None] * profile


def fixed_kernels(model: ReferenceModel) -> State:
    """Kernels that a state dict holds but nothing learns: of the interpolation, and of annotations to masks."""
    config = model.config
    kernel = bilinear_kernel(config.stride)
    outputs = 1 if config.fusion == "late" and config.sharing == "shared" else config.way
    decoder = np.eye(outputs)[:, :, None, None] * kernel
    kernels = {"decoder.weight": decoder.astype(np.float32)}
    if config.fusion == "late":
        kernels["anno_enc.weight"] = (kernel / kernel.sum()).astype(np.float32)[None, None]
    return kernels


def buffers_of(model: ReferenceModel) -> dict[str, tuple[int, int]]:
    """Shapes of what a state dict holds of the last task that guided the model, which are no parameters."""
    config = model.config
    if model.mode != "conditional" or config.fusion != "late" or config.sharing != "shared":
        return {}
    return {"z": (config.way, config.feature_width), "num_z": (config.way, 1)}


def from_state(state: Mapping[str, np.ndarray], name: str, *, way: int = 2, where: str = "the state dict") -> dict:
    """The parameter tree of a state dict of the reference.

    Args:
        state: arrays by the names of `model.state_dict()`; the encoder's modules by name or by number.
        name: name of the model in `MODELS`.
        way: number of labels.
        where: what the state dict comes from, for errors.

    Raises:
        WeightsError: it is not the model's: keys are missing, surplus or of other shapes, or a fixed kernel is
            another one. Names the keys, and the models that it does fit.
    """
    model = find_model(name, way)
    state = _named(state, model, where)
    wrong = _mismatches(state, model, canonical_name(name))
    if wrong:
        fitting = _fitting(state, way)
        hint = f"; it fits {', '.join(fitting)}" if fitting else ""
        raise WeightsError(f"{where}: {'; '.join(wrong)}{hint}")
    for key, kernel in fixed_kernels(model).items():
        if not np.allclose(state[key], kernel, rtol=1e-5, atol=1e-5 * kernel.max()):
            raise WeightsError(f"{where}: {key} is not the fixed bilinear kernel that the graph here computes with")
    flat = {}
    for module, layer in layers_of(model).items():
        kernel = np.asarray(state[f"{module}.weight"], np.float32).transpose(2, 3, 1, 0)
        kernel = kernel[:, :, list(layer.inputs)] if layer.inputs else kernel
        kernel = kernel[0, 0] if layer.path[0] == "head" else kernel
        flat[*layer.path, "kernel"] = np.ascontiguousarray(kernel)
        flat[*layer.path, "bias"] = np.array(state[f"{module}.bias"], np.float32)
    return unflatten_dict(flat)


def to_state(params: Mapping, name: str, *, way: int = 2, numbered: bool = False) -> State:
    """The state dict that the reference's model takes by `load_state_dict(strict=True)`.

    Args:
        params: the parameter tree of that model.
        name: name of the model in `MODELS`.
        way: number of labels.
        numbered: names the late models' encoder as recent torch does; else as the torch of the reference's time.

    Raises:
        WeightsError: the parameters are not those of the model; names them.
    """
    model = find_model(name, way)
    layers = layers_of(model)
    flat = flatten_dict(params, keep_empty_nodes=True)
    expected = {}
    for layer in layers.values():
        outputs, inputs, height, width = layer.shape
        matrix = layer.path[0] == "head"
        expected[*layer.path, "kernel"] = (inputs, outputs) if matrix else (height, width, inputs, outputs)
        expected[*layer.path, "bias"] = (outputs,)
    shapes = {path: np.shape(value) for path, value in flat.items()}
    wrong = _differences(*({"/".join(p): s for p, s in each.items()} for each in (shapes, expected)), name)
    if wrong:
        raise WeightsError(f"the parameters: {'; '.join(wrong)}")
    names = numbered_modules(_stages(model)) if numbered and model.config.fusion == "late" else {}
    if model.config.feature_width < 4096:
        names.pop("fc6", None)  # there a new layer, put behind the cut
    state = {}
    for module, layer in layers.items():
        kernel = np.asarray(flat[*layer.path, "kernel"], np.float32)
        kernel = kernel[None, None] if kernel.ndim == 2 else kernel
        kernel = kernel[:, :, np.argsort(layer.inputs)] if layer.inputs else kernel
        prefix, _, last = module.rpartition(".")
        key = f"{prefix}.{names[last]}" if last in names else module
        # A copy: JAX's buffers are read-only, which torch does not take.
        state[f"{key}.weight"] = np.array(kernel.transpose(3, 2, 0, 1), order="C")
        state[f"{key}.bias"] = np.array(flat[*layer.path, "bias"], np.float32)
    state |= fixed_kernels(model)
    return state | {key: np.zeros(shape, np.float32) for key, shape in buffers_of(model).items()}


def _named(state: Mapping[str, np.ndarray], model: ReferenceModel, where: str) -> dict[str, np.ndarray]:
    """With the encoder's modules by name."""
    names = {number: name for name, number in numbered_modules(_stages(model)).items()}
    named = {}
    for key, value in state.items():
        parts = key.split(".")
        if len(parts) == 3 and parts[0].endswith("encoder"):
            parts[1] = names.get(parts[1], parts[1])
        new = ".".join(parts)
        if new in named:
            raise WeightsError(f"{where}: gives {new} twice, by name and by number")
        named[new] = value
    return named


def _mismatches(state: Mapping[str, np.ndarray], model: ReferenceModel, name: str) -> list[str]:
    expected: dict[str, tuple[int, ...]] = {}
    for module, layer in layers_of(model).items():
        expected |= {f"{module}.weight": layer.shape, f"{module}.bias": layer.shape[:1]}
    expected |= {key: kernel.shape for key, kernel in fixed_kernels(model).items()}
    shapes = {key: np.shape(value) for key, value in state.items()}
    for key, shape in buffers_of(model).items():
        # The reference adds them to a file that lacks them, and they have as many rows as the last task had labels.
        found = shapes.get(key, shape)
        expected[key] = (*found[:1], *shape[1:])
        shapes.setdefault(key, expected[key])
    return _differences(shapes, expected, name)


def _differences(shapes: Mapping[str, tuple], expected: Mapping[str, tuple], name: str) -> list[str]:
    missing = [key for key in expected if key not in shapes]
    surplus = [key for key in shapes if key not in expected]
    other = [
        f"{key} is {_shown(shapes[key])}, not {_shown(shape)}"
        for key, shape in expected.items()
        if key in shapes and shapes[key] != shape
    ]
    parts = ((missing, "missing"), (surplus, "surplus"), (other, "of another shape"))
    found = [f"{what}: {_some(keys)}" for keys, what in parts if keys]
    return [f"not {name}'s", *found] if found else []


def _fitting(state: Mapping[str, np.ndarray], way: int) -> list[str]:
    """The models whose keys and shapes these are, with their number of labels where it is not `way`."""
    classes = np.shape(state.get("decoder.weight", 0))[:1]
    fitting = []
    for name in MODELS:
        for labels in dict.fromkeys((way, 2, *classes)):
            if labels != way and name in fitting:
                continue
            try:
                model = find_model(name, labels)
            except WeightsError:
                continue
            if not _mismatches(state, model, name):
                fitting.append(name if labels == way else f"{name} (with way={labels})")
                break
    return fitting


def _shown(shape: tuple[int, ...]) -> str:
    return f"{'x'.join(map(str, shape))}" if math.prod(shape) and shape else str(tuple(shape))


def _some(items: list[str], limit: int = 6) -> str:
    return ", ".join(items[:limit]) + (f" and {len(items) - limit} more" if len(items) > limit else "")
