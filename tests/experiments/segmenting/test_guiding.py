"""Canvases for images of many sizes, images that a model cannot see, and what tells outputs apart."""

from pathlib import Path

import pytest

from experiments.runs.load import Trained
from experiments.segmenting.guiding import check_sizes, choose_canvases, default_side
from experiments.settings.config import Config
from experiments.settings.fields import with_overrides


@pytest.mark.parametrize(
    ("sizes", "canvases"),
    [
        ([], ()),
        ([(384, 512), (384, 512)], ((384, 512),)),
        ([(341, 512), (384, 512)], ((384, 512),)),  # 1.13 times the pixels
        ([(288, 512), (384, 512)], ((384, 512), (288, 512))),  # 1.33 times
        ([(512, 384), (384, 512)], ((384, 512), (512, 384))),
        ([(100, 100), (90, 100), (80, 100), (79, 100)], ((100, 100), (79, 100))),
    ],
)
def test_as_few_canvases_as_waste_little(sizes, canvases):
    assert choose_canvases(sizes) == canvases


def trained(**fields) -> Trained:
    return Trained(with_overrides(Config(), fields), None, {}, {})


def test_the_model_says_at_which_side_images_are_looked_at():
    assert default_side(trained(**{"data.max_side": 256})) == 256
    assert default_side(trained(**{"data.max_side": 256})._replace(about={"max_side": 512})) == 512


def test_an_image_that_is_too_small_for_the_grid():
    model = trained(**{"model.grid": "exact"})
    check_sizes(model, {Path("a.png"): (600, 500)}, 0)
    with pytest.raises(ValueError, match=r"^b.png: is 2x40 pixels \(height x width\); the model's grid needs sides of"):
        check_sizes(model, {Path("a.png"): (600, 500), Path("b.png"): (2, 40)}, 0)
    with pytest.raises(ValueError, match=r"a.png: is 600x500 pixels \(height x width\), and 12x10 at --max_side=12; "):
        check_sizes(model, {Path("a.png"): (600, 500)}, 12)
