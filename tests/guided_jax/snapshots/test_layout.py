"""The reference's models by name, and their state dicts, against what its code was seen to write."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from guided_jax.backbones.vgg.trunk import STAGES
from guided_jax.backbones.weight_files import WeightsError
from guided_jax.episode import blank_batch
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor
from guided_jax.snapshots.layout import buffers_of, fixed_kernels, from_state, layers_of, numbered_modules, to_state
from guided_jax.snapshots.models import MODELS, PREPROCESSING, canonical_name, find_model, matching_names
from tests.guided_jax.snapshots.narrow import make_narrow, random_state

PARAMETERS = {
    "fcn32s": 134_268_738,
    "fcn32s-lite": 21_203_778,
    "fgbg": 134_268_738,
    "fgbg-lite": 21_203_778,
    "interactive-early": 134_269_890,
    "interactive-early-lite": 21_204_930,
    "interactive-late": 184_604_481,
    "interactive-late-glob": 184_604_481,
    "interactive-late-glob-lite": 21_400_641,
    "cofeat-early": 42_407_938,
    "cofeat-late": 184_604_481,
    "cofeat-late-lite": 21_400_641,
    "cofeat-late-lite-unshared": 21_729_602,
    "interactive-late@image-seg": 21_729_602,
    "interactive-late-glob@image-seg": 21_729_602,
    "cofeat-late@image-seg": 21_729_602,
}

KERNELS = {
    "fcn32s": {
        "encoder.conv1_1.weight": (64, 3, 3, 3),
        "encoder.fc6.weight": (4096, 512, 7, 7),
        "encoder.fc7.weight": (4096, 4096, 1, 1),
        "head.weight": (2, 4096, 1, 1),
        "decoder.weight": (2, 2, 64, 64),
    },
    "interactive-early": {"encoder.conv1_1.weight": (64, 5, 3, 3), "head.weight": (2, 4096, 1, 1)},
    "interactive-late": {
        "encoder.fc6.weight": (4096, 512, 7, 7),
        "head.fc7.weight": (8192, 8192, 1, 1),
        "head.score.weight": (1, 8192, 1, 1),
        "anno_enc.weight": (1, 1, 64, 64),
        "decoder.weight": (1, 1, 64, 64),
    },
    "interactive-late-glob-lite": {
        "encoder.fc6.weight": (256, 512, 7, 7),
        "head.fc7.weight": (512, 512, 1, 1),
        "head.score.weight": (1, 512, 1, 1),
    },
    "cofeat-late-lite": {"z": (2, 256), "num_z": (2, 1), "head.fc7.weight": (512, 512, 1, 1)},
    "cofeat-late-lite-unshared": {
        "encoder.fc6.weight": (256, 512, 7, 7),
        "head.fc7.weight": (768, 768, 1, 1),
        "head.score.weight": (2, 768, 1, 1),
        "anno_enc.weight": (1, 1, 64, 64),
        "decoder.weight": (2, 2, 64, 64),
    },
    "cofeat-early": {
        "supp_encoder.conv1_1.weight": (64, 5, 3, 3),
        "qry_encoder.conv1_1.weight": (64, 3, 3, 3),
        "supp_encoder.conv5_3.bias": (512,),
        "supp_encoder.fc6.weight": (256, 512, 7, 7),
        "qry_encoder.fc6.weight": (256, 512, 7, 7),
        "head.fc7.weight": (256, 512, 1, 1),
        "head.score.weight": (2, 256, 1, 1),
        "decoder.weight": (2, 2, 64, 64),
    },
}


def parameter_shapes(config):
    like = jax.eval_shape(Segmentor(config, PREPROCESSING).init, jax.random.key(0), blank_batch(64))["params"]
    return {path: leaf.shape for path, leaf in flatten_dict(like, sep="/").items()}


def shapes_of(state):
    return {name: value.shape for name, value in state.items()}


class TestFullWidth:
    """The shapes of the real models; no array of them is made but the fixed kernels."""

    @pytest.mark.parametrize("name", sorted(PARAMETERS))
    def test_parameters(self, name):
        layers = layers_of(MODELS[name]).values()
        assert sum(math.prod(layer.shape) + layer.shape[0] for layer in layers) == PARAMETERS[name]

    @pytest.mark.parametrize("name", sorted(KERNELS))
    def test_shapes_and_names(self, name):
        layers = layers_of(MODELS[name])
        shapes = {f"{module}.weight": layer.shape for module, layer in layers.items()}
        shapes |= {f"{module}.bias": layer.shape[:1] for module, layer in layers.items()}
        shapes |= shapes_of(fixed_kernels(MODELS[name]))
        shapes |= buffers_of(MODELS[name])
        assert {key: shapes[key] for key in KERNELS[name]} == KERNELS[name]
        assert ("z" in shapes) == ("z" in KERNELS[name])

    @pytest.mark.parametrize("name", sorted(PARAMETERS))
    def test_the_model_here_has_the_same_parameters(self, name):
        check_model(MODELS[name].config)
        expected = {}
        for layer in layers_of(MODELS[name]).values():
            outputs, inputs, *window = layer.shape
            kernel = (inputs, outputs) if layer.path[0] == "head" else (*window, inputs, outputs)
            expected |= {"/".join([*layer.path, "kernel"]): kernel, "/".join([*layer.path, "bias"]): (outputs,)}
        assert parameter_shapes(MODELS[name].config) == expected

    def test_modules_of_vgg16_by_number(self):
        numbers = numbered_modules(STAGES["vgg16"])
        assert [int(number) for number in numbers.values()] == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31]
        assert numbers["conv3_2"] == "12"


def random_params(name):
    return from_state(random_state(name), name)


@pytest.fixture
def narrow(monkeypatch):
    make_narrow(monkeypatch)


def test_fixed_kernels():
    kernels = fixed_kernels(MODELS["cofeat-late-lite-unshared"])
    decoder, downsampler = kernels["decoder.weight"], kernels["anno_enc.weight"]
    assert decoder[0, 0, 0, 0] == pytest.approx(1 / 64**2)  # 0.00024 in the corner
    assert decoder[1, 1, 31, 32] == pytest.approx((63 / 64) ** 2)
    assert not decoder[0, 1].any()
    assert downsampler.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("numbered", [False, True])
def test_there_and_back(narrow, name, numbered):
    state = random_state(name)
    again = to_state(from_state(state, name), name, numbered=numbered)
    if numbered and MODELS[name].config.fusion == "late":
        assert "encoder.28.weight" in again
        assert "encoder.conv5_3.weight" not in again
        again = to_state(from_state(again, name), name)
    assert again.keys() == state.keys()
    for key, value in state.items():
        assert again[key].dtype == np.float32
        np.testing.assert_array_equal(again[key], value, err_msg=key)


def test_both_forms_of_the_keys(narrow, monkeypatch):
    """fc6 is a number where it is VGG's own, 4096 wide, and keeps its name where it is new."""
    wide = dataclasses.replace(MODELS["cofeat-late"].config, feature_width=4096, fc6_kernel=1, head_width=2)
    monkeypatch.setitem(MODELS, "cofeat-late", dataclasses.replace(MODELS["cofeat-late"], config=wide))
    for name, key in (("cofeat-late", "encoder.31"), ("cofeat-late-lite", "encoder.fc6")):
        params = random_params(name)
        state = to_state(params, name, numbered=True)
        assert {"encoder.0.weight", "encoder.28.bias", f"{key}.weight", f"{key}.bias"} <= state.keys()
        assert not any("conv" in key for key in state)
        jax.tree.map(np.testing.assert_array_equal, from_state(state, name), params)


