"""How Meta, Hugging Face and timm lay out the arrays of a vision transformer, and what a file of them holds."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.vit.architecture import Architecture, describe

_ROOT = {
    "class_token": r"(?:embeddings\.)?cls_token",
    "positions": r"pos_embed|embeddings\.position_embeddings",
    "registers": r"register_tokens|embeddings\.register_tokens|reg_token|storage_tokens",
    "patches": r"patch_embed\.proj|embeddings\.patch_embeddings(?:\.projection)?",
    "norm": r"norm|fc_norm|layernorm",
}
_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "qkv": r"attn\.qkv",
    "query": r"attn\.q_proj|attention\.q_proj|attention\.attention\.query",
    "key": r"attn\.k_proj|attention\.k_proj|attention\.attention\.key",
    "value": r"attn\.v_proj|attention\.v_proj|attention\.attention\.value",
    "out": r"attn\.proj|attention\.o_proj|attention\.output\.dense",
    "scale1": r"ls1\.gamma|gamma_1|layer_scale1\.lambda1",
    "scale2": r"ls2\.gamma|gamma_2|layer_scale2\.lambda1",
    "expand": r"mlp\.fc1|mlp\.up_proj",
    "contract": r"mlp\.fc2|mlp\.down_proj",
    "gate": r"mlp\.w12|mlp\.gate_proj|mlp\.weights_in|mlp\.w1|mlp\.fc1_g",
}
_LONE_BIASES = {"attn.q_bias": ("query", "bias"), "attn.v_bias": ("value", "bias")}
"""timm's name of them, where DINOv3's are kept at all: without them they are 0."""

_NUMBERED = re.compile(r"(?:model\.)?(?:blocks|(?:encoder\.)?layers?)\.(\d+)\.(.+)")
_WITHOUT_USE = re.compile(r"(?:.*\.)?(?:mask_token|periods|inv_freq|bias_mask|k_bias)|(?:head|local_cls_norm)\..*")
"""Of the pretraining or the classifier, or constants."""

Arrays = Mapping[str, np.ndarray]


def _part_of(name: str) -> tuple[str, ...] | None:
    """Path of an array in the common form, `weight` and `bias` as the file has them; None: not of such a network."""
    block, rest = (), name
    if match := _NUMBERED.fullmatch(name):
        block, rest = (f"block{int(match[1]) + 1}",), match[2]
        if rest in _LONE_BIASES:
            return (*block, *_LONE_BIASES[rest])
    stem, _, part = rest.rpartition(".")
    for layer, pattern in (_BLOCK if block else _ROOT).items():
        if re.fullmatch(pattern, rest):
            return (*block, layer)
        if part in ("weight", "bias") and re.fullmatch(pattern, stem):
            return (*block, layer, part)
    return None


def held_in(arrays: Arrays) -> str | None:
    """The vision transformer that a file holds, in words; None where it is none."""
    found = {part: value for name, value in arrays.items() if (part := _part_of(name))}
    if not {("class_token",), ("patches", "weight")} <= found.keys() or found["patches", "weight"].ndim != 4:
        return None
    width, patch = found["patches", "weight"].shape[0], found["patches", "weight"].shape[-1]
    depth = len({part[0] for part in found if part[0].startswith("block")})
    registers = found["registers",].shape[-2] if ("registers",) in found else 0
    learned = math.isqrt(found["positions",].shape[-2]) if ("positions",) in found else 0
    gated = " and a gated MLP (SwiGLU)" if any(part[1:2] == ("gate",) for part in found) else ""
    return describe(width, depth, patch, registers, learned) + gated


def layout_of(arrays: Arrays) -> str:
    """Whose names a file has, for messages: Hugging Face's, or those that Meta and timm share for the most part."""
    return "Hugging Face" if any(name.startswith("embeddings.") for name in arrays) else "Meta or timm"


