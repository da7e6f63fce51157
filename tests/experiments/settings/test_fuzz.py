"""Overrides of anything: accepted, or one line that names the field; never a traceback. No data are opened."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.settings.checks import check_config
from experiments.settings.command_line import run_app
from experiments.settings.config import Config
from experiments.settings.errors import user_mistakes
from experiments.settings.fields import field_types

fuzz = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))

DIGITS = "9" * 5000  # more than Python reads as a number
NUMBERS = (
    *("-1", "0", "-0", "1", "2", "7", "300", "1_000", "0x10", "1.0", "0.5", "1e5", "1e400", "1e-400", "nan", "-inf"),
    *(str(2**31), str(2**32), str(2**63), str(2**64), "-99999999999999999999", DIGITS, "１２", "²", "½"),
)
WORDS = (
    *("", " ", "None", "True", "[]", "{}", "''", "all", "not all", "not not dog", "dog", "fold:0", "fold:²"),
    *("interactive", "semantic", "video", "views", "hsnet", "best", "vgg16", "taps", "dilated", "stack", "local"),
    *("generated:val", "voc:val:class*2", "voc:val[5:2]", f"voc:val[{DIGITS}:]", "voc:val[:200%]", "folder@a,b:all"),
    *("voc:val*nan", "folder@'a:all", "folder@../../x:all:class", "folder@a\0b:all", "folder@~nobody_:all", "x@y:z*1"),
    *("dense", "dense,dense", "1,5,dense", "dense*inf", "0-99*0.9, dense*0.1", "5-1", "1-²", "512x512", "0x0", "９x９"),
    *("../..", "/", "/dev/null", "/dev/null/x", ".", "~", "~nobody_", "~nobody_/x", "a\0b", "a\nb", "\x1b[31m"),
    *("é" * 300, "x" * 5000, "😀", "%s", "{x}", "--config.seed=3", "-h", "=", "a=b", '"', "\\"),
    *("trunk", "trunk, .*", "(", "*x", "(?<=a+)x", "a{99999999999999999999}", f"a{{{DIGITS}}}", "trunk(?i)"),
)
ENDS = (",", ", ", ":", "*", "@", "-", "x", "[", "]", "not ", "~", "/", "\0")
VALUES = st.one_of(
    st.sampled_from([*NUMBERS, *WORDS]),
    st.integers().map(str),
    st.floats().map(str),
    st.lists(st.sampled_from([*NUMBERS, *WORDS, *ENDS]), max_size=4).map("".join),
    st.lists(st.sampled_from([*NUMBERS, *WORDS]), max_size=4).map(",".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
FIELDS = st.sampled_from(sorted(field_types(Config)))


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Gives the values of some fields on a command line, and what they lead to up to where data would be opened."""
    monkeypatch.chdir(tmp_path)

    def program(config, workdir, mode, parallel):
        with user_mistakes():
            check_config(config, training=mode != "eval")

    def run(fields: dict[str, str], mode: str) -> None:
        overrides = [f"--config.{name}={value}" for name, value in fields.items()]
        code = run_app(program, ["run", "--config=quickstart", "--workdir=run", f"--mode={mode}", *overrides])
        told = capsys.readouterr()
        assert told.out == "" and not list(tmp_path.iterdir())
        if code == 0:
            assert told.err == ""
            return
        assert code == 2 and told.err.startswith("error: ") and len(told.err.splitlines()) == 1
        assert any(name in told.err for name in fields)

    return run


MODES = st.sampled_from(["train", "eval", "train_and_eval"])


@settings(fuzz, max_examples=200)
@given(field=FIELDS, value=VALUES, mode=MODES)
@pytest.mark.filterwarnings("ignore:Possible :FutureWarning")  # of regular expressions
def test_a_field_of_anything(check, field, value, mode):
    check({field: value}, mode)


@settings(fuzz, max_examples=100)
@given(fields=st.dictionaries(FIELDS, VALUES, min_size=2, max_size=4), mode=MODES)
@pytest.mark.filterwarnings("ignore:Possible :FutureWarning")
def test_fields_of_anything(check, fields, mode):
    check(fields, mode)


@pytest.mark.parametrize("value", ["(" * 9999, "a{99999999999999999999}", f"a{{{DIGITS}}}"])
def test_a_rule_beyond_measure(check, value):
    check({"train.freeze": value}, "train")


@pytest.mark.parametrize(
    "field", ["weights", "start_from", "data.root", "data.prepared", "data.lists", "eval.lists", "eval.save"]
)
def test_the_home_of_nobody(check, field):
    check({field: "~nobody_/x"}, "train")
