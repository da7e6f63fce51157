"""Finds references of the documentation that lead nowhere.

    python -m docs.tools.references

What is looked up, in the pages and in every docstring of the three packages:

- dotted names in backticks, as `guided_jax.episode.Episode`: they can be imported;
- fields in backticks or as flags, as `data.train`, `--config.eval.shots`: the configuration has them;
- configurations behind `--config=`: they ship;
- modules behind `python -m`: they are there.

In the pages alone, also relative links with their anchors, and paths in backticks, as `experiments/run.py`.
"""

import ast
import importlib
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.tools.api import PACKAGES
from docs.tools.pages import API, ROOT, find_pages
from experiments.settings.config import Config
from experiments.settings.fields import field_types

FOLDERS = (*PACKAGES, "docs", "tests", "notebooks")
BACKTICKS = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
DOTTED = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*|[A-Z]\w+\.md|setup\.cfg|pyproject\.toml|Makefile")
FIELD = re.compile(r"(?:data|model|train|eval)\.[a-z_0-9]+")
FLAG = re.compile(r"--config\.([\w.]*\w)")
CONFIG = re.compile(r"--config=([\w./,:-]*\w)(?![</\w])")
MODULE = re.compile(r"python3? -m ((?:\w+\.)*\w+)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"[A-Z_]{2,}")
"""Parts of a name that stand for something of the reader's: FILE.py, NAME."""


def is_name(dotted: str) -> bool:
    """Whether a dotted name is a module, or leads from one to something in it: a function, a field, a method."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            if importlib.util.find_spec(name) is None:
                continue
        except ModuleNotFoundError:  # a part of it is no package
            continue
        found = importlib.import_module(name)
        for part in parts[length:]:
            if not hasattr(found, part):
                return part in getattr(found, "__annotations__", {}) and part == parts[-1]
            found = getattr(found, part)
        return True
    return False


def broken_words(text: str) -> Iterator[str]:
    """What a text names that is not there, but for links and paths."""
    fields = field_types(Config)
    groups = {".".join(name.split(".")[:n]) for name in fields for n in range(1, name.count(".") + 1)}
    for word in BACKTICKS.findall(text):
        name = word.partition("=")[0].partition("(")[0].strip()
        if DOTTED.fullmatch(name) and not name.endswith(".py") and not is_name(name):
            yield f"`{name}`: no such name"
        if FIELD.fullmatch(name) and "(" not in word and name not in fields and not name.endswith(".py"):
            yield f"`{name}`: no such field"
    for name in FLAG.findall(text):
        if name not in fields and name not in groups and name.islower():
            yield f"--config.{name}: no such field"
    shipped = {file.stem for file in (ROOT / "experiments" / "configs").rglob("*.py")}
    for argument in itertools.chain(*(each.split(",") for each in CONFIG.findall(text))):
        path = argument.partition(":")[0]
        if not (PLACEHOLDER.search(path) or path in shipped or (ROOT / path).is_file()):
            yield f"--config={path}: no such configuration"
    for name in MODULE.findall(text):
        if name.split(".")[0] in FOLDERS and not PLACEHOLDER.search(name) and not is_name(name):
            yield f"python -m {name}: no such module"


def broken_in_page(page: Path) -> list[str]:
    """What a page of Markdown refers to that is not there."""
    text = page.read_text("utf-8")
    broken = list(broken_words(text))
    prose = FENCE.sub("", text)
    for target in LINK.findall(prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            broken.append(f"({target}): no such file")
        elif anchor and anchor not in anchors(file):
            broken.append(f"({target}): no such heading")
    for word in BACKTICKS.findall(prose):
        path = word.partition(":")[0]
        if not PATH.fullmatch(path) or PLACEHOLDER.search(Path(path).stem) or (ROOT / path).is_relative_to(API):
            continue
        if not any(ROOT.glob(path.rstrip("/"))):
            broken.append(f"`{path}`: no such file")
    return broken


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def find_docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Every docstring of a module with its line, those of constants and attributes too."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        value = getattr(node, "value", None)
        if isinstance(node, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield node.lineno, value.value


def broken_in_docstrings() -> list[str]:
    """What the docstrings of the three packages name that is not there, each with its file and line."""
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for file in files
        for line, text in find_docstrings(file)
        for what in broken_words(text)
    ]


def main() -> int:
    """The command line; returns the exit code, 1 where something is broken."""
    broken = [f"{page.relative_to(ROOT)}: {what}" for page in find_pages() for what in broken_in_page(page)]
    broken += broken_in_docstrings()
    print("\n".join(broken) or "every reference leads somewhere")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
