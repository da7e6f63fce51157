"""A run whose masks hold both labels, and photographs to be segmented."""

from pathlib import Path

import pytest

from tests.experiments.segmenting.annotations import own, write_image, write_json
from tests.experiments.tiny_run import make_run


@pytest.fixture(scope="session")
def workdir(tmp_path_factory) -> Path:
    """Of random weights; images are looked at as they are."""
    folder = tmp_path_factory.mktemp("segment")
    fields = {"model.sharing": "shared", "model.inference": "distance"}
    return make_run(folder / "run", folder / "prepared", **fields)


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """`photos` with two images and one in a sub-folder, and `a.png` with its annotation; we are where they lie."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("1.png", "2.png", "sub/3.png"), 1):
        write_image(tmp_path / "photos" / name, (24, 40), number)
    write_image(tmp_path / "a.png", (24, 40))
    points = [{"point": [5, 5], "label": 1}, {"point": [20, 30], "label": 2}, {"point": [12, 20], "label": 0}]
    write_json(tmp_path / "a.json", own(*points, size=(24, 40)))
    return tmp_path / "photos"
