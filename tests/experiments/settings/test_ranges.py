"""Every field of a configuration with values that make no sense: refused by a line that names it, or meant so."""

import numpy as np
import pytest

from experiments.configs.quickstart import get_config
from experiments.settings import memory
from experiments.settings.checks import check_config, check_fields, headline_draw
from experiments.settings.config import Config
from experiments.settings.fields import field_types, with_overrides
from experiments.settings.parameters import count_parameters

CACHED = {"train.cache_features": True, "train.freeze": "trunk"}
NEGATIVE, ZERO, HUGE = -1, 0, 10**30
LONG = "x" * 5000
TRIED = {
    int: (NEGATIVE, ZERO, HUGE),
    float: (-1.0, 0.0, 1e300),
    str: ("", "nonsense", "-1", "a\0b", LONG),
    bool: (True, False),
}
ALLOWED = {
    # Texts of the user's own, and folders and class names that only the data can tell.
    "name": TRIED[str],
    "data.root": ("nonsense", "-1"),
    "data.prepared": ("nonsense", "-1"),
    "data.classes": TRIED[str],
    "eval.classes": TRIED[str],
    "eval.save": ("", "nonsense", "-1"),
    "eval.name": ("", "nonsense", "-1"),
    # Empty for what the documentation of the field says.
    **dict.fromkeys(("weights", "weights_preprocessing", "start_from", "data.lists", "eval.lists"), ("",)),
    **dict.fromkeys(("model.layers", "train.freeze", "train.rates", "eval.mode", "eval.headline"), ("",)),
    # Zero: none, all, never, or nothing to do.
    **dict.fromkeys(("seed", "data.crops", "data.min_area", "data.max_side", "data.window", "data.workers"), (ZERO,)),
    **dict.fromkeys(("eval.draws", "eval.min_area", "eval.limit", "eval.during"), (ZERO,)),
    **dict.fromkeys(("model.feature_width", "model.head_width", "model.support_stride"), (ZERO,)),
    **dict.fromkeys(("model.embedding", "model.principal", "model.clusters", "model.positional"), (ZERO,)),
    **dict.fromkeys(("model.drop_maps", "model.drop_image", "model.self_support", "data.evenness"), (0.0,)),
    **dict.fromkeys(("train.steps", "train.corrections", "train.warmup", "train.evaluate_every"), (ZERO,)),
    "train.keep_best": (ZERO,),
    **dict.fromkeys(("model.dropout", "model.init_std", "train.learning_rate", "train.momentum"), (0.0,)),
    **dict.fromkeys(("train.weight_decay", "train.clip_norm", "train.dice"), (0.0,)),
    **dict.fromkeys(
        ("data.balance", "train.balance", "data.flip", "data.skip_broken", "eval.force_seen", "eval.guided_filter"),
        (True, False),
    ),
    **dict.fromkeys(("train.cache_features", "model.remat", "model.gram", "model.backward"), (False,)),
    # A network that is not fine-tuned is not asked about its layers.
    **dict.fromkeys(("tune.freeze", "tune.rates"), TRIED[str]),
    **dict.fromkeys(("tune.steps", "tune.pixels", "tune.together"), (ZERO,)),
    **dict.fromkeys(("tune.learning_rate", "tune.momentum", "tune.weight_decay"), (0.0,)),
    **dict.fromkeys(("tune.balance", "tune.augment"), (True, False)),
    "train.skip_damaged": (True, False),
}
"""All that is accepted."""