def to_trunk(arrays: Arrays, path: Path, architecture: Architecture) -> dict:
    """Brings the arrays of a file to the parameters of a `Trunk`, all blocks of it.

    Meta's `.pth` and Hugging Face's and timm's `.safetensors`, of today and of before. The position of the class token
    is added to it. Of DINOv3 the biases of queries and values are 0 where the file has none (timm's), and that of the
    keys, which Meta masks, is left out.

    Args:
        arrays: as the file names them.
        path: of the file, for errors.
        architecture: what must be in it.

    Returns:
        Arrays float32 in nested dictionaries, as flax names them.

    Raises:
        WeightsError: the file is of something else, which is named, or lacks an array, or one has another shape.
    """
    held = held_in(arrays)
    if held is None:
        some = ", ".join(list(arrays)[:8]) or "none"
        raise WeightsError(f"{path}: no vision transformer in it; its names are like {some}")
    if held != str(architecture):
        raise WeightsError(f"{path}: it is {held}; the model's is {architecture}")
    parts, surplus = {}, []
    for name, value in arrays.items():
        if part := _part_of(name):
            parts[part] = np.asarray(value, np.float32)
        elif not _WITHOUT_USE.fullmatch(name):
            surplus.append(name)
    if surplus:
        raise WeightsError(f"{path}: not of a vision transformer: {', '.join(surplus[:8])}")
    values = _common(parts, architecture)
    shapes = _shapes(architecture)
    if missing := ["/".join(part) for part in shapes if part not in values]:
        raise WeightsError(f"{path}: missing: {', '.join(missing[:8])}{' and more' * (len(missing) > 8)}")
    for part, shape in shapes.items():
        if values[part].shape != shape:
            raise WeightsError(f"{path}: {'/'.join(part)} is {values[part].shape}, the model's is {shape}")
    return unflatten_dict({part: np.ascontiguousarray(values[part]) for part in shapes})


def _common(parts: Mapping[tuple[str, ...], np.ndarray], a: Architecture) -> dict[tuple[str, ...], np.ndarray]:
    """Turns kernels round, splits what is fused, and reshapes tokens and positions."""
    values = {}
    for part, value in parts.items():
        *layer, name = part
        if name == "weight" and value.ndim == 1:
            values[*layer, "scale"] = value
        elif part == ("patches", "weight"):
            values["patches", "kernel"] = value.transpose(2, 3, 1, 0).reshape(-1, a.width)
        elif layer and layer[-1] == "qkv":
            for third, piece in zip(("query", "key", "value"), np.array_split(value, 3), strict=True):
                values[*layer[:-1], third, "kernel" if name == "weight" else "bias"] = piece.T
        elif name == "weight":
            values[*layer, "kernel"] = value.T
        elif name in ("class_token", "registers"):
            values[part] = value.reshape(-1, value.shape[-1])
        elif name == "positions":
            value = value.reshape(-1, value.shape[-1])
            values[part] = value[-(a.learned**2) :].reshape(a.learned, a.learned, -1)
        else:
            values[part] = value
    if ("positions",) in parts and parts["positions",].shape[-2] > a.learned**2 and ("class_token",) in values:
        values["class_token",] = values["class_token",] + parts["positions",].reshape(-1, a.width)[:1]
    for number in range(1, a.depth + 1):
        for layer in () if a.learned else ("query", "value"):
            values.setdefault((f"block{number}", layer, "bias"), np.zeros(a.width, np.float32))
    return values


def _shapes(a: Architecture) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Shapes of the parameters of a trunk with all its blocks."""

    def dense(inputs: int, outputs: int, *, bias: bool = True):
        return {"kernel": (inputs, outputs), **({"bias": (outputs,)} if bias else {})}

    c, norm = a.width, {"scale": (a.width,), "bias": (a.width,)}
    block = {"norm1": norm, "query": dense(c, c), "key": dense(c, c, bias=bool(a.learned)), "value": dense(c, c)}
    block |= {"out": dense(c, c), "scale1": (c,)}
    block |= {"norm2": norm, "expand": dense(c, 4 * c), "contract": dense(4 * c, c), "scale2": (c,)}
    tree = {"patches": dense(3 * a.patch**2, c), "class_token": (1, c)}
    tree |= {"positions": (a.learned, a.learned, c)} if a.learned else {}
    tree |= {"registers": (a.registers, c)} if a.registers else {}
    tree |= {f"block{number}": block for number in range(1, a.depth + 1)}
    return flatten_dict({**tree, "norm": norm})
