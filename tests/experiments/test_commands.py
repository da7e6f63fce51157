"""What all commands have in common: the one entry point, their help, and what is refused."""

import configparser
import importlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import experiments
from experiments import __main__ as entry
from experiments import benchmark
from experiments.settings import command_line
from experiments.settings.command_flags import read_flags
from experiments.settings.command_line import guarded
from experiments.settings.errors import UserError
from experiments.settings.help_texts import own_names

PACKAGE = Path(experiments.__file__).parent
BENCHMARKS = tuple(f"benchmarks.{name}" for name in benchmark.BENCHMARKS)
MODULES = (*(entry.module_name(name) for name in entry.COMMANDS if name != "benchmark"), *BENCHMARKS)


@pytest.fixture(params=MODULES)
def module(request):
    return importlib.import_module(f"experiments.{request.param}")


def run(module, *words) -> int:
    return guarded(lambda: module.main(["x", *words]))


def test_every_module_at_the_top_is_a_command():
    files = {file.stem for file in PACKAGE.glob("*.py")} - {"__init__", "__main__", "experiment"}
    assert files == set(map(entry.module_name, entry.COMMANDS))
    files = (PACKAGE / "benchmarks").glob("[!_]*.py")
    with_main = {file.stem for file in files if "\ndef main(" in file.read_text(encoding="utf-8")}
    assert with_main == set(benchmark.BENCHMARKS)


def test_help_names_every_flag(module, monkeypatch, capsys):
    """Each has a sentence; the line on top is that of the module."""
    defined = []

    def read(argv, values, command):
        defined.append(values)
        return read_flags(argv, values, command)

    monkeypatch.setattr(module if hasattr(module, "read_flags") else command_line, "read_flags", read)
    assert run(module, "--help") == 0
    shown, errors = capsys.readouterr()
    *names, last = own_names(defined[0])
    fields = re.findall(r"^  --config\.FIELD=VALUE", shown, re.MULTILINE)
    assert errors == "" and names and last == "help"
    assert re.findall(r"^  --(\w+)", shown, re.MULTILINE) == [*names, *(["config"] if fields else []), last]
    for name in names:
        text = re.sub("^<.*?>: ", "", defined[0][name].help)
        assert text.endswith(".") and text.count(" ") > 1, name
    name = module.__name__.removeprefix("experiments.")
    command = "guided_jax " + name.replace("benchmarks.", "benchmark ").replace("_", "-")
    assert shown.startswith(f"usage: {command} ")
    assert f" {module.__doc__.splitlines()[0]} " in " ".join(shown.split())


