"""Experiments by name and by path, and what is wrong with a file of one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
from experiments.settings.config_files import call_module, find_config, load_config, load_module, shipped_configs
from experiments.settings.errors import UserError

CONFIG = """
from experiments.settings.config import Config

def get_config(name="plain"):
    config = Config(name=name)
    config.train.steps = 50
    return config
"""
PACKAGE = Path(experiments.__file__).parent


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"has no function get_config\(\)"),
        ("def get_config(): return {}", r"get_config\(\) gives a dict, not a Config"),
        ("def get_config(): pass", r"get_config\(\) gives a NoneType, not a Config"),
        (CONFIG.replace("50", "1e5"), r"train\.steps=100000\.0 is not of type int"),
    ],
)
def test_bad_config_files(tmp_path, text, message):
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(str(file))


def test_config_files_that_cannot_be_called_so(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.py: no such file"):
        load_config("nowhere.py")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not a Python file"):
        load_config(str(tmp_path / "config.json"))
    (tmp_path / "fixed.py").write_text("def get_config(): raise AssertionError")
    with pytest.raises(UserError, match="does not take what follows the colon: too many"):
        load_config(f"{tmp_path / 'fixed.py'}:text")


def test_an_int_in_a_config_file_becomes_a_float(tmp_path):
    (tmp_path / "int.py").write_text(CONFIG.replace("train.steps", "train.learning_rate"))
    assert type(load_config(str(tmp_path / "int.py")).train.learning_rate) is float


@pytest.mark.parametrize("name", shipped_configs())
def test_one_experiment_by_each_of_its_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = shipped_configs()[name]
    assert file.stem == name and file.is_relative_to(PACKAGE / "configs")
    for typed in (name, str(file.relative_to(PACKAGE.parent)), str(file)):
        assert find_config(typed).samefile(file)


def test_a_file_imports_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    (tmp_path / "neighbour_of_mine.py").write_text(CONFIG)
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import get_config")
    assert load_config("mine.py").train.steps == 50


def test_a_file_here_comes_before_one_of_the_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = tmp_path / "experiments" / "configs" / "quickstart.py"
    here.parent.mkdir(parents=True)
    here.write_text(CONFIG)
    assert find_config("experiments/configs/quickstart.py").resolve() == here
    assert load_config("experiments/configs/quickstart.py:mine").name == "mine"
    assert load_config("quickstart").name == "quickstart"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("few_shoot:0", r"--config=few_shoot: no such file; did you mean few_shot\?; there are: decoder, early_late, "),
        ("experiments/configs/interctive.py", r"no such file; did you mean interactive"),
        ("bases", "--config=bases: no such file"),
    ],
)
def test_a_misspelt_name(typed, message):
    with pytest.raises(UserError, match=message):
        load_config(typed)


def test_from_an_installed_package_and_any_folder(tmp_path):
    """Of the packages only the copies are there, as in an environment of a wheel."""
    for package in ("experiments", "data_pipelines", "guided_jax"):
        shutil.copytree(PACKAGE.parent / package, tmp_path / "site" / package)
    (tmp_path / "empty").mkdir()
    program = "from experiments.settings.config_files import load_config; print(load_config('few_shot:2').name)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "empty",
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("few_shot-2\n", 0), ended.stderr


RAISING = {
    "def get_config(): raise ValueError('no such\\nthing')": r"ValueError: no such\nthing \(FILE, line 1\)",
    "\n\nimport nowhere_at_all": r"ModuleNotFoundError: No module named 'nowhere_at_all' \(FILE, line 3\)",
    "x = 1\nimport (\n": r"\S.* \(FILE, line 2\)$",
    "def get_config():\n    return {}['a']": r"KeyError: 'a' \(FILE, line 2\)",
    "def get_config():\n    return int('a')": r"ValueError: invalid literal .* \(FILE, line 2\)",
    "from pathlib import Path\ndef get_config():\n    Path('/nowhere/x').read_text()":
        r"FileNotFoundError: .*/nowhere/x' \(FILE, line 3\)",
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), RAISING.items(), ids=range(len(RAISING)))
def test_what_a_file_raises_is_told_with_its_line(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"^--config={file}: " + message.replace("FILE", str(file))):
        load_config(str(file))


def test_a_sweep_that_raises_is_told_with_its_line(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def get_sweep():\n    yield 'a', {}\n    raise ValueError('b')\n")
    module, words = load_module(str(file))
    with pytest.raises(UserError, match=rf"^--config={file}: ValueError: b \({file}, line 3\)$"):
        call_module(module, "get_sweep", words, str(file))


def test_a_user_error_of_a_file_names_what_was_typed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from experiments.settings.errors import UserError\ndef get_config(text): raise UserError(f'no {text}')"
    )
    with pytest.raises(UserError, match=rf"^--config={file}:light: no light$"):
        load_config(f"{file}:light")
