"""The notebooks are sound, kept without outputs, and run."""

import re

import matplotlib
import nbformat
import numpy as np
import pytest
from PIL import Image

from docs.tools.pages import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_is_valid_and_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert code[0].metadata.tags == ["parameters"]
    assert notebook.cells[0].source.startswith("# ")


@pytest.fixture(scope="module")
def clicked(tmp_path_factory) -> dict:
    """What the notebook on clicks has after its cells, run one by one, but on few images and for one update."""
    notebook = nbformat.read(ROOT / "notebooks" / "click.ipynb", as_version=4)
    names = {}
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    try:
        for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
            exec(compile(cell.source, f"cell {number}", "exec"), names)
            if number == 0:
                missing = tmp_path_factory.mktemp("clicks") / "runs" / "quickstart" / "guided"
                names.update(WORKDIR=missing, STEPS=1, SPLIT="val")
    finally:
        matplotlib.pyplot.close("all")
        matplotlib.use(backend)
    return names


def test_clicking_runs(clicked):
    assert clicked["WORKDIR"].parts[-2:] == ("runs", "notebook")
    image, clicks, masks = clicked["image"], clicked["clicks"], clicked["masks"]
    assert len(clicks) == len(masks) == 6
    assert [label for *_, label in clicks] == [1, 0, 1, 0, 1, 0]
    assert all(clicked["truth"][row, column] == label for row, column, label in clicks)
    assert all(mask.shape == image.shape[:2] and mask.dtype == np.uint8 for mask in masks)
    assert clicked["mask"].shape == clicked["other"].shape[:2]
    assert clicked["session"].names == ("first", "second")


def test_the_readme_clicks(tmp_path, monkeypatch):
    """Its lines of Python, on a photograph, with the guide that comes with the package."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    Image.fromarray(np.full((160, 400, 3), 90, np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["mask"].shape == (160, 400) and names["mask"].dtype == np.uint8
