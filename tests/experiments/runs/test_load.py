import json

import pytest

from experiments.runs.load import load_model
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import to_dict
from tests.experiments.tiny_run import make_run


def write(workdir, values):
    (workdir / "config.json").write_text(json.dumps(values))


def test_a_run_from_before_a_field_was_there_is_read(tmp_path):
    values = to_dict(Config())
    del values["model"]["locality"], values["eval"]["draws"]
    write(tmp_path, values)
    with pytest.raises(UserError, match="holds no checkpoint"):  # so its configuration was sound
        load_model(tmp_path)


def test_a_field_that_is_not_there_any_more_is_one_line(tmp_path):
    values = to_dict(Config())
    values["model"]["color"] = "red"
    write(tmp_path, values)
    with pytest.raises(UserError, match=r"config\.json: no field is called model\.color"):
        load_model(tmp_path)


def test_what_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"is not the workdir of a run \(it holds no config\.json\)"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        load_model(tmp_path)


def test_a_checkpoint_with_what_it_says_of_itself(tmp_path, prepared):
    run = make_run(tmp_path / "run", prepared)
    trained = load_model(run)
    assert load_model(run, step=0).step == trained.step == trained.about["step"] == 0
    assert trained.about["preprocessing"] == trained.model.preprocessing.to_dict()
    assert trained.about["mode"] == "train"
    assert trained.config.model == trained.model.config
    with pytest.raises(UserError, match="holds no checkpoint of step 1; there are those of steps 0"):
        load_model(run, step=1)
