"""Fine-tuning in a whole run: from a trained network, on its evaluation's tasks."""

import json
import shutil

import jax
import numpy as np
import pytest

from data_pipelines.datasets.reading.files import read_mask
from experiments.experiment import run
from experiments.run import load_scored, run_and_draw
from experiments.runs.data import evaluation_episodes, open_evaluation
from experiments.runs.load import predict
from experiments.settings.command_line import parse, run_app
from tests.experiments.tiny_run import make_run

UNGUIDED = {"model.fusion": "none", "model.inference": "direct"}
TUNED = {"tune.steps": 30, "tune.learning_rate": 0.03, "tune.pixels": 16}


@pytest.fixture(scope="module")
def parent(prepared, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "parent", prepared, **UNGUIDED)


@pytest.fixture
def words(command):
    """A command line that scores the parent, with fields of its own."""

    def make(workdir, **fields):
        fields = {"train.steps": 0, "eval.points": "5,dense", **UNGUIDED, **fields}
        return command(workdir, "--mode=eval", "--parallel=jit", **fields)

    return make


def test_the_support_improves_what_it_is_fitted_to(parent, words, tmp_path, capsys):
    workdir = shutil.copytree(parent, tmp_path / "run")
    assert run_app(run_and_draw, words(workdir, **{"eval.name": "before"})) == 0
    assert run_app(run_and_draw, words(workdir, **TUNED)) == 0
    assert "fine-tuned on each support in 30 updates: " in capsys.readouterr().out
    before, result = (json.loads((workdir / f"result{end}.json").read_text()) for end in ("-before", ""))
    assert "tuning" not in before["protocol"] and "speed" not in before
    assert result["protocol"]["tuning"]["steps"] == 30 and result["protocol"]["tuning"]["pixels"] == 16
    for points in ("5", "dense"):
        assert result["scores"][points]["pos_iu"] > before["scores"][points]["pos_iu"] + 0.02
    speed = result["speed"]
    assert speed["tasks"] == 2 * 8 and speed["seconds_per_task"] > 0  # five tasks in batches of four, two annotations
    assert (workdir / "picture.png").stat().st_size > 1000


def test_pictures_show_what_was_scored(parent, words, tmp_path):
    workdir = shutil.copytree(parent, tmp_path / "run")
    line = words(workdir, **TUNED, **{"eval.save": tmp_path / "masks", "eval.points": "dense", "eval.headline": ""})
    assert run_app(run, line) == 0
    config = parse(line).config
    tasks = evaluation_episodes(config, open_evaluation(config), None, limit=5, devices=jax.device_count())
    labels = predict(load_scored(config, workdir, "eval"), [tasks[0]], 0)[0]
    saved = json.loads((tmp_path / "masks" / "index.json").read_text())["tasks"][0][0]["file"]
    mask = read_mask(tmp_path / "masks" / "dense" / saved)
    assert np.mean(labels[: mask.shape[0], : mask.shape[1]] != mask) < 0.005


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model.fusion": "late", "model.inference": "feature-fusion"}, "model.fusion=late is guided by it"),
        ({"tune.freeze": ""}, "tune.pixels=16: the trunk learns, which sees whole images; set it to 0"),
    ],
)
def test_mistakes_are_told_before_anything_begins(words, tmp_path, capsys, fields, message):
    assert run_app(run, words(tmp_path / "run", **{**TUNED, **fields})) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()
