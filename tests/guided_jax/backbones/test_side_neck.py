"""Side outputs of the stages, and the linear layer on them: OSVOS's network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.backbones.vgg.geometry import VGGGeometry
from guided_jax.backbones.vgg.trunk import STAGES
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor
from tests.guided_jax.small_models import make_batch, make_model, shapes_of, small_model

OSVOS = {"fusion": "none", "inference": "side-outputs", "sharing": "unshared", "stride": 2, "dropout": 0.0}


def test_the_published_network_has_these_parameters():
    """Of OSVOS-PyTorch: side_prep of stages 2 to 5 with 16 channels, and fuse on 64; ours scores both labels."""
    model = Segmentor(ModelConfig(grid="taps", **{**OSVOS, "feature_width": 16, "fc6_kernel": 1}), CAFFE)
    check_model(model.config)
    shapes = {path: leaf.shape for path, leaf in shapes_of(model).items()}
    widths = [stage[-1] for stage in STAGES["vgg16"]]
    for stage in (2, 3, 4, 5):
        assert shapes[f"neck/side{stage}/kernel"] == (3, 3, widths[stage - 1], 16)
    assert shapes["head/score/kernel"] == (64, 2)
    assert len([path for path in shapes if not path.startswith("trunk/")]) == 4 * 2 + 2


def test_logits_are_those_of_an_independent_graph():
    """torch: convolutions of the taps, bilinear upsampling to the finest and to the pixels, a sum by the last layer."""
    model, params = small_model(**OSVOS)
    batch = make_batch(size=(24, 32), canvas=(24, 32), count=2)
    logits = np.asarray(jax.jit(model.apply)({"params": params}, batch))[0]
    run = jax.jit(lambda images, size: model.apply({"params": params}, images, size, method="trunk_maps"))
    maps = run(batch.query, batch.query_size)
    assert [each.shape[1:3] for each in maps] == [(12, 16), (6, 8)]

    def as_torch(values, *axes):
        return torch.tensor(np.asarray(values)).permute(*axes)

    def enlarge(values, size):
        return torch.nn.functional.interpolate(values, size=size, mode="bilinear", align_corners=False)

    sides = []
    for stage, each in zip((2, 3), maps, strict=True):
        layer = params["neck"][f"side{stage}"]
        kernel, bias = as_torch(layer["kernel"], 3, 2, 0, 1), torch.tensor(np.asarray(layer["bias"]))
        sides.append(enlarge(torch.nn.functional.conv2d(as_torch(each, 0, 3, 1, 2), kernel, bias, padding=1), (12, 16)))
    score = params["head"]["score"]
    flat = torch.cat(sides, 1).permute(0, 2, 3, 1).numpy() @ np.asarray(score["kernel"]) + np.asarray(score["bias"])
    expected = enlarge(torch.tensor(flat).permute(0, 3, 1, 2), (24, 32)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_padding_does_not_matter():
    model, params = make_model(**OSVOS)
    apply = jax.jit(model.apply)
    tight, loose = (make_batch(size=(24, 32), canvas=canvas, count=1) for canvas in ((24, 32), (40, 48)))
    loose.query[:, :24, :32] = tight.query
    loose.query[:, 24:] = 77
    small, large = (apply({"params": params}, batch)[0, 0] for batch in (tight, loose))
    np.testing.assert_allclose(large[:, :24, :32], small, atol=1e-4 * float(jnp.abs(small).max()))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fusion": "late"}, "model.fusion=late: model.inference=side-outputs is built for model.fusion=none alone"),
        ({"grid": "exact", "stride": 8}, "model.grid=exact: model.inference=side-outputs is built for model.grid=taps"),
        ({"head_width": 5}, "model.head_width=5: .* is built for model.head_width=0 alone"),
        ({"feature_width": 0}, "model.feature_width=0: .* needs a width of its outputs"),
        ({"stride": 8}, "model.stride=8 lies behind the trunk's last map"),
        ({"locality": "local"}, "model.locality=local: under model.inference=side-outputs there is no guidance"),
    ],
)
def test_what_makes_no_such_model(fields, message):
    config = {"backbone": "vgg-tiny", "grid": "taps", "feature_width": 8, "fc6_kernel": 1, **OSVOS, **fields}
    with pytest.raises(ValueError, match=message):
        check_model(ModelConfig(**config))


def test_the_finest_stride_of_vgg16():
    assert VGGGeometry("taps", 5, 2, 1).tap_stages == (2, 3, 4, 5)
    with pytest.raises(ValueError, match="choose one of 32, 16, 8, 4, 2"):
        VGGGeometry("taps", 5, 1, 1)
