import contextlib
import io
import json

import cv2
import numpy as np
import pytest

from experiments import quickstart as module
from experiments.configs.quickstart import get_config
from experiments.runs.load import load_model
from experiments.settings.errors import UserError
from tests.experiments.conftest import random_start


@pytest.fixture(scope="module")
def small():
    """The shipped configuration, on the smallest split."""

    def shrunk():
        config = get_config()
        config.data.train = "generated:val:instance"
        config.train.batch_size = 4
        config.eval.source = "generated:val[:10%]:instance"
        config.eval.points = "1,5,dense"
        config.eval.batch_size = 8
        return config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "get_config", shrunk)
        yield


@pytest.fixture(scope="module")
def done(small, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("quickstart")
    with random_start(), contextlib.redirect_stdout(io.StringIO()) as shown:
        summary = module.quickstart(workdir, steps=2)
    (workdir / "shown.txt").write_text(shown.getvalue())
    return workdir, summary


def test_results_and_pictures_of_both_networks(done):
    workdir, summary = done
    assert json.loads((workdir / "result.json").read_text()) == summary
    scores = {name: result["scores"]["5"]["pos_iu"] for name, result in summary["results"].items()}
    assert scores.keys() == {"guided", "unguided"}
    assert summary["gap"] == scores["guided"] - scores["unguided"] != 0
    unguided = summary["results"]["unguided"]["scores"]
    assert unguided["1"]["pos_iu"] == unguided["5"]["pos_iu"] == unguided["dense"]["pos_iu"]
    protocol = summary["results"]["guided"]["protocol"]
    guided = summary["results"]["guided"]["scores"]
    assert len({guided[points]["pos_iu"] for points in ("1", "5", "dense")}) == 3
    assert protocol["step"] == 2
    assert protocol["tasks"] == summary["results"]["unguided"]["protocol"]["tasks"] > 20
    for file in ("picture.png", "curve.png"):
        assert cv2.imread(str(workdir / file)).std() > 10


def test_what_is_printed(done):
    workdir, summary = done
    lines = (workdir / "shown.txt").read_text().splitlines()
    assert lines[:2] == [f"--- {name} network: 2 updates of 4 episodes" for name in ("guided", "unguided")]
    tasks = summary["results"]["guided"]["protocol"]["tasks"]
    assert lines[3] == f"positive IU on {tasks} held-out tasks, by points per label:"
    assert lines[4].split() == ["1", "5", "dense"]
    for line, (name, result) in zip(lines[5:7], summary["results"].items(), strict=True):
        assert line.split() == [name, *(f"{each['pos_iu']:.3f}" for each in result["scores"].values())]
    assert lines[7] == f"guidance gains {summary['gap']:.3f} at 5 points per label"
    assert [line.split(": ")[1] for line in lines[8:]] == [
        str(workdir / file) for file in ("result.json", "curve.png", "picture.png")
    ]


def test_the_same_command_again_trains_nothing_and_gives_the_same(done):
    workdir, summary = done
    before = sorted((workdir / "guided" / "checkpoints").iterdir())
    again = module.quickstart(workdir, steps=2)
    assert again["results"]["guided"]["scores"] == summary["results"]["guided"]["scores"]
    assert sorted((workdir / "guided" / "checkpoints").iterdir()) == before


def test_a_loaded_model_is_the_trained_one(done):
    workdir, _ = done
    guided, unguided = load_model(workdir / "guided"), load_model(workdir / "unguided")
    assert guided.step == 2
    assert guided.config.model.fusion == "late"
    assert unguided.params["head"]["fc7"]["kernel"].shape == (64, 192)
    assert np.asarray(guided.params["head"]["score"]["kernel"]).any()


def test_what_is_no_workdir_is_named(done, tmp_path):
    with pytest.raises(UserError, match=r"is not the workdir of a run \(it holds no config.json\)"):
        load_model(tmp_path)
