"""Data sets and features ahead of a run: all that a run needs is there, nothing is made twice, nothing is trained."""

import re
from functools import partial
from pathlib import Path

import pytest

from experiments import experiment
from experiments.experiment import initial_parameters
from experiments.prepare import main
from experiments.settings.command_line import guarded, parse, run_app
from guided_jax.backbones.preprocessing import CAFFE, CAFFE_ILSVRC
from tests.experiments.small_data import write_classes
from tests.experiments.tiny_weights import write_tiny_weights

FIELDS = {
    "data.train": "folder@dog:all:instance, folder@sheep:all:instance",
    "data.buckets": "48x48",
    "eval.source": "folder@horse:all:instance",
    "train.freeze": "trunk",
    "train.cache_features": "true",
}


@pytest.fixture
def words(command, tmp_path):
    """The command line without a workdir, of data in folders and a frozen trunk."""
    write_classes(tmp_path / "data")
    write_tiny_weights(tmp_path / "w.safetensors", CAFFE)
    fields = {**FIELDS, "data.root": tmp_path / "data", "data.prepared": tmp_path / "prepared"}
    return command("runs", weights=tmp_path / "w.safetensors", **{"train.steps": 1, **fields})


def files(folder: Path) -> dict[Path, int]:
    """Those that hold something, with the time of the last change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def without_workdir(words):
    return [word for word in words if not word.startswith("--workdir")]


@pytest.mark.parametrize(("named", "expected"), [("", CAFFE), ("caffe-ilsvrc", CAFFE_ILSVRC)])
def test_a_run_prepares_images_as_its_weights_want_them_or_as_it_is_told(words, named, expected):
    model, _ = initial_parameters(parse([*words, f"--config.weights_preprocessing={named}"]).config)
    assert model.preprocessing == expected


def test_all_is_there_once(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words[1] = "--config=quickstart"
    ask = partial(main, without_workdir(words))
    assert guarded(ask) == 0
    told = capsys.readouterr().out
    train, second, evaluation, features = told.splitlines()
    assert train.startswith("data.train: folder@dog:all, 4 tasks of unit instance in 4 images, version ")
    assert second.startswith("data.train: folder@sheep:all, 4 tasks")
    assert evaluation.startswith("eval.source: folder@horse:all, 3 tasks of unit instance in 3 images, version ")
    assert features.startswith("train.cache_features: features of 11 images ")
    for line in told.splitlines():
        assert Path(re.search(r" in (\S+)$", line)[1]).is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "w.safetensors", "prepared"}

    made = files(tmp_path / "prepared")
    assert guarded(ask) == 0
    assert capsys.readouterr().out == told and files(tmp_path / "prepared") == made

    assert run_app(experiment.run, words) == 0  # finds all that it needs
    assert files(tmp_path / "prepared") == made


def test_the_batch_need_not_fit_the_devices_of_this_machine(words):
    assert guarded(lambda: main([*without_workdir(words), "--config.train.batch_size=3"])) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--config.data.train=folder@nowhere:all", "nowhere"),
        ("--config.eval.source=folder@dog:all, folder@horse:all", "one source was expected, not a mixture of 2"),
        ("--config.weights=", "features of an untrained trunk"),
        ("--workdir=x", "--workdir: no such flag"),
        ("--config=", "no such file"),
    ],
)
def test_mistakes_are_one_line(words, tmp_path, capfd, more, message):
    capfd.readouterr()
    assert guarded(lambda: main([*without_workdir(words), more])) == 2
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and message in told[0]


def test_the_experiment_is_needed(capsys):
    assert guarded(lambda: main(["prepare"])) == 2
    assert capsys.readouterr().err.startswith("error: --config=FILE.py is missing; there are: decoder, early_late, ")
