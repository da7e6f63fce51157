"""A transformer as a backbone: from a file of weights to the features and the logits of a model."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from experiments.runs.features import trunk_key
from guided_jax.backbones import weight_downloads
from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.preprocessing import TORCHVISION, normalise
from guided_jax.backbones.pretrained import load_into, read_weights
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.vit.architecture import VITS
from guided_jax.episode import blank_batch
from guided_jax.model_config import ModelConfig, geometry_of, trunk_channels
from guided_jax.segmentor import Segmentor
from tests.guided_jax.backbones.vit.published import arrays_of, as_meta, make_hf, make_timm, patches_of

FROZEN = {"grid": "taps", "feature_width": 0, "inference": "distance", "locality": "both"}


def model_of(name, **fields):
    config = ModelConfig(**{"backbone": name, "stride": VITS[name].patch, **FROZEN, **fields})
    model = Segmentor(config, TORCHVISION)
    return model, jax.jit(model.init)(jax.random.key(0), blank_batch(64))["params"]


@pytest.mark.parametrize("name", ["dinov2-tiny", "dinov3-tiny"])
def test_a_file_becomes_the_features_of_a_model(name, tmp_path):
    hf, a = make_hf(name), VITS[name]
    save_file(arrays_of(hf), tmp_path / "model.safetensors")
    pretrained = read_weights(tmp_path / "model.safetensors", BACKBONES[name])
    assert pretrained.preprocessing == TORCHVISION
    model, params = model_of(name, layers="1,2")
    params, report = load_into(params, pretrained)
    assert report.untouched == ("head",) and not report.unused
    image = np.random.default_rng(0).integers(0, 256, (1, 4 * a.patch, 5 * a.patch, 3), np.uint8)
    size = np.array([image.shape[1:3]], np.int32)
    maps = jax.jit(partial(model.apply, method="trunk_maps"))({"params": params}, image, size)
    pixels = np.asarray(normalise(jnp.asarray(image), TORCHVISION, jnp.float32))
    for ours, theirs in zip(maps, patches_of(hf, pixels, a, (1, 2)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_last_block_alone_leaves_the_others_of_the_file(tmp_path):
    arrays = as_meta(arrays_of(make_timm("dinov3-tiny")), VITS["dinov3-tiny"])
    torch.save({name: torch.from_numpy(value) for name, value in arrays.items()}, tmp_path / "meta.pth")
    _, params = model_of("dinov3-tiny", layers="1", positional=3)
    params, report = load_into(params, read_weights(tmp_path / "meta.pth", BACKBONES["dinov3-tiny"]))
    assert {name.split("/")[0] for name in report.unused} == {"block2"}
    assert report.untouched == ("head", "neck")


def test_a_transformer_that_is_not_in_the_table_is_named(tmp_path):
    other = {"cls_token": np.zeros((1, 1, 20), np.float32), "patch_embed.proj.weight": np.zeros((20, 3, 8, 8))}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="it is a ViT of width 20 with 0 blocks, patch 8, no registers and rotary"):
        read_weights(tmp_path / "other.safetensors", BACKBONES["dinov3-s"])


def test_weights_of_the_hub_are_read(tmp_path, monkeypatch):
    save_file(arrays_of(make_hf("dinov3-tiny")), tmp_path / "model.safetensors")
    asked = []
    monkeypatch.setattr(weight_downloads, "fetch", lambda name: asked.append(name) or tmp_path / "model.safetensors")
    assert "block2/query" in read_weights("hf:some/model", BACKBONES["dinov3-tiny"]).layers
    assert asked == ["hf:some/model"]


def test_every_published_row():
    titles = {name: BACKBONES[name].title for name in VITS}
    assert titles["dinov2-l-registers"] == "DINOv2 ViT-L/14 with registers" and titles["dinov3-b"] == "DINOv3 ViT-B/16"
    large = ModelConfig(backbone="dinov3-l", stride=16, layers="18,24", **FROZEN)
    assert trunk_channels(large) == (1024, 1024)
    geometry = geometry_of(large)
    assert [tap.number for tap in geometry.taps] == [18, 24]
    assert geometry.cells(33) == 3 and geometry.centres(33).tolist() == [7.5, 23.5, 39.5]
    assert BACKBONES["dinov2-s"].usual_stride == 14


def test_the_caches_key_follows_blocks_weights_and_type():
    keys = set()
    for fields in ({}, {"layers": "1"}, {"dtype": "bfloat16"}):
        config = ModelConfig(backbone="dinov3-tiny", stride=16, **FROZEN, **fields)
        for value in (1.0, 2.0):
            keys.add(trunk_key(Segmentor(config, TORCHVISION), {"class_token": jnp.full((1, 16), value)}))
    assert len(keys) == 6
