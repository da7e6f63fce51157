"""Every shipped configuration, as it is."""

import dataclasses
import json
import re
from pathlib import Path

import jax
import pytest

from experiments import configs
from experiments.settings.checks import check_config
from experiments.settings.config import Config, describe_model, unguided_twin
from experiments.settings.config_files import load_config
from experiments.settings.errors import UserError
from experiments.settings.fields import differing, flatten, read_stored, to_dict, with_overrides
from experiments.settings.parameters import count_parameters
from experiments.sweeping.plan import Variant, check_variants, read_variants
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.episode import blank_batch
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import read_rates
from guided_jax.model_config import ModelConfig, feature_channels, geometry_of, head_width
from guided_jax.segmentor import Segmentor

FILES = sorted(
    file for file in Path(configs.__file__).parent.rglob("*.py") if "\ndef get_config(" in file.read_text("utf-8")
)


def parameters(config: ModelConfig) -> int:
    model = Segmentor(config, CAFFE)
    shapes = jax.eval_shape(model.init, jax.random.key(0), blank_batch(64))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_sound(file, tmp_path):
    config = load_config(str(file))
    assert isinstance(config, Config)
    config.train.batch_size *= jax.device_count()
    if config.weights:
        with pytest.raises(ValueError, match=r"there is no such file"):
            check_config(config, training=True)
        config.weights = str(tmp_path / "weights.npz")
        Path(config.weights).touch()
    check_config(config, training=True)
    assert parameters(config.model) > 10_000


SWEEPS = {
    "early_late": {"late-global", "late-local", "early-stack-direct-discs", "early-stack-direct-distance",
                   "early-stack-global", "early-stack-local", "early-mask-global"},
    "feature_fusion": {"late-global", "late-unshared", "late-maximum", "late-learned-mask", "late-interpolated",
                       "late-both"},
    "parameter_regression": {"late-global", "regression-global", "regression-local", "regression-unshared",
                             "regression-mask"},
    "prototypes": {"late-global", *(f"{form}-{metric}" for form in ("prototypes", "neighbours", "both")
                                    for metric in ("cosine", "euclidean"))},
}  # fmt: skip
UNTRAINED = {"untrained-prototypes", "untrained-neighbours", "untrained-both"}


def read_sweeps(base: str, tmp_path: Path) -> list[Variant]:
    """The variants of all experiments on the paper's questions, in one sweep."""
    weights = tmp_path / "weights.npz"
    weights.touch()
    words = [f"--config.weights={weights}"] if base == "interactive" else []
    return read_variants([f"experiments/configs/{name}.py:{base}" for name in SWEEPS], words, [])


@pytest.mark.parametrize("base", ["generated", "interactive"])
def test_every_variant_of_the_sweeps_is_sound(base, tmp_path):
    variants = read_sweeps(base, tmp_path)
    for name, expected in SWEEPS.items():
        expected = expected | UNTRAINED if (name, base) == ("prototypes", "interactive") else expected
        file = f"experiments/configs/{name}.py:{base}"
        assert {each.name for each in variants if file in each.experiments} == expected
    check_variants(variants)
    named = {each.name: each.config for each in variants}
    assert len({str(dataclasses.replace(config, name="")) for config in named.values()}) == len(named)
    assert len({config.seed for config in named.values()}) == 1


@pytest.mark.parametrize("base", ["generated", "interactive"])
def test_variants_are_compared_at_the_same_width_and_training(base, tmp_path):
    variants = read_sweeps(base, tmp_path)
    plain = next(each for each in variants if each.name == "late-global").config
    for each in variants:
        for field in ("data", "eval"):
            assert getattr(each.config, field) == getattr(plain, field)
        allowed = {"train.freeze", "train.cache_features"} if each.name not in UNTRAINED else {"train.steps"}
        assert {name for name in each.overrides if not name.startswith("model.")} <= allowed
        if each.config.model.inference == "direct":
            assert each.config.model.head_width == 2 * plain.model.feature_width


def test_early_fusion_learns_what_sees_the_annotation(tmp_path):
    learning = {each.name: count_parameters(each.config).learning for each in read_sweeps("interactive", tmp_path)}
    without_head = learning["prototypes-cosine"] - 1  # a temperature
    first_stage = (3 * 3 * (3 + 2) * 64 + 64) + (3 * 3 * 64 * 64 + 64)
    direct_head = 256 * 512 + 512 + 512 * 2 + 2
    assert learning["early-stack-direct-discs"] == without_head + first_stage + direct_head


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("interactive_reference", "the variants are lite and none"),
        ("interactive", "the variants are unshared, clicks, unguided and none"),
        ("video_davis", "the variants are clips, same, and none"),
        ("few_shot", "write a fold from 0 to 3, and one of instances, unguided, oracle, decoder"),
        ("snapshot", "'light': the reference has no such model; it has fgbg,"),
    ],
)
def test_a_misspelt_variant_is_refused_by_the_name_that_was_typed(name, message):
    for typed in (name, str(Path(configs.__file__).parent / f"{name}.py")):
        with pytest.raises(UserError) as error:
            load_config(f"{typed}:light")
        assert str(error.value).startswith(f"--config={typed}:light: {message}")


