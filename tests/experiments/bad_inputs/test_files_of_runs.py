"""Damaged files of runs, names that lead elsewhere, the same name for other data: what is wrong, or what is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.evaluation import TaskName
from data_pipelines.videos import Video
from experiments import run as run_module
from experiments import sweep
from experiments.evaluation.clicks import mask_path
from experiments.evaluation.mask_folders import MARK, claim_folder
from experiments.evaluation.predictions import mask_name
from experiments.evaluation.video_files import read_prediction, write_masks
from experiments.reports.found import find_results
from experiments.runs.load import load_model
from experiments.runs.metrics import MetricWriter, read_metrics
from experiments.runs.workdir import open_workdir, record_start, refuse_other_data
from experiments.settings.command_line import run_app
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import to_dict, with_overrides
from experiments.sweeping.plan import Run, Variant, read_result, read_variants
from experiments.sweeping.tables import PER_RUN
from tests.experiments.tiny_run import make_run

NAMES = ["../../x", "/etc/x", "a/../../b", "..", "a\\b", "é" * 100, "漢" * 100, "x" * 300, "c:/x", "a/b/c", "~/x"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_a_mask_lies_in_its_folder(tmp_path, name):
    folder = tmp_path / "masks"
    task = TaskName("split", name, "../cat", 0, "", 0)
    paths = [folder / mask_name(task), folder / mask_name(task, 7), mask_path(folder, name, "../cat")]
    video = Video(*[{"name": name, "frames": (name,), "objects": (1,), "height": 2, "width": 2}.get(field, ())
                    for field in Video._fields])  # fmt: skip
    write_masks(folder, video, [np.ones((2, 2), np.uint8)])
    paths += list(tmp_path.rglob("*.png"))
    assert len(paths) == 4
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.read_bytes() if path.exists() else b"")  # the system takes the name
        assert path.resolve().is_relative_to(folder.resolve())
    assert read_prediction(folder, video, 0).all()


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "dog").symlink_to(tmp_path)
    with pytest.raises(Exception, match="leads out of the folder"):
        mask_path(tmp_path / "masks", "dog", "x")


LEFT = [(f".{MARK}.7-0a1b2c3d.partial", True), (".0.png.7-0a1b2c3d.partial", False), (f".{MARK}.txt", False)]


@pytest.mark.parametrize(("name", "ours"), LEFT)
def test_what_a_kill_leaves_of_the_mark_is_no_foreign_file(tmp_path, name, ours):
    left = tmp_path / name
    left.write_text("{")
    if ours:
        claim_folder(tmp_path, {"step": 1}, "--save")
        assert [each.name for each in tmp_path.iterdir()] == [MARK]
    else:
        with pytest.raises(UserError, match="is there already"):
            claim_folder(tmp_path, {"step": 1}, "--save")
        assert [each.name for each in tmp_path.iterdir()] == [name]


def test_masks_of_other_programs_have_the_very_names(tmp_path):
    (tmp_path / "é").mkdir()
    Image.fromarray(np.ones((2, 2), np.uint8)).save(tmp_path / "é" / "0.png")
    video = Video(*[{"name": "é", "frames": ("0",), "objects": (1,), "height": 2, "width": 2}.get(field, ())
                    for field in Video._fields])  # fmt: skip
    assert read_prediction(tmp_path, video, 0).all()


@pytest.mark.parametrize("text", ["[]", "{", "3", "\0", '{"model": {"way": "x"}}', '{"model": 3}', '{"modle": {}}'])
def test_a_damaged_config_is_named(tmp_path, prepared, text):
    make_run(tmp_path / "run", prepared)
    (tmp_path / "run" / "config.json").write_text(text)
    for read in (
        lambda: load_model(tmp_path / "run"),
        lambda: open_workdir(tmp_path / "run", Config()).__enter__(),
    ):
        with pytest.raises(UserError, match=r"config\.json") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_config_that_does_not_fit_its_checkpoint_is_refused(tmp_path, prepared, command, capfd):
    make_run(tmp_path / "run", prepared)
    file = tmp_path / "run" / "config.json"
    values = json.loads(file.read_text())
    values["model"]["feature_width"] *= 2
    file.write_text(json.dumps(values))
    with pytest.raises(UserError, match="its parameters are not those of its model") as caught:
        load_model(tmp_path / "run")
    assert "\n" not in str(caught.value)
    words = command(tmp_path / "run", "--mode=eval", **{"train.steps": 0, "model.feature_width": 16})
    assert run_app(run_module.run_and_draw, words) == 2
    error = capfd.readouterr().err
    assert "Traceback" not in error and "shape" in error.splitlines()[-1]


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"mode": "train"}]', '[{"mode": "train", "data": [1]}]', "{"])
def test_a_damaged_run_json_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json: cannot be read"):
        refuse_other_data(tmp_path, Config(), mode="train", data={"a": "1"})


@pytest.mark.parametrize("text", ["{}", "[]", "3", "null", '{"protocol": 3}', '{"protocol": {}, "scores": []}'])
def test_results_that_are_none(tmp_path, text):
    variant = Variant("a", ("a.py",), {}, Config())
    (tmp_path / "a").mkdir()
    for file in ("result.json", "a/measured.json"):
        (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=r"result\.json: a result lacks what its kind has"):
        read_result(Run(variant, 0, Config(), tmp_path))
    with pytest.raises(UserError, match=r"measured\.json: does not tell what was measured"):
        sweep._measured(tmp_path, variant)
    for found in (tmp_path, tmp_path / "result.json", tmp_path / "a" / "measured.json"):
        with pytest.raises(UserError, match=r"no result|no run"):
            find_results(found)


IN_THE_WAY = [
    "config.json",
    "run.json",
    "result.json",
    "result-x.json",
    "tasks.jsonl",
    "metrics.jsonl",
    "curve.png",
    ".lock",
]
NO_FOLDERS = ["checkpoints", "tensorboard"]


@pytest.mark.parametrize("name", [*IN_THE_WAY, *NO_FOLDERS])
def test_a_folder_in_the_place_of_a_file_is_found_at_the_start(tmp_path, name):
    """And a file in that of a folder; both would end a training at its first evaluation, or at its end."""
    (tmp_path / "config.json").write_text(json.dumps(to_dict(Config())))
    (tmp_path / name).unlink(missing_ok=True)
    if name in NO_FOLDERS:
        (tmp_path / name).write_text("")
    else:
        (tmp_path / name).mkdir()
    message = f"{name}: is no folder, which" if name in NO_FOLDERS else f"{name}: is a folder, and the run needs a file"
    with pytest.raises(UserError, match=message), open_workdir(tmp_path, Config()):
        pass
    assert {each.name for each in tmp_path.iterdir()} == {"config.json", name}


GOOD = {"step": 1, "seconds": 0.5, "loss": 0.25}
LINES = [
    "[]",
    "3",
    "null",
    '"x"',
    "{}",
    '{"step": 1}',
    '{"step": "1", "seconds": 1}',
    '{"step": 2, "seconds": 1, "a": []}',
]


@pytest.mark.parametrize("line", LINES)
def test_lines_of_metrics_that_are_none_are_left_out(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(GOOD)}\n{line}\n")
    assert read_metrics(tmp_path) == [GOOD]
    MetricWriter(tmp_path, 5).close()
    assert read_metrics(tmp_path) == [GOOD]


SWEEPS = [
    "return None",
    "return 3",
    "yield 'a'",
    "yield 'a', None",
    "yield 3, {}",
    "yield 'a', {3: 4}",
    "yield 'a' * 300, {}",
    "return {'a': {}}",
    "return 'ab'",
    "return iter([('a', {})])",
    "yield 'a', {}, 3",
    "yield None",
    "yield '../a', {}",
    "yield 'a', {}; yield 'a', {}",
]
FIELDS_OF_SWEEPS = {
    "no variant": ("return []", r"own\.py: no variant to run"),
    "no field": ("yield 'a', {'': 1}", "variant a: no field is called"),
    "a group": ("yield 'a', {'train': 1}", "variant a: no field is called train"),
    "none": ("yield 'a', {'train.steps': None}", "variant a: train.steps=None is not of type int"),
    "a list": ("yield 'a', {'train.steps': [1]}", r"variant a: train.steps=\[1\] is not of type int"),
    "nan": ("yield 'a', {'train.momentum': float('nan')}", "train.momentum=nan is not a finite number"),
    "it raises": ("yield 'a', {}; 1 / 0", r"ZeroDivisionError: division by zero \(.*own\.py, line 3\)"),
    "it ends the program": ("raise SystemExit('no GPU')", r"SystemExit: no GPU \(.*own\.py, line 3\)"),
}


@pytest.mark.parametrize("body", SWEEPS)
def test_a_sweep_of_a_user_that_gives_something_else(tmp_path, body):
    file = tmp_path / "own.py"
    text = "from experiments.settings.config import Config\ndef get_config(): return Config()\ndef get_sweep(): "
    file.write_text(f"{text}{body}\n")
    with pytest.raises(UserError, match=r"own\.py: (get_sweep|a variant is called)"):
        read_variants([str(file)], [], [])


@pytest.mark.parametrize(("body", "message"), FIELDS_OF_SWEEPS.values(), ids=FIELDS_OF_SWEEPS)
def test_a_sweep_of_a_user_with_fields_that_are_none(tmp_path, body, message):
    file = tmp_path / "own.py"
    text = "from experiments.settings.config import Config\ndef get_config(): return Config()\ndef get_sweep(): "
    file.write_text(f"{text}{body}\n")
    with pytest.raises(UserError, match=message) as caught:
        read_variants([str(file)], [], [])
    assert "\n" not in str(caught.value)


def test_the_seed_of_the_episodes_is_no_other_protocol():
    assert {"seed", "episode_seed", "step", "small_tasks"} == set(PER_RUN)


def test_other_data_under_the_same_name_need_a_name(tmp_path):
    named = with_overrides(Config(), {"eval.name": "other"})
    with open_workdir(tmp_path, Config()):
        record_start(tmp_path, Config(), mode="train_and_eval", parallel="pmap", data={"voc:val": "1"})
    with pytest.raises(UserError, match=r"voc:val has changed.*--config\.eval\.name=NAME \(result-NAME\.json\)"):
        refuse_other_data(tmp_path, Config(), mode="eval", data={"voc:val": "2"})
    record_start(tmp_path, named, mode="eval", parallel="pmap", data={"voc:val": "2"})
    with pytest.raises(UserError, match=r"version 2 .workdir. != 3"):
        refuse_other_data(tmp_path, named, mode="eval", data={"voc:val": "3"})
    refuse_other_data(tmp_path, Config(), mode="train", data={"voc:val": "1"})
    with pytest.raises(UserError, match="or the data of then"):
        refuse_other_data(tmp_path, Config(), mode="train", data={"voc:val": "2"})


def test_pictures_belong_to_the_name(command, tmp_path):
    words = command(tmp_path / "run", **{"train.steps": 0})
    assert run_app(run_module.run_and_draw, words) == 0
    pictures = [tmp_path / "run" / name for name in ("curve.png", "picture.png")]
    before = [path.read_bytes() for path in pictures]
    for path in pictures:
        path.write_bytes(b"the run's own")
    more = {"train.steps": 0, "eval.name": "few", "eval.limit": 3}
    assert run_app(run_module.run_and_draw, command(tmp_path / "run", "--mode=eval", **more)) == 0
    assert [path.read_bytes() for path in pictures] == [b"the run's own"] * 2
    named = [tmp_path / "run" / name for name in ("curve-few.png", "picture-few.png")]
    assert all(path.stat().st_size > 1000 for path in named) and all(map(len, before))


def test_home_is_expanded(tmp_path, monkeypatch):
    from experiments.settings.command_line import parse

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.py").write_text(
        "from experiments.settings.config import Config\ndef get_config(): return Config()\n"
    )
    fields = ("data.root", "data.prepared", "weights", "eval.save")
    words = [f"--config.{name}=~/{name}" for name in fields]
    asked = parse(["run", "--config=~/own.py", "--workdir=~/runs", *words])
    config = asked.config
    values = (config.data.root, config.data.prepared, config.weights, config.eval.save)
    assert values == tuple(str(tmp_path / name) for name in fields)
    assert asked.workdir == tmp_path / "runs"
    for word in ("--workdir=~nobody-at-all/x", "--config.weights=~nobody-at-all/x"):
        with pytest.raises(UserError, match="no such user"):
            parse(["run", "--config=~/own.py", "--workdir=x", word])
    assert not Path("~").exists()