def test_channels_of_the_early_models_are_in_our_order(narrow):
    state = random_state("interactive-early")
    kernel = state["encoder.conv1_1.weight"]
    ours = [
        from_state(state, f"interactive-early{branch}")["trunk"]["conv1_1"]["kernel"] for branch in ("", "@image-seg")
    ]
    for channel, (negative_first, positive_first) in enumerate([(0, 0), (1, 1), (2, 2), (3, 4), (4, 3)]):
        np.testing.assert_array_equal(ours[0][:, :, channel], kernel.transpose(2, 3, 1, 0)[:, :, negative_first])
        np.testing.assert_array_equal(ours[1][:, :, channel], kernel.transpose(2, 3, 1, 0)[:, :, positive_first])


def test_cofeat_early_s_head_has_the_query_first(narrow):
    state = random_state("cofeat-early")
    kernel = from_state(state, "cofeat-early")["head"]["fc7"]["kernel"]
    np.testing.assert_array_equal(kernel[:6], state["head.fc7.weight"][:, 6:, 0, 0].T)
    np.testing.assert_array_equal(kernel[6:], state["head.fc7.weight"][:, :6, 0, 0].T)


def test_any_number_of_labels(narrow):
    state = random_state("cofeat-late", way=2)
    params = from_state(state, "cofeat-late", way=4)
    jax.tree.map(np.testing.assert_array_equal, params, from_state(state, "cofeat-late"))
    many = to_state(params, "cofeat-late", way=4)
    assert many["z"].shape == (4, 8)
    assert many["num_z"].shape == (4, 1)
    jax.tree.map(np.testing.assert_array_equal, from_state(many, "cofeat-late"), params)
    assert find_model("fcn32s", 21).config.way == 21
    assert from_state(random_state("fcn32s", way=21), "fcn32s", way=21)["head"]["score"]["bias"].shape == (21,)