@pytest.mark.parametrize("fields", [{"data.mode": "semantic", "eval.mode": "interactive"}, {"model.fusion": "none"}])
def test_corrections_need_an_annotation_of_the_query_to_correct(fields):
    config = load_config(
        "experiments/configs/interactive.py:unguided"
        if "model.fusion" in fields
        else "experiments/configs/interactive.py"
    )
    config = with_overrides(config, {"train.corrections": 3, **fields})
    with pytest.raises(
        ValueError, match=r"train.corrections=3: corrects the query's own annotation; it needs a guided model"
    ):
        check_config(config, training=True)


def test_a_misspelt_base_is_refused():
    with pytest.raises(UserError, match="'generatd' is no base; there are: generated, interactive"):
        load_config("experiments/configs/early_late.py:generatd")


def test_the_unguided_twin_differs_in_what_it_sees_alone():
    guided, twin = (load_config(f"experiments/configs/interactive.py{text}") for text in ("", ":unguided"))
    changed = {"name": twin.name, "model": twin.model}
    assert dataclasses.replace(guided, **changed) == twin
    assert differing(dataclasses.asdict(guided.model), dataclasses.asdict(twin.model)) == [
        "fusion",
        "inference",
        "head_width",
    ]
    # The first layer lacks the rows of the guidance; the score has a column for each label instead of one in all.
    assert parameters(guided.model) - parameters(twin.model) == 256 * 512 - (512 + 1)


@pytest.mark.parametrize("fields", [{}, {"sharing": "unshared", "way": 3}, {"head_width": 96}])
def test_the_unguided_twin_is_as_wide(fields):
    model = ModelConfig(**fields)
    assert unguided_twin(model).head_width == head_width(model)


def test_the_unshared_variant_differs_in_its_head_alone():
    shared, unshared = (load_config(f"experiments/configs/interactive.py{text}") for text in ("", ":unshared"))
    assert unshared.model == dataclasses.replace(shared.model, sharing="unshared")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "late global feature-fusion"),
        ({"fusion": "mask", "inference": "parameter-regression"}, "mask global parameter-regression"),
        ({"locality": "both", "inference": "distance"}, "late both distance"),
        ({"fusion": "stack", "inference": "direct"}, "stack direct"),
        ({"fusion": "none", "inference": "direct"}, "unguided"),
    ],
)
def test_models_are_told_apart(fields, text):
    assert describe_model(ModelConfig(**fields)) == text


