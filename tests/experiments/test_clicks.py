"""Clicks on a data set from the command line: numbers by hand, the same twice, and what is refused."""

import json

import cv2
import numpy as np
import pytest

from experiments.clicks import main
from experiments.overrides import UserError, guarded
from guided_jax.scoring.clicks import click_iou, noc
from tests.experiments.tiny_run import make_run

SOURCE = "--source=generated:val[-3:]:instance"


@pytest.fixture(scope="module")
def workdir(prepared, tmp_path_factory):
    """A run of random weights."""
    return make_run(tmp_path_factory.mktemp("clicks") / "run", prepared)


def ask(workdir, *words):
    main(["clicks", f"--workdir={workdir}", SOURCE, "--clicks=4", "--limit=3", *words])


def test_the_command(workdir, tmp_path, capsys):
    ask(workdir, f"--save={tmp_path / 'masks'}", "--targets=20,90")
    shown = capsys.readouterr().out
    (path,) = workdir.glob("clicks-*.json")
    assert path.name == "clicks-generated-val-3-instance.json" and f"written to {path}" in shown
    result = json.loads(path.read_text())
    assert "3 objects, 4 clicks at most" in shown and "clicks (NoC)" in shown and "objects >= 4" in shown
    protocol, objects = result["protocol"], result["objects"]
    assert protocol["objects"] == len(objects) == 3 and protocol["clicks"] == 4 and protocol["step"] == 0
    for key in ("click_rule", "threshold", "void", "aids", "noc", "data_version", "seed"):
        assert protocol[key] != ""
    for percent in ("20", "90"):
        numbers = [noc(each["ious"], int(percent) / 100, 4) for each in objects]
        assert [each["noc"][percent] for each in objects] == numbers
        assert result["scores"]["noc"][percent] == pytest.approx(np.mean(numbers))
        assert result["scores"]["at_limit"][percent] == sum(number == 4 for number in numbers)
    last = [each["ious"][-1] for each in objects]
    assert result["scores"]["mean_iou"][3] == pytest.approx(np.mean(last))
    assert all(each["clicks"][0][2] == 1 for each in objects)  # the object's centre, on an empty mask
    assert {"click_ms_median", "click_ms_mean_with_encoding", "encode_ms_median"} <= set(result["times"])
    # The masks that were saved are those that were scored.
    for each in objects:
        mask = cv2.imread(str(tmp_path / "masks" / each["image"] / f"{each['object']}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (96, 96) and set(np.unique(mask)) <= {0, 1}
        row, column, _ = each["clicks"][0]
        assert 0 <= row < 96 and 0 <= column < 96
        if each["ious"][-1] == 0:
            assert not mask.any() or click_iou(mask, np.zeros_like(mask)) == 0

    # The same command gives the same numbers, in the same file; another protocol has a file of its own.
    ask(workdir, "--targets=20,90")
    again = json.loads(path.read_text())
    assert {key: again[key] for key in ("protocol", "scores", "objects")} == {
        key: result[key] for key in ("protocol", "scores", "objects")
    }
    assert len(list(workdir.glob("clicks-*.json"))) == 1
    ask(workdir, "--targets=20,90", "--clicks=2")
    (other,) = set(workdir.glob("clicks-*.json")) - {path}
    assert json.loads(path.read_text()) == again
    assert [each["ious"] for each in json.loads(other.read_text())["objects"]] == [e["ious"][:2] for e in objects]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--targets=0.8"], "--targets=0.8: expects whole per cent"),
        (["--clicks=0"], "--clicks=0: at least 1"),
        (["--source=nowhere:val"], "no data set is called 'nowhere'"),
        (["--config.data.buckets=64x64"], "fits none of the buckets 64x64"),
        (["--config.model.stride=8"], "--config.model.stride: belongs to the trained run"),
        (["--sauce=x"], "--sauce: no such flag"),
    ],
)
def test_what_is_refused(workdir, words, message):
    with pytest.raises(UserError, match=message):
        ask(workdir, *words)


def test_no_run_and_help(tmp_path, capsys):
    assert guarded(lambda: main(["clicks", f"--workdir={tmp_path}"])) == 2
    assert "is not the workdir of a run" in capsys.readouterr().err
    assert guarded(lambda: main(["clicks", "--help"])) == 0
    assert "usage: python -m experiments.clicks" in capsys.readouterr().out
