"""Makes the pages of the interface from the docstrings, by pdoc.

    python -m docs.tools.api [--out=docs/api]

Whatever pdoc warns of is an error.
"""

import argparse
import importlib
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from docs.tools.pages import API

PACKAGES = ("guided_jax", "data_pipelines", "experiments")


def import_all() -> list[ModuleType]:
    """Imports every module of the three packages."""
    modules = []
    for package in map(importlib.import_module, PACKAGES):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        modules += [package, *(importlib.import_module(each.name) for each in found)]
    return modules


def make_pages(out: Path) -> int:
    """Writes a page a module; returns their number.

    Raises:
        Warning: pdoc cannot read something as it stands.
    """
    import pdoc  # of the extra `docs`

    modules = import_all()  # first, so that what other libraries warn of when imported is not taken for pdoc's
    pdoc.render.configure(docformat="google", footer_text="guided_jax")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*PACKAGES, output_directory=out)
    return len(modules)


def main(argv: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m docs.tools.api", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=API, help="folder of the pages")
    out = parser.parse_args(argv).out
    print(f"{make_pages(out)} modules: {out / 'index.html'}")


if __name__ == "__main__":
    main(sys.argv[1:])
