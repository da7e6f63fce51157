from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.vit.architecture import VITS
from guided_jax.backbones.vit.layouts import held_in, to_trunk
from guided_jax.backbones.weight_files import read_arrays
from tests.guided_jax.backbones.vit.published import arrays_of, as_meta, make_hf, make_timm, saved_by

FILE = Path("some.safetensors")
TINY = ("dinov2-tiny", "dinov2-tiny-registers", "dinov3-tiny")


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one, other)


@pytest.mark.parametrize("name", TINY)
def test_meta_and_timm_name_the_same_weights(name, tmp_path):
    a, timm = VITS[name], arrays_of(make_timm(name))
    meta = {key: torch.from_numpy(value) for key, value in as_meta(timm, a).items()}
    torch.save(meta, tmp_path / "meta.pth")
    save_file(timm, tmp_path / "timm.safetensors")
    read = [to_trunk(read_arrays(tmp_path / file)[0], FILE, a) for file in ("meta.pth", "timm.safetensors")]
    same(*read)


@pytest.mark.parametrize("name", TINY)
def test_transformers_names_of_files_and_of_today(name, tmp_path):
    model = make_hf(name)
    same(*(to_trunk(arrays, FILE, VITS[name]) for arrays in (saved_by(model, tmp_path), arrays_of(model))))


def test_biases_that_timm_leaves_out_are_zero():
    arrays = arrays_of(make_timm("dinov3-tiny", "patch16_dinov3"))
    attention = to_trunk(arrays, FILE, VITS["dinov3-tiny"])["block2"]
    assert not attention["query"]["bias"].any() and not attention["value"]["bias"].any()
    assert attention["out"]["bias"].any() and "bias" not in attention["key"]


@pytest.mark.parametrize(
    ("file", "model", "message"),
    [
        ("dinov3-tiny", "dinov3-s", "width 16 with 2 blocks, patch 16, 4 registers and rotary positions; the model's"),
        ("dinov2-tiny", "dinov3-tiny", "patch 14, no registers and learned positions of 5x5; the model's is a ViT of"),
        ("dinov2-tiny", "dinov2-tiny-registers", "no registers and learned positions of 5x5; the model's is .* 4 reg"),
    ],
)
def test_another_architecture_is_named(file, model, message):
    with pytest.raises(WeightsError, match=f"some.safetensors: it is a ViT of .*{message}"):
        to_trunk(arrays_of(make_hf(file)), FILE, VITS[model])


def test_a_gated_mlp_is_named():
    arrays = {"cls_token": np.zeros((1, 1, 16)), "patch_embed.proj.weight": np.zeros((16, 3, 16, 16))}
    arrays |= {"blocks.0.mlp.w12.weight": np.zeros((64, 16))}
    assert held_in(arrays).endswith("1 blocks, patch 16, no registers and rotary positions and a gated MLP (SwiGLU)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("norm.weight"), "missing: norm/scale"),
        (lambda arrays: arrays.update({"head.weight": np.zeros(3)}), None),
        (lambda arrays: arrays.update({"blocks.0.extra": np.zeros(3)}), "not of a vision transformer: blocks.0.extra"),
        (
            lambda arrays: arrays.update({"blocks.1.mlp.fc1.bias": np.zeros(3, np.float32)}),
            r"block2/expand/bias is \(3,\), the model's is \(64,\)",
        ),
        (lambda arrays: arrays.pop("cls_token"), "no vision transformer in it; its names are like reg_token"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    arrays = arrays_of(make_timm("dinov3-tiny"))
    change(arrays)
    if message is None:
        to_trunk(arrays, FILE, VITS["dinov3-tiny"])
        return
    with pytest.raises(WeightsError, match=message):
        to_trunk(arrays, FILE, VITS["dinov3-tiny"])
