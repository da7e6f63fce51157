"""The help that is made of the flags."""

import pytest
from absl import flags

from experiments.settings.command_flags import own_flags
from experiments.settings.help_texts import Command, describe_command, own_names

DOC = """Does what it does, and tells of it.

Much more that a help does not say.
"""


@pytest.fixture
def values():
    values = own_flags()
    flags.DEFINE_string("out", "", "New folder `DIR` for what is written, as results/first.", flag_values=values)
    flags.DEFINE_list("points", ["1", "5"], "The `P,...` points per label.", flag_values=values)
    flags.DEFINE_enum("way", "one", ("one", "two"), "Goes one of two ways.", flag_values=values)
    flags.DEFINE_integer("a_rather_long_name", 0, "A number without a name.", flag_values=values)
    flags.DEFINE_bool("best", False, "Takes the best.", flag_values=values)
    return values


def test_every_flag_with_its_value_text_and_default(values, monkeypatch):
    monkeypatch.setenv("COLUMNS", "61")
    command = Command("guided_jax do", DOC, words="RUN ...", fields="Another value, as --config.data.root=DATA.")
    assert (
        describe_command(command, values)
        == """\
usage: guided_jax do RUN ... [--FLAG=VALUE ...]

Does what it does, and tells of it.

  --out=DIR               New folder DIR for what is
                          written, as results/first.
  --points=P,...          The P,... points per label.
                          (default: 1,5)
  --way=one|two           Goes one of two ways. (default:
                          one)
  --a_rather_long_name=VALUE
                          A number without a name. (default:
                          0)
  --best                  Takes the best.
  --config.FIELD=VALUE    Another value, as
                          --config.data.root=DATA.
  --help                  Shows this text, and ends."""
    )


def test_no_line_is_wider_than_the_terminal(values, monkeypatch):
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        assert max(map(len, describe_command(Command("x", DOC), values).splitlines())) < width


def test_flags_of_absl_are_understood_but_not_listed(values):
    assert own_names(values) == ["out", "points", "way", "a_rather_long_name", "best", "help"]
    assert "verbosity" in values