@pytest.mark.parametrize(
    ("word", "message"),
    [("--hlep", "--hlep: no such flag; did you mean help?"), ("--zzz=1", "--zzz: no such flag (--help lists them)")],
)
def test_an_unknown_flag_is_refused_before_anything_else(module, tmp_path, monkeypatch, capsys, word, message):
    monkeypatch.chdir(tmp_path)
    assert run(module, word) == 2
    shown, told = capsys.readouterr()
    assert shown == "" and told.startswith(f"error: {message}") and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_word_is_refused(module, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(module, "zzz") == 2
    shown, told = capsys.readouterr()
    assert shown == "" and told.startswith("error: ") and told.count("\n") == 1
    assert ("import FILE or export FILE was expected" if module.__name__ == "experiments.snapshot" else "zzz") in told
    assert not list(tmp_path.iterdir())


def test_a_word_that_looks_like_a_flag_of_the_command(capsys):
    assert guarded(lambda: importlib.import_module("experiments.quickstart").main(["x", "workdir=y"])) == 2
    assert "'workdir=y': a flag was expected; did you mean --workdir?" in capsys.readouterr().err


def test_fields_are_refused_where_a_command_takes_none(capsys):
    for name in ("quickstart", "snapshot", "lists", "benchmarks.score"):
        assert run(importlib.import_module(f"experiments.{name}"), "--config.seed=1") == 2
        assert "--config.seed: no such flag" in capsys.readouterr().err


def test_only_a_run_has_modes(capsys):
    for name, has_it in {"run": True, "benchmarks.run": False}.items():
        module = importlib.import_module(f"experiments.{name}")
        assert run(module, "--help") == 0
        assert ("--mode" in capsys.readouterr().out) is has_it
    assert run(importlib.import_module("experiments.benchmarks.run"), "--config=quickstart", "--mode=eval") == 2
    assert "--mode: no such flag" in capsys.readouterr().err


def test_values_in_words_of_their_own_are_no_words_of_the_command():
    words = ["x", "--out=o", "--config.data.root", "DATA", "RUN", "--config.data.prepared=P", "OTHER"]
    asked = importlib.import_module("experiments.report").parse(words)
    assert asked.runs == (Path("RUN"), Path("OTHER"))
    assert asked.where == {"data.root": "DATA", "data.prepared": "P"}
    with pytest.raises(UserError, match=r"one folder of masks is expected, not 2"):
        importlib.import_module("experiments.score").main(["x", "--config.data.flip", "A", "--noconfig.data.flip", "B"])


class TestDispatch:
    """`guided_jax COMMAND ...`."""

    @pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
    def test_the_list_of_commands(self, words, capsys):
        assert entry.dispatch(["guided_jax", *words]) == 0
        shown, errors = capsys.readouterr()
        listed = dict(re.findall(r"^  ([\w-]+) +(.+)$", shown, re.MULTILINE))
        assert errors == "" and tuple(listed) == entry.COMMANDS
        for command, told in listed.items():
            module = importlib.import_module(f"experiments.{entry.module_name(command)}")
            assert told == module.__doc__.splitlines()[0] and told.endswith(".")

    def test_the_version(self, capsys, monkeypatch):
        monkeypatch.setattr(metadata, "version", {"guided_jax": "1.2"}.__getitem__)
        assert entry.dispatch(["guided_jax", "--version"]) == 0
        assert capsys.readouterr().out == "guided_jax 1.2\n"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["rnu"], "'rnu': no such command; did you mean run? (guided_jax --help lists them)"),
            (["interactive_video"], "'interactive_video': no such command; did you mean interactive-video"),
            (["zzz", "run"], "'zzz': no such command (guided_jax --help lists them)"),
            (["--config=few_shot:0", "--workdir=x"], "guided_jax run --config=..."),
            (["--workdir", "x", "--config=few_shot:0"], "guided_jax run --workdir=..."),
        ],
    )
    def test_what_is_no_command(self, words, message, capsys):
        assert entry.dispatch(["guided_jax", *words]) == 2
        shown, told = capsys.readouterr()
        assert shown == "" and told.startswith("error: ") and message in told and told.count("\n") == 1

    @pytest.mark.parametrize("command", entry.COMMANDS)
    def test_it_is_the_module(self, command, capsys):
        assert entry.dispatch(["guided_jax", command, "--zzz"]) == 2
        assert capsys.readouterr().err == "error: --zzz: no such flag (--help lists them)\n"
        assert entry.dispatch(["guided_jax", command, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: guided_jax {command} ")

    def test_what_a_command_gives_is_the_exit_code(self, monkeypatch):
        lists = importlib.import_module("experiments.lists")
        given = []
        monkeypatch.setattr(lists, "main", lambda argv: given.append(argv) or 2)
        assert entry.dispatch(["guided_jax", "lists", "--out=x"]) == 2
        assert given == [["guided_jax lists", "--out=x"]]

    def test_the_list_imports_nothing_heavy(self):
        program = (
            "import sys; from experiments.__main__ import dispatch; dispatch(['guided_jax', '--help']); "
            "assert not {'jax', 'tensorflow_datasets', 'absl', 'numpy'} & set(sys.modules), sorted(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    def test_it_is_installed_as_the_command(self):
        setup = configparser.ConfigParser()
        setup.read(PACKAGE.parent / "setup.cfg")
        assert setup["options.entry_points"]["console_scripts"].split("=")[1].strip() == "experiments.__main__:console"

    @pytest.mark.parametrize("words", [["experiments", "lists"], ["experiments.lists"]])
    def test_as_a_process(self, words):
        ended = subprocess.run([sys.executable, "-m", *words, "--otu=x"], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == "error: --otu: no such flag; did you mean out? (--help lists them)\n"
