"""The page on the architecture draws the tree of folders that is there."""

import re

import pytest

from docs.tools.pages import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PACKAGES = ("guided_jax", "data_pipelines", "experiments")


def drawn(package: str) -> set[str]:
    """The names that the page's tree has right below a package; folders end in a slash."""
    (tree,) = re.findall(rf"^{package}/\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    entries = [re.split(r"\s{2,}", line.strip())[0] for line in tree.splitlines() if re.match(r" {4}\w", line)]
    return {name for entry in entries for name in entry.split(", ")}


def there(package: str) -> set[str]:
    """The modules and folders right below a package, named in the same way."""
    folder = ROOT / package
    modules = {file.stem for file in folder.glob("[!_]*.py")}
    return modules | {f"{each.name}/" for each in folder.iterdir() if each.is_dir() and each.name[0].isalpha()}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tree_is_the_real_one(package):
    assert drawn(package) == there(package)