def test_unguided_snapshots_serve_where_guidance_is_kept(narrow):
    """The reference adds the buffers to a file of interactive training."""
    state = random_state("interactive-late-glob")
    assert "z" not in state
    params = from_state(state, "cofeat-late")
    assert to_state(params, "cofeat-late")["z"].shape == (2, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.fc7.bias"), r"f\.pth: not cofeat-late's; missing: head\.fc7\.bias$"),
        (lambda s: s.update({"head.fc8.bias": s["head.fc7.bias"]}), r"surplus: head\.fc8\.bias$"),
        (lambda s: s.update({"encoder.30.bias": s["head.fc7.bias"]}), r"surplus: encoder\.30\.bias$"),
        (
            lambda s: s.update({"head.fc7.bias": s["head.score.bias"]}),
            r"of another shape: head\.fc7\.bias is 1, not 16$",
        ),
        (lambda s: s.update({"z": s["num_z"]}), r"of another shape: z is 2x1, not 2x8$"),
        (lambda s: s.update({"encoder.0.bias": s["encoder.conv1_1.bias"]}), r"gives encoder\.conv1_1\.bias twice"),
        (
            lambda s: s.update({"decoder.weight": s["decoder.weight"] + 1e-3}),
            r"decoder\.weight is not the fixed bilinear",
        ),
        (
            lambda s: s.update({"anno_enc.weight": s["anno_enc.weight"] * 2}),
            r"anno_enc\.weight is not the fixed bilinear",
        ),
        (lambda s: s.pop("anno_enc.weight"), r"missing: anno_enc\.weight$"),
    ],
)
def test_what_is_not_the_model_s_is_named(narrow, change, message):
    state = random_state("cofeat-late")
    change(state)
    with pytest.raises(WeightsError, match=message) as error:
        from_state(state, "cofeat-late", where="f.pth")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        (
            "cofeat-late",
            "interactive-late",
            r"surplus: z, num_z; it fits interactive-late-glob|surplus: z, num_z; it fits cofeat-late$",
        ),
        ("cofeat-late-lite", "cofeat-late", r"z is 2x6, not 2x8; it fits cofeat-late-lite$"),
        ("cofeat-early", "cofeat-late", r"and \d+ more; .* it fits cofeat-early, cofeat-early@image-seg$"),
        (
            "cofeat-late-lite-unshared",
            "cofeat-late-lite",
            r"; it fits cofeat-late-lite-unshared, interactive-late@image-seg, .*, cofeat-late@image-seg$",
        ),
    ],
)
def test_models_that_a_file_fits_are_named(narrow, name, asked, message):
    with pytest.raises(WeightsError, match=message):
        from_state(random_state(name), asked)


def test_a_number_of_classes_that_a_file_fits_is_named(narrow):
    with pytest.raises(WeightsError, match=r"it fits fgbg \(with way=21\), fcn32s \(with way=21\)$"):
        from_state(random_state("fcn32s", way=21), "fcn32s")


def test_other_parameters_are_not_exported(narrow):
    params = random_params("cofeat-late-lite")
    with pytest.raises(WeightsError, match=r"the parameters: not cofeat-late's; of another shape: neck/fc6/kernel is "):
        to_state(params, "cofeat-late")
    del params["head"]["score"]["bias"]
    with pytest.raises(WeightsError, match=r"not cofeat-late-lite's; missing: head/score/bias$"):
        to_state(params, "cofeat-late-lite")


class TestNames:
    def test_unknown(self):
        with pytest.raises(
            WeightsError, match=r"'cofeat-later': the reference has no such model; it has fgbg, .*cofeat-late,"
        ):
            find_model("cofeat-later")

    def test_older(self):
        assert canonical_name("dios-late-glob") == "interactive-late-glob"
        assert find_model("dios-early@image-seg").positive_first

    @pytest.mark.parametrize(
        ("name", "way"), [("cofeat-late-lite-unshared", 3), ("interactive-early", 3), ("fcn32s", 1)]
    )
    def test_numbers_of_labels(self, name, way):
        with pytest.raises(WeightsError, match=rf"{name}: is for 2 labels.*, not for {way}$"):
            find_model(name, way)

    @pytest.mark.parametrize("name", MODELS)
    def test_a_configuration_finds_its_name(self, name):
        assert name in matching_names(MODELS[name].config)

    def test_the_defaults_are_the_reference_s(self):
        assert matching_names(ModelConfig()) == ["interactive-late-glob", "cofeat-late"]
        assert matching_names(ModelConfig(way=5, dropout=0.0, dtype="bfloat16")) == [
            "interactive-late-glob",
            "cofeat-late",
        ]
        assert matching_names(ModelConfig(head_width=8192)) == ["interactive-late-glob", "cofeat-late"]

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"grid": "taps", "stride": 8}, r"its interactive-late-glob has model\.grid='exact' where this has 'taps'"),
            (
                {"fusion": "stack", "inference": "direct", "encoding": "distance", "sharing": "unshared"},
                "encoding='discs'",
            ),
            (
                {"locality": "local", "inference": "distance"},
                r"interactive-late-?.* has model\.inference='feature-fusion'",
            ),
            ({"feature_width": 256, "sharing": "unshared", "way": 3}, r"unshared has model\.way=2 where this has 3"),
            ({"pooling": "maximum"}, r"model\.pooling='average' where this has 'maximum'"),
            ({"mask": "learned"}, r"model\.mask='fixed' where this has 'learned'"),
            ({"backbone": "vgg16-quarter"}, r"model\.backbone='vgg16'"),
        ],
    )
    def test_what_the_reference_has_not(self, fields, message):
        with pytest.raises(WeightsError, match=f"the reference has no such model: .*{message}"):
            matching_names(ModelConfig(**fields))
