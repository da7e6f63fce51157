"""The command line: what is understood, and one line for every mistake."""

import subprocess
import sys

import pytest

from data_pipelines.datasets.record import DatasetError
from experiments.experiment import run
from experiments.settings.command_line import parse, run_app
from experiments.settings.config import Config
from experiments.settings.errors import LONGEST_MESSAGE, LONGEST_WORD, UserError, one_line, user_mistakes
from experiments.settings.fields import differences, flatten, to_dict

CONFIG = """
from experiments.settings.config import Config

def get_config(name="plain"):
    config = Config(name=name)
    config.train.steps = 50
    return config
"""


@pytest.fixture
def experiment(tmp_path):
    """Path of a config file."""
    file = tmp_path / "small.py"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def read(experiment, tmp_path):
    """Parses a command line with a config file and a workdir."""
    return lambda *words: parse(["prog", f"--config={experiment}", f"--workdir={tmp_path / 'run'}", *words])


def test_defaults(read, tmp_path):
    config, workdir, mode, parallel, distributed = read()
    assert (config.name, config.train.steps) == ("plain", 50)
    assert (workdir, mode, parallel, distributed) == (tmp_path / "run", "train_and_eval", "pmap", False)


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("--config.train.steps=7", "train.steps", 7),
        ("--config.train.learning_rate=1e-5", "train.learning_rate", 1e-5),
        ("--config.train.learning_rate=1", "train.learning_rate", 1.0),
        ("--config.data.flip=true", "data.flip", True),
        ("--config.data.flip", "data.flip", True),
        ("--noconfig.data.flip", "data.flip", False),
        ("--config.eval.points=5", "eval.points", "5"),
        ("--config.weights=", "weights", ""),
        (
            "--config.data.train=voc:trainaug:class*2, coco:train2017",
            "data.train",
            "voc:trainaug:class*2, coco:train2017",
        ),
        ("--config.train.freeze=trunk, neck/.*=x", "train.freeze", "trunk, neck/.*=x"),
    ],
)
def test_override(read, word, name, value):
    node = read(word).config
    for part in name.split("."):
        node = getattr(node, part)
    assert node == value
    assert type(node) is type(value)


@pytest.mark.parametrize("name", ["weights", "data.root", "data.prepared", "eval.save"])
def test_paths_may_lie_at_home(read, monkeypatch, tmp_path, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert flatten(to_dict(read(f"--config.{name}=~/there").config))[name] == f"{tmp_path}/there"


def test_only_the_overridden_field_changes(read):
    before, after = to_dict(read().config), to_dict(read("--config.train.momentum=0.5").config)
    assert differences(before, after) == ["train.momentum: 0.99 (workdir) != 0.5 (now)"]


def test_words_in_any_order_and_form(experiment, tmp_path):
    words = ["--config.train.steps", "5", "--workdir", str(tmp_path), "--config.train.weight_decay", "-1"]
    config, workdir, mode, parallel, distributed = parse(
        ["prog", *words, "--config", f"{experiment}:dense", "--mode=eval", "--parallel=jit", "--distributed"]
    )
    assert (config.name, config.train.steps, config.train.weight_decay) == ("dense", 5, -1.0)
    assert (workdir, mode, parallel, distributed) == (tmp_path, "eval", "jit", True)


def test_the_last_of_two_overrides_wins(read):
    assert read("--config.train.steps=5", "--config.train.steps=6").config.train.steps == 6


def test_flagfile(read, tmp_path):
    (tmp_path / "flags").write_text("--config.train.steps=9\n--mode=train\n")
    config, _, mode, *_ = read(f"--flagfile={tmp_path / 'flags'}")
    assert (config.train.steps, mode) == (9, "train")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "--config.train.learning_rat=1",
            r"train\.learning_rat: no such field; did you mean train\.learning_rate or tune\.learning_rate\?",
        ),
        ("--config.learning_rate=1", r"did you mean tune\.learning_rate or train\.learning_rate\?"),
        ("--config.trian.steps=1", r"did you mean train\.steps or tune\.steps\?"),
        ("--config.zzz=1", r"--config\.zzz: no such field \(--fields"),
        ("--config.train[0]=1", "no such field"),
        ("--config.train.steps=many", r"--config\.train\.steps=many: expects an int"),
        ("--config.train.steps=1e5", r"expects an int"),
        ("--config.train.learning_rate=fast: very", r"learning_rate=fast: very: expects a float"),
        ("--config.train.learning_rate=nan", r"train\.learning_rate=nan is not a finite number"),
        ("--config.data.flip=maybe", r"--config\.data\.flip=maybe: expects a bool"),
        ("--config.data=voc", r"--config\.data: cannot be set as a whole; set its fields: data\.root,"),
        ("--config.train.steps", r"Missing value for flag --config\.train\.steps"),
        ("--workdr=x", r"--workdr: no such flag; did you mean workdir\?"),
        ("--noconfig.train.steps", r"--noconfig\.train\.steps: no such flag"),
        ("--mode=test", r"--mode=test: value should be one of <train\|eval\|train_and_eval>"),
        ("--parallel=xmap", r"--parallel=xmap: value should be one of <pmap\|jit\|fsdp>"),
        ("train", r"'train': a flag was expected"),
        ("workdir=x", r"'workdir=x': a flag was expected; did you mean --workdir\?"),
    ],
)
def test_mistakes(read, word, message):
    with pytest.raises(UserError, match=message):
        read(word)


