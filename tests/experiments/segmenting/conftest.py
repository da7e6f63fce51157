"""A model in a file, and photographs to be segmented."""

from pathlib import Path

import pytest

from guided_jax.snapshots.files import write_parameters
from tests.experiments.segmenting.annotations import own, write_image, write_json
from tests.guided_jax.small_models import small_model

FOLLOWS = {"inference": "distance", "locality": "both", "feature_width": 0}
ALONE = {"inference": "distance"}


def _write(path: Path, **fields) -> Path:
    model, params = small_model(**fields)
    write_parameters(path, model.config, params, model.preprocessing)
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Of random weights, whose guidance can follow a clip; images are looked at as they are."""
    return _write(tmp_path_factory.mktemp("model") / "follows.safetensors", **FOLLOWS)


@pytest.fixture(scope="session")
def alone(tmp_path_factory) -> Path:
    """One whose guidance cannot."""
    return _write(tmp_path_factory.mktemp("model") / "alone.safetensors", **ALONE)


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
