import json

import pytest

from experiments.runs.load import load_model
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import to_dict


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
