"""References of the pages and of the docstrings lead somewhere, and one that does not is found."""

import re

import pytest

from docs.tools.pages import ROOT, find_pages
from docs.tools.references import anchors, broken_in_docstrings, broken_in_page, broken_words, is_name
from experiments.__main__ import COMMANDS


@pytest.mark.parametrize("page", find_pages(), ids=lambda page: page.stem)
def test_every_reference_of_a_page_leads_somewhere(page):
    assert broken_in_page(page) == []


def test_every_reference_of_a_docstring_leads_somewhere():
    assert broken_in_docstrings() == []


def test_every_command_of_the_pages_is_one():
    commands = COMMANDS
    named = {
        (page.name, command)
        for page in find_pages()
        for command in re.findall(r"(?:^ {4}|`)guided_jax ([\w-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert {command for _, command in named} <= set(commands), sorted(named)
    assert {command for page, command in named if page == "evaluation.md"} >= {"clicks", "video", "score", "report"}


def test_every_page_says_first_what_it_is_for():
    for page in find_pages():
        title, blank, *rest = page.read_text("utf-8").splitlines()
        assert title.startswith("# ") and not blank and rest[0][:1].isalpha(), page.name


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "index.md"
    pages = [page for page in find_pages() if page.parent == index.parent and page != index]
    text = index.read_text("utf-8")
    assert [page.name for page in pages if f"({page.name})" not in text] == []


@pytest.mark.parametrize(
    "text",
    [
        "`guided_jax.episode.Episode`",
        "`guided_jax.episode.Episode.query`",
        "`guided_jax.model_config.ModelConfig.fusion`",
        "`experiments.settings.config.Config.weights`",
        "`data.train` and `model.fusion=late`",
        "`model.apply(params)`",
        "--config.train.steps=3",
        "--config=few_shot:0 or --config=experiments/configs/few_shot.py:K or --config=FILE.py",
        "python -m experiments.run",
        "python -m pytest",
    ],
)
def test_what_is_there_is_not_broken(text):
    assert list(broken_words(text)) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("see `guided_jax.backbones.trunk`", "`guided_jax.backbones.trunk`: no such name"),
        ("`guided_jax.episode.Episode.queries`", "`guided_jax.episode.Episode.queries`: no such name"),
        ("`experiments.evaluate.tasks`", "`experiments.evaluate.tasks`: no such name"),
        ("`data.training`", "`data.training`: no such field"),
        ("`model.fusions=late`", "`model.fusions`: no such field"),
        ("--config.train.step=3", "--config.train.step: no such field"),
        ("--config=few_shots:0", "--config=few_shots: no such configuration"),
        ("python -m experiments.evaluate", "python -m experiments.evaluate: no such module"),
    ],
)
def test_what_is_not_there_is_broken(text, what):
    assert list(broken_words(text)) == [what]


def test_links_and_paths_are_looked_up(tmp_path):
    (tmp_path / "other.md").write_text("# A `title`, with more\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n[a](other.md) [b](other.md#a-title-with-more) [c](#page) [d](https://example.com) "
        "`experiments/run.py` `experiments/configs/few_shot.py:0` `experiments/configs/` `experiments/results/*.json` "
        "`experiments/configs/NAME.py`\n\n"
        "[e](none.md) [f](other.md#no-heading) [g](#nowhere) `experiments/walk.py` `tests/none/`\n"
    )
    assert broken_in_page(page) == [
        "(none.md): no such file",
        "(other.md#no-heading): no such heading",
        "(#nowhere): no such heading",
        "`experiments/walk.py`: no such file",
        "`tests/none/`: no such file",
    ]


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# The paper's designs, side by side\n\n## Few-shot semantic\n")
    assert anchors(page) == {"the-papers-designs-side-by-side", "few-shot-semantic"}


@pytest.mark.parametrize(("name", "there"), [("guided_jax.episode", True), ("guided_jax.nothing.at.all", False)])
def test_a_name_is_imported_as_far_as_it_goes(name, there):
    assert is_name(name) is there