COMPARED = {
    "compare_interactive": ["guided", "dios", "foreground-background", "fine-tuning"],
    "compare_interactive:interactive": ["guided", "dios", "foreground-background", "fine-tuning"],
    "compare_semantic:2": ["guided-by-classes", "guided-by-instances", "oslsm", "co-fcn", "foreground-background",
                           "fine-tuning", "oracle"],
    "compare_video": ["guided", "early", "osvos-parent", "foreground-background"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
def test_the_methods_of_a_comparison(name, tmp_path):
    """They are sound, score the same tasks, and those that are fitted to each task are blind to its annotation."""
    weights = tmp_path / "weights.npz"
    weights.touch()
    words = [] if name == "compare_interactive" else [f"--config.weights={weights}"]
    variants = read_variants([name], words, [])
    assert [each.name for each in variants] == COMPARED[name]
    for each in variants:
        each.config.train.batch_size *= jax.device_count()
    check_variants(variants)
    base = variants[0].config
    for each in variants:
        same = dataclasses.replace(each.config.eval, force_seen=base.eval.force_seen)
        assert same == base.eval and (each.config.eval.mode or each.config.data.mode) == (
            base.eval.mode or base.data.mode
        )
        assert not each.config.tune.steps or each.config.model.fusion == "none"
    assert [each.name for each in variants if each.config.tune.steps] == (
        [] if name == "compare_video" else ["fine-tuning"]
    )


def test_osvos_is_published_or_on_cached_features():
    published, cached = load_config("osvos"), load_config("osvos:cached")
    assert geometry_of(published.model).tap_stages == (2, 3, 4, 5) and not published.train.cache_features
    assert geometry_of(cached.model).tap_stages == (4, 5) and cached.train.cache_features
    assert (published.tune.steps, published.tune.freeze, published.tune.augment) == (2000, "", True)
    assert cached.tune.freeze == "trunk" and not cached.tune.augment


def test_dios_learns_from_clicks_and_cofcn_by_a_maximum():
    assert {load_config(f"dios{end}").data.points for end in ("", ":stage")} == {"clicks"}
    assert load_config("dios").train == TrainConfig() and load_config("dios").data.train == "sbd:train:instance"
    assert load_config("cofcn:2").eval.classes == "fold:2" and not load_config("cofcn:2").train.freeze
    assert load_config("cofcn").model.pooling == load_config("cofcn:0").model.pooling == "maximum"


def test_oslsm_learns_dense_masks_at_the_published_rates():
    config = load_config("oslsm:2")
    assert config.data.points == "dense" and config.eval.classes == "fold:2" and config.data.classes == "not fold:2"
    assert config.train.learning_rate == pytest.approx(1e-10 * 375 * 500, rel=0.1)
    assert feature_channels(config.model) == head_width(config.model) == 4096 and config.model.stride == 32
    rates = {
        "support_trunk/conv1_1/kernel": 0.1, "support_trunk/conv1_1/bias": 0.2, "trunk/conv1_1/kernel": 1.0,
        "trunk/conv1_1/bias": 2.0, "support_neck/fc6/bias": 0.2, "neck/fc6/kernel": 1.0, "head/fc7/kernel": 1.0,
        "head/fc7/bias": 2.0, "head/support_fc7/kernel": 0.1, "head/fc8/kernel": 0.1, "head/fc8/bias": 0.2,
    }  # fmt: skip
    assert read_rates(config.train.rates, rates) == pytest.approx(rates)
    (compared,) = (each for each in read_variants(["compare_semantic:2"], [], []) if each.name == "oslsm")
    slow = dict.fromkeys(rates, 1.0) | {"head/fc8/kernel": 1e-6, "head/fc8/bias": 1e-6}
    assert read_rates(compared.config.train.rates, slow) == slow and compared.config.train.optimizer == "adamw"


FACTS = {
    # The reference's own training (revolver's defaults and its launchers).
    "interactive_reference": {
        "data.train": "sbd:train:instance", "data.points": "0-99", "data.mode": "interactive", "data.shots": "1",
        "data.min_area": 0, "data.flip": False, "model.backbone": "vgg16", "model.grid": "exact", "model.stride": 32,
        "model.feature_width": 4096, "model.fc6_kernel": 7, "model.fusion": "late", "model.locality": "global",
        "model.sharing": "shared", "model.merge": "annotating", "model.pooling": "average", "model.dropout": 0.5,
        "model.init_std": 0.001, "model.way": 2, "model.inference": "feature-fusion", "model.preprocessing": "caffe",
        "model.encoding": "discs", "train.steps": 100_000, "train.batch_size": 1, "train.optimizer": "sgd",
        "train.learning_rate": 1e-5, "train.schedule": "constant", "train.momentum": 0.99, "train.weight_decay": 5e-4,
        "train.checkpoint_every": 4_000, "train.warmup": 0, "train.clip_norm": 0.0, "train.freeze": "",
        "train.corrections": 0, "train.dice": 0.0, "eval.source": "voc:val:class", "eval.limit": 0,
    },
    "interactive_reference:lite": {"model.feature_width": 256, "model.fc6_kernel": 7},
    # What the others say of themselves.
    "early_late": {"train.steps": 300, "train.checkpoint_every": 300, "eval.limit": 300, "eval.during": 300,
                   "model.sharing": "shared", "eval.points": "1,2,5,20,dense"},
    "few_shot:1": {"eval.draws": 5, "eval.headline": "10", "data.train": "voc:trainaug:class", "data.max_side": 0,
                   "data.classes": "not fold:1", "eval.classes": "fold:1", "eval.source": "voc:val:class"},
    "few_shot:1-instances": {"data.train": "coco:train2017:instance", "data.max_side": 512, "data.buckets": "512x512"},
    "video_davis": {"data.mode": "views", "data.flip": False, "data.crops": 2, "eval.mode": "video",
                    "eval.source": "davis:val:instance", "eval.points": "1,5,dense", "eval.headline": "5"},
    "video_davis:clips": {"data.mode": "video", "data.train": "davis:train:instance", "data.flip": True},
    "video_davis:same": {"data.mode": "interactive", "data.flip": True},
}  # fmt: skip


@pytest.mark.parametrize("name", FACTS)
def test_what_is_said_of_them(name):
    values = flatten(to_dict(load_config(name)))
    assert {field: values[field] for field in FACTS[name]} == FACTS[name]


MADE_WITH = {
    ("quickstart", "results", "guided"): "quickstart",
    ("few_shot", "2"): "few_shot:2",
    ("few_shot", "2-instances"): "few_shot:2-instances",
    ("few_shot", "2-unguided"): "few_shot:2-unguided",
    ("few_shot", "2-decoder"): "few_shot:2-decoder",
    ("few_shot", "2-decoder-instances"): "few_shot:2-decoder-instances",
    ("interactive", "unshared"): "interactive:unshared",
    ("clicks", "clicks"): "interactive:clicks",
}
"""Results that are shipped, and the shipped configurations that made them."""


@pytest.mark.parametrize(("keys", "name"), MADE_WITH.items(), ids=["-".join(keys) for keys in MADE_WITH])
def test_shipped_results_were_made_with_the_shipped_configurations(keys, name):
    """But for where the files lay, and what their command says."""
    file, *keys = keys
    result = json.loads((Path(configs.__file__).parents[1] / "results" / f"{file}.json").read_text())
    for key in keys:
        result = result[key]
    made = read_stored(result["about"]["config"], file)
    said = set(re.findall(r"--config\.([\w.]+)=", result["about"].get("command", "")))
    where = {"name", "weights", "data.root", "data.prepared"}
    assert set(differing(to_dict(made), to_dict(load_config(name)))) <= where | said