def test_missing_flags(experiment):
    with pytest.raises(UserError, match="--workdir=DIR is missing"):
        parse(["prog", f"--config={experiment}"])
    with pytest.raises(UserError, match=r"--config=FILE\.py is missing"):
        parse(["prog", "--workdir=x"])
    with pytest.raises(UserError, match="gs://bucket/run: must be a folder of a mounted file system"):
        parse(["prog", f"--config={experiment}", "--workdir=gs://bucket/run"])


def test_main_gets_what_was_asked_for(experiment, tmp_path, capsys):
    seen = []
    assert run_app(lambda *given: seen.append(given), ["prog", f"--config={experiment}", f"--workdir={tmp_path}"]) == 0
    [(config, workdir, mode, parallel)] = seen
    assert isinstance(config, Config)
    assert (workdir, mode, parallel) == (tmp_path, "train_and_eval", "pmap")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [UserError("batch\nsize"), DatasetError("batch  size")])
def test_user_errors_are_one_line(experiment, tmp_path, capsys, error):
    def main(*given):
        raise error

    assert run_app(main, ["prog", f"--config={experiment}", f"--workdir={tmp_path}"]) == 2
    assert capsys.readouterr() == ("", "error: batch size\n")


def test_other_errors_keep_their_traceback(experiment, tmp_path):
    def main(*given):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run_app(main, ["prog", f"--config={experiment}", f"--workdir={tmp_path}"])


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError("wrong"), DatasetError("wrong")])
def test_user_mistakes(error):
    with pytest.raises(UserError, match="wrong"), user_mistakes():
        raise error
    with pytest.raises(TypeError), user_mistakes():
        raise TypeError


def test_help_and_fields(experiment, capsys):
    assert run_app(print, ["prog", "--help"]) == 0
    assert "--workdir=DIR" in capsys.readouterr().out
    assert run_app(print, ["prog", "--fields", f"--config={experiment}", "--config.train.warmup=3"]) == 0
    shown = capsys.readouterr().out
    assert "--config.train.steps=50\n    int: number of updates." in shown
    assert "--config.train.warmup=3\n" in shown


def test_a_process_ends_with_one_line_and_code_2(experiment, tmp_path):
    program = "import sys; from experiments.settings.command_line import run_app; sys.exit(run_app(print))"
    words = [f"--config={experiment}", f"--workdir={tmp_path}", "--config.train.step=1"]
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert (
        ended.stderr
        == "error: --config.train.step: no such field; did you mean train.steps or tune.steps? (--fields lists them)\n"
    )


SHOWN = {
    "several lines": ("a\n  b\r\nc", "a b c"),
    "codes that steer a terminal": ("a\x1b[2Jb \x07", "a\\x1b[2Jb \\x07"),
    "what is not UTF-8": ("a\udcff", "a\\udcff"),
    "accents, and what is printable": ("é 漢 … 🐈", "é 漢 … 🐈"),
    "a word that just fits": ("x" * LONGEST_WORD, "x" * LONGEST_WORD),
    "one that does not": (f"--a={'x' * 5000}: expects", f"--a={'x' * 246}…{'x' * 249}: expects"),
    "many words": (f"first {'x ' * 5000}last", f"first {'x ' * 747}…{'x ' * 748}last"),
}


@pytest.mark.parametrize(("message", "shown"), SHOWN.values(), ids=SHOWN)
def test_what_a_terminal_shows_of_a_message(message, shown):
    assert one_line(message) == shown
    assert len(shown) <= LONGEST_MESSAGE + 1


LONG = "x" * 5000
ABSURD = [
    f"--config.data.train={LONG}",
    f"--config.data.train={'x ' * 2500}",
    f"--config.eval.source=folder@{LONG}:all",
    f"--config.eval.source=generated:val:{LONG}",
    f"--config.eval.source=generated:{LONG}",
    f"--config.eval.points={LONG}",
    f"--config.eval.mode={LONG}",
    f"--config.train.freeze={LONG}",
    f"--config.train.steps={LONG}",
    f"--config.weights={LONG}",
    f"--config.eval.lists={LONG}",
    f"--config.{LONG}=1",
    f"--{LONG}",
    f"--workdir={LONG}",
    LONG,
]


@pytest.mark.parametrize("word", ABSURD, ids=lambda word: word[:24])
def test_values_of_absurd_length_are_not_repeated_whole(experiment, tmp_path, capsys, word):
    words = ["run", f"--config={experiment}", f"--workdir={tmp_path / 'run'}", "--config.train.batch_size=4", word]
    assert run_app(run, words) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and len(told) < 4000
    assert told.count("x") < 3100 and ("…" in told or "'...: is no path" in told)


NOT_UTF8 = ["--workdir=a\udcff", "--config.eval.save=a\udcff/b", "--config.data.root", "\udcff=3"]


@pytest.mark.parametrize("word", NOT_UTF8, ids=ascii)
def test_words_that_are_not_utf8_are_refused_before_anything_is_made(experiment, tmp_path, monkeypatch, capsys, word):
    monkeypatch.chdir(tmp_path)
    words = [word, "x\udcff"] if word.endswith("root") else [word]
    assert run_app(run, ["run", f"--config={experiment}", "--workdir=run", *words]) == 2
    told = capsys.readouterr().err
    assert "\\udcff" in told and "is not UTF-8, as every word of a command must be" in told and told.count("\n") == 1
    assert not list(tmp_path.glob("*run*"))
