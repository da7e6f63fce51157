"""How torchvision and timm name and lay out ResNet's arrays, and how they become those of the trunk.

Both have the same names. The normalisation behind each convolution (BatchNorm, frozen) is folded into it: with scale
`s = weight / sqrt(running_var + eps)` the kernel becomes `s * kernel`, the bias `bias - s * running_mean`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from guided_jax.backbones.backbone import Layers
from guided_jax.backbones.file_formats import WeightsError, some
from guided_jax.backbones.resnet.trunk import EXPANSION

EPSILON = 1e-5
"""Of torch's BatchNorm, which torchvision's and timm's ResNets leave as it is."""

_NORM = ("weight", "bias", "running_mean", "running_var")


class Folded(NamedTuple):
    """A convolution and the normalisation behind it.

    Attributes:
        layer: its path in the trunk.
        conv: its name in the file.
        norm: the normalisation's name in the file.
        shape: of its kernel in the file: out, in, height, width.
    """

    layer: str
    conv: str
    norm: str
    shape: tuple[int, int, int, int]


def folded_layers(blocks: tuple[int, ...], width: int) -> Iterator[Folded]:
    """Every convolution of a ResNet of so many bottlenecks in its layers, with a stem of so many channels."""
    yield Folded("conv1", "conv1", "bn1", (width, 3, 7, 7))
    inputs = width
    for number, count in enumerate(blocks, 1):
        inner = width * 2 ** (number - 1)
        outer = EXPANSION * inner
        for i in range(count):
            ours, theirs = f"layer{number}_{i}", f"layer{number}.{i}"
            yield Folded(f"{ours}/conv1", f"{theirs}.conv1", f"{theirs}.bn1", (inner, inputs, 1, 1))
            yield Folded(f"{ours}/conv2", f"{theirs}.conv2", f"{theirs}.bn2", (inner, inner, 3, 3))
            yield Folded(f"{ours}/conv3", f"{theirs}.conv3", f"{theirs}.bn3", (outer, inner, 1, 1))
            if i == 0:
                shape = (outer, inputs, 1, 1)
                yield Folded(f"{ours}/downsample", f"{theirs}.downsample.0", f"{theirs}.downsample.1", shape)
            inputs = outer


def to_layers(
    arrays: Mapping[str, np.ndarray], path: Path, blocks: tuple[int, ...], width: int, name: str, title: str
) -> Layers:
    """Brings the arrays of a file to those of the trunk; the classifier is left out.

    Args:
        arrays: as the file names them.
        path: of the file, for errors.
        blocks: number of bottlenecks of each layer.
        width: channels of the stem.
        name: value of `model.backbone`, for errors.
        title: the published name, for errors.

    Raises:
        WeightsError: they are of another network, layers are missing or have another shape, or are no numbers that a
            normalisation can have.
    """
    if "conv1.weight" not in arrays or not (found := _blocks(arrays)):
        names = f"its names are like {some(arrays)}" if arrays else "it holds no array"
        raise WeightsError(f"{path}: no layer of {title} in it; {names}")
    if "layer1.0.conv3.weight" not in arrays:
        raise WeightsError(f"{path}: this file holds a ResNet of basic blocks (as ResNet-18 and -34 are), not {title}")
    if found != blocks:
        raise WeightsError(
            f"{path}: this file holds a ResNet of {some(map(str, found))} blocks in its layers; the configuration asks "
            f"for {name}, of {some(map(str, blocks))}"
        )
    expected: dict[str, tuple[int, ...]] = {}
    folds = list(folded_layers(blocks, width))
    for fold in folds:
        expected[f"{fold.conv}.weight"] = fold.shape
        expected |= {f"{fold.norm}.{part}": fold.shape[:1] for part in _NORM}
    missing = [each for each in expected if each not in arrays]
    surplus = [each for each in arrays if each not in expected and not _unused(each)]
    if missing or surplus:
        parts = ([f"missing: {some(missing)}"] if missing else []) + (
            [f"not of {title}: {some(surplus)}"] if surplus else []
        )
        raise WeightsError(f"{path}: {'; '.join(parts)}")
    wrong = [
        f"{each} is {arrays[each].shape}, {title}'s is {shape}"
        for each, shape in expected.items()
        if arrays[each].shape != shape
    ]
    if wrong:
        raise WeightsError(f"{path}: wrong shapes: {some(wrong, '; ', 4)}")
    for each in expected:
        if not np.issubdtype(arrays[each].dtype, np.floating):
            raise WeightsError(f"{path}: {each} is of {arrays[each].dtype}; floating point was expected")
        if each.endswith("running_var") and arrays[each].min() < 0:
            raise WeightsError(f"{path}: {each} holds negative variances: the file is damaged")
    return {fold.layer: _fold(fold, arrays) for fold in folds}


def _blocks(arrays: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Number of blocks in each layer of a file."""
    matches = filter(None, (re.fullmatch(r"layer(\d)\.\d+\.conv1\.weight", name) for name in arrays))
    counts = Counter(match[1] for match in matches)
    return tuple(counts[number] for number in sorted(counts))


def _unused(name: str) -> bool:
    return name.startswith("fc.") or name.endswith(".num_batches_tracked")


def _fold(fold: Folded, arrays: Mapping[str, np.ndarray]) -> dict[str, Float32[np.ndarray, "..."]]:
    weight, bias, mean, variance = (arrays[f"{fold.norm}.{part}"].astype(np.float64) for part in _NORM)
    scale = weight / np.sqrt(variance + EPSILON)
    kernel = arrays[f"{fold.conv}.weight"].astype(np.float64) * scale[:, None, None, None]
    kernel = kernel.transpose(2, 3, 1, 0)
    kernel = kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel
    return {
        "kernel": np.ascontiguousarray(kernel, np.float32),
        "bias": (bias - scale * mean).astype(np.float32),
    }
