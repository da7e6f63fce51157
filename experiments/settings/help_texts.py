"""The help of a command, made of its flags: each is described where it is defined, and nowhere else.

As in Go's package `flag`, the word in backquotes in the text of a flag stands for its value: of "`DIR` of a run" the
help makes `--workdir=DIR  DIR of a run`.
"""

import re
import shutil
import textwrap
from typing import NamedTuple

from absl import flags

COLUMN = 26
"""Where the texts begin."""


class Command(NamedTuple):
    """What the help of a command says beside its flags.

    Attributes:
        name: as it is typed: `guided_jax clicks`.
        doc: docstring of its module, whose first line says what it does.
        words: that it takes beside flags, as `RUN ...`; empty: none.
        fields: which `--config.FIELD=VALUE` it takes; empty: none.
    """

    name: str
    doc: str
    words: str = ""
    fields: str = ""


def describe_command(command: Command, values: flags.FlagValues) -> str:
    """How to call a command, what it does, and all of its own flags, wrapped to the width of the terminal."""
    width = max(shutil.get_terminal_size().columns - 1, COLUMN + 20)
    usage = " ".join(filter(None, ["usage:", command.name, command.words, "[--FLAG=VALUE ...]"]))
    entries = [_describe_flag(values[name]) for name in own_names(values)]
    if command.fields:
        entries.insert(-1, ("--config.FIELD=VALUE", command.fields))
    first = " ".join(command.doc.strip().partition("\n\n")[0].split())
    return "\n".join([*_wrap(usage, width), "", *_wrap(first, width), "", *(_entry(*each, width) for each in entries)])


def own_names(values: flags.FlagValues) -> list[str]:
    """The names of the flags that a command defines itself, in that order, `help` last; absl's are left out."""
    shared = flags.FLAGS
    own = [
        name
        for name in values
        if name == values[name].name and (name not in shared or values[name] is not shared[name])
    ]
    return sorted(own, key=lambda name: name == "help")


def _describe_flag(flag: flags.Flag) -> tuple[str, str]:
    """The flag as it is typed, and its text with the default."""
    named = re.search(r"`(.+?)`", flag.help)
    choices = getattr(flag.parser, "enum_values", None)
    value = named[1] if named else "|".join(choices) if choices else "VALUE"
    default = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
    told = "" if flag.boolean or default in (None, "") else f" (default: {default})"
    text = re.sub(r"^<.*?>: ", "", flag.help)  # absl's, of the choices
    return f"--{flag.name}" if flag.boolean else f"--{flag.name}={value}", text.replace("`", "") + told


def _entry(label: str, text: str, width: int) -> str:
    lines = _wrap(text, width, " " * COLUMN)
    if len(label) + 4 > COLUMN:
        return "\n".join([f"  {label}", *lines])
    return "\n".join([f"  {label}".ljust(COLUMN) + lines[0][COLUMN:], *lines[1:]])


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
