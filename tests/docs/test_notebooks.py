"""The notebooks are sound, kept without outputs, and run."""

import matplotlib
import nbformat
import numpy as np
import pytest

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


def test_clicking_runs(tmp_path):
    """Cell by cell, as Jupyter does it, but on few images and for a single update."""
    notebook = nbformat.read(ROOT / "notebooks" / "click.ipynb", as_version=4)
    names = {}
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    try:
        for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
            exec(compile(cell.source, f"cell {number}", "exec"), names)
            if number == 0:
                names.update(WORKDIR=tmp_path / "runs" / "none" / "guided", STEPS=1, SPLIT="val")
    finally:
        matplotlib.pyplot.close("all")
        matplotlib.use(backend)
    assert names["WORKDIR"] == tmp_path / "runs" / "notebook"
    image, clicks, masks = names["image"], names["clicks"], names["masks"]
    assert len(clicks) == len(masks) >= 2
    assert [label for *_, label in clicks[:2]] == [1, 0]
    assert all(names["truth"][row, column] == label for row, column, label in clicks)
    assert all(mask.shape == image.shape[:2] and mask.dtype == np.uint8 for mask in masks)
    assert names["mask"].shape == names["other"].shape[:2]
    assert names["session"].names == ("first", "second")