CASES = [(name, value) for name, kind in field_types(Config).items() for value in TRIED[kind]]


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{name}={str(value)[:9]!r}" for name, value in CASES])
def test_every_field(name, value):
    config = with_overrides(get_config(), {name: value})
    if value in ALLOWED.get(name, ()):
        check_config(config, training=True)
        return
    with pytest.raises(ValueError, match=name) as caught:
        check_config(config, training=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": 2**64}, "seed=18446744073709551616: must be at most 4294967295"),
        ({"data.workers": -1}, r"data.workers=-1: must be at least 0 \(0: threads of this process\)"),
        ({"data.max_side": -1}, r"data.max_side=-1: must be at least 0 \(0: never scaled\)"),
        ({"model.way": 300}, "model.way=300: at most 255 labels"),
        ({"model.fc6_kernel": -1}, "model.fc6_kernel=-1: must be odd"),
        ({"model.feature_width": 10**6, "model.fc6_kernel": 99}, "fc6_kernel=99: too large, a layer of"),
        ({"data.buckets": "9999999x9999999"}, "data.buckets=9999999x9999999.*a batch would take .* GB"),
        ({"eval.batch_size": 10**9}, "eval.batch_size=1000000000.*a batch would take .* GB"),
        ({"data.shots": "1-5"}, "data.shots=1-5: data.mode=interactive has one"),
        ({"data.mode": "views", "data.crops": 0, "eval.mode": "video"}, "data.crops=0: .*a crop for each"),
        ({"data.mode": "semantic", "eval.shots": 0}, "eval.shots=0: must be at least 1"),
        ({"data.points": f"1-{10**20}"}, "data.points: .*at most"),
        ({"eval.points": f"{10**20}"}, "eval.points: .*at most"),
        ({"eval.source": "generated:val, generated:test"}, "eval.source: .*one source was expected"),
        ({"train.momentum": 1.0}, "train.momentum=1.0: must be below 1"),
        (
            {"model.fusion": "mask", "model.sharing": "unshared", **CACHED},
            "train.cache_features: model.fusion=mask runs the trunk on image and annotation",
        ),
        (
            {"model.grid": "dilated", "model.support_grid": "dilated", "model.support_stride": 2, **CACHED},
            "train.cache_features: model.support_grid=dilated runs the trunk once more",
        ),
        ({"data.mode": "views", "data.crops": 1}, "data.mode=views is for training alone; set eval.mode"),
        ({"data.window": 48}, "data.window=48: must be a multiple of 32 pixels, or 0"),
        ({"data.root": "a/" + "b" * 256}, "data.root: 'b.* is longer than 255 bytes"),
        ({"eval.name": "é" * 101}, "eval.name=é.*has 202 bytes; at most 200"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        check_config(with_overrides(get_config(), fields), training=True)


def test_spaces_between_points_do_not_count():
    config = with_overrides(get_config(), {"eval.points": "1, 5", "eval.headline": "5"})
    check_config(config, training=True)
    assert headline_draw(config.eval) == 1


def test_a_crop_for_each_shot_is_enough():
    fields = {"data.mode": "views", "data.crops": 3, "data.shots": "1-3", "eval.mode": "interactive"}
    check_config(with_overrides(get_config(), fields), training=True)


@pytest.mark.parametrize(("optimizer", "copies"), [("sgd", 3), ("adamw", 4)])
def test_memory_for_the_weights_their_gradients_and_the_moments_of_the_optimizer(monkeypatch, optimizer, copies):
    config = with_overrides(get_config(), {"train.optimizer": optimizer, "eval.batch_size": 1})
    needed = 4 * copies * count_parameters(config).total  # all of them learn
    monkeypatch.setattr(memory, "physical_memory", lambda: needed)
    check_config(config, training=True)
    monkeypatch.setattr(memory, "physical_memory", lambda: needed - 1)
    check_config(config, training=False)
    with pytest.raises(ValueError, match="parameters would take"):
        check_config(config, training=True)


def test_the_greatest_values_are_those_that_can_be_computed_with():
    assert np.float32(1e38) < np.inf
    check_config(with_overrides(get_config(), {"seed": 2**32 - 1, "train.steps": 2**31 - 1}), training=True)


GREATEST = {
    "seed": 2**32 - 1,
    **dict.fromkeys(("data.crops", "eval.draws", "eval.shots", "train.corrections"), 1000),
    "data.evenness": 100.0,
    "data.workers": 1024,
    "model.way": 255,
    "train.correction_stride": 64,
    **dict.fromkeys(("train.learning_rate", "train.weight_decay", "train.clip_norm", "train.dice"), 1e38),
    **dict.fromkeys(("steps", "log_every", "checkpoint_every", "evaluate_every", "keep_last"), 2**31 - 1),
}


@pytest.mark.parametrize("name", GREATEST)
def test_the_greatest_value_of_a_field(name):
    """It is allowed, and one more, or a little more, is not."""
    most = GREATEST[name]
    name = name if "." in name or name == "seed" else f"train.{name}"
    config = with_overrides(get_config(), {"data.mode": "semantic", "eval.mode": "semantic", "model.sharing": "shared"})
    config.data.mode = config.eval.mode = "interactive" if name.startswith("train.correction") else "semantic"
    check_fields(with_overrides(config, {name: most}), training=True)
    with pytest.raises(ValueError, match=name):
        check_fields(with_overrides(config, {name: most * 1.1 if isinstance(most, float) else most + 1}), training=True)


def test_memory_for_a_batch(monkeypatch):
    """Images of three bytes a pixel and label maps of one: of training, and of evaluation under two draws."""
    fields = {"data.buckets": "4000x3000, 96x96", "data.mode": "semantic", "data.shots": "1-4"}
    config = with_overrides(get_config(), {**fields, "eval.shots": 3, "eval.points": "1,5", "train.batch_size": 8})
    for size, training, others in (
        (8 * (1 + 4) * 4000 * 3000 * (3 + 1), True, {"eval.batch_size": 4}),
        (40 * 4000 * 3000 * ((1 + 3) * 3 + (1 + 2 * 3)), False, {"eval.batch_size": 40}),
    ):
        asked = with_overrides(config, others)
        monkeypatch.setattr(memory, "physical_memory", lambda size=size: size)
        memory.check_memory(asked, training=training)
        monkeypatch.setattr(memory, "physical_memory", lambda size=size: size - 1)
        with pytest.raises(ValueError, match=r"data.buckets=4000x3000, 96x96, .*: a batch would take"):
            memory.check_memory(asked, training=training)
