"""The benchmark of in-context inference, and the guided filter of an evaluation: both through the command line."""

import json

import numpy as np
import pytest

import guided_jax
from experiments import experiment
from experiments.benchmarks import in_context as module
from experiments.benchmarks.in_context import main
from experiments.settings.command_line import run_app
from tests.experiments.small_data import write_classes

OPTIONS = {"model.clusters": 3, "model.gram": True, "model.backward": True, "model.positional": 5}
VARIANTS = {"plain": {}, "options": OPTIONS, "filter": {"eval.guided_filter": True}}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """What both commands are told: one-coloured squares of 12 pixels on cells of 8."""
    root = tmp_path_factory.mktemp("in-context")
    write_classes(root / "classes")
    source = "folder@classes:all:class"
    fields = {"data.root": root, "data.prepared": root / "prepared", "data.train": source, "data.buckets": "40x40"}
    fields |= {"eval.source": source, "eval.batch_size": 4, "model.stride": 8}
    return ["--config=in_context:resnet-tiny", "--parallel=jit", *(f"--config.{k}={v}" for k, v in fields.items())]


@pytest.fixture(scope="module")
def rows(words, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "get_sweep", lambda: VARIANTS.items())
        assert main(["in-context", f"--workdir={workdir}", *words]) == 0
    return json.loads((workdir / "benchmark.json").read_text())["rows"]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_rows_are_what_runs_score(words, rows, name, tmp_path):
    """A run encodes each image anew, in one program with what follows: a few pixels may differ."""
    fields = [f"--config.{field}={value}" for field, value in VARIANTS[name].items()]
    assert run_app(experiment.run, ["run", f"--workdir={tmp_path}", *words, *fields]) == 0
    scores = json.loads((tmp_path / "result.json").read_text())["scores"]["dense"]
    assert rows[name] == pytest.approx({"pos_iu": scores["pos_iu"], "class_iu": scores["class_mean"]}, abs=2e-3)
    if name == "options":
        directions = guided_jax.load(tmp_path).params["neck"]["directions"]
        np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-5)


def test_every_option_counts(rows):
    """No row is that of another; along the edges of one-coloured squares the filter finds more than the cells say."""
    scores = {name: row["pos_iu"] for name, row in rows.items()}
    assert all(0 < each < 1 for each in scores.values())
    assert abs(scores["options"] - scores["plain"]) > 5e-3
    assert scores["filter"] > scores["plain"] + 0.1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("config=in_context:none", "there is no backbone 'none'; there are vgg16, "),
        ("config.model.inference=distance", "model.clusters"),
        ("config.train.cache_features=True", "train.cache_features"),
        ("config=in_context:dinov3-tiny", "model.positional=20: the trunk's maps have 16 directions; set less"),
    ],
)
def test_wrong_use(words, word, message, tmp_path, capsys):
    """The last one's sweep is the shipped one."""
    stride = ["--config.model.stride=16"] * word.endswith("dinov3-tiny")
    assert main(["in-context", f"--workdir={tmp_path}", *words, *stride, f"--{word}"]) == 2
    assert message in capsys.readouterr().err
