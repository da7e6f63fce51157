"""The shipped experiment on few-shot semantic segmentation."""

from pathlib import Path

import pytest

from data_pipelines.datasets.voc import CLASSES
from data_pipelines.selection.classes import choose_classes, parse_classes
from experiments.settings.checks import check_config
from experiments.settings.config_files import load_config
from experiments.settings.errors import UserError


@pytest.mark.parametrize("fold", range(4))
@pytest.mark.parametrize("variant", ["", "-instances", "-unguided", "-oracle"])
def test_variants(fold, variant, tmp_path):
    config = load_config(f"experiments/configs/few_shot.py:{fold}{variant}")
    config.weights = str(tmp_path / "weights.npz")
    Path(config.weights).touch()
    check_config(config, training=False)
    evaluated = choose_classes(parse_classes(config.eval.classes), CLASSES)
    assert evaluated == set(range(5 * fold + 1, 5 * fold + 6))
    trained = choose_classes(parse_classes(config.data.classes), CLASSES)
    assert (trained & evaluated == evaluated) == (variant == "-oracle") == config.eval.force_seen
    assert len(trained) == (20 if variant == "-oracle" else 15)
    assert (config.model.fusion == "none") == (variant == "-unguided")
    assert config.data.mode == ("interactive" if variant == "-instances" else "semantic")
    assert config.eval.mode == "semantic"


@pytest.mark.parametrize("text", ["4", "0-instance", "instances"])
def test_what_is_no_variant(text):
    with pytest.raises(UserError, match="write a fold from 0 to 3, and one of instances, unguided, oracle"):
        load_config(f"experiments/configs/few_shot.py:{text}")
