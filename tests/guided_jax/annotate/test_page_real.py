"""The whole way on real frames with the guide that comes with the package: a dog is clicked, and followed."""

import cv2
import numpy as np
import pytest
from PIL import Image

import guided_jax
from tests.guided_jax.annotate.serving import Serving, wait_until
from tests.guided_jax.annotate.tab import Tab

FRAMES = ("00000", "00003", "00006", "00009")
SIZE = (320, 180)
"""Width and height of the frames in pixels, less than half of their own."""


@pytest.fixture(scope="module")
def frames(real_data, tmp_path_factory):
    """A folder of frames, and the truth of each."""
    folder, truth = tmp_path_factory.mktemp("libby"), {}
    for name in FRAMES:
        path = real_data / "data" / "DAVIS" / "JPEGImages" / "480p" / "libby" / f"{name}.jpg"
        Image.open(path).resize(SIZE, Image.Resampling.BOX).save(folder / f"{name}.png")
        mask = Image.open(str(path).replace("JPEGImages", "Annotations").replace(".jpg", ".png"))
        truth[f"{name}.png"] = np.array(mask.resize(SIZE, Image.Resampling.NEAREST)) > 0
    return folder, truth


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return ((mask == 1) & truth).sum() / ((mask == 1) | truth).sum()


def depth(region: np.ndarray) -> np.ndarray:
    """How far each pixel of a region lies from its edge."""
    return cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]


def middle(region: np.ndarray) -> tuple[int, int]:
    """The pixel that lies deepest in a region."""
    return divmod(int(depth(region).argmax()), region.shape[1])


@pytest.mark.real_data
def test_a_dog_is_clicked_corrected_and_followed(chromium, frames, tmp_path):
    folder, truth = frames
    server = Serving(folder, tmp_path / "work", guided_jax.Session())
    try:
        tab = Tab(chromium.new_page(viewport={"width": 1280, "height": 800}))
        tab.page.set_default_timeout(120_000)
        tab.open(server.address)
        first = truth["00000.png"]
        scores = [iou(tab.click(*middle(first)), first)]
        for _ in range(3):  # each click where the mask is most wrong, as a person clicks
            mask = tab.mask() == 1
            wrong = max((first & ~mask, mask & ~first), key=lambda region: depth(region).max())
            button = "left" if first[middle(wrong)] else "right"
            scores.append(iou(tab.click(*middle(wrong), button), first))
        assert scores[-1] > 0.6 and scores[-1] > scores[0]
        assert iou(tab.press("z"), first) == scores[-2] and iou(tab.press("Shift+Z"), first) == scores[-1]
        tab.page.click("#along")
        wait_until(lambda: len(tab.state()["server"]["results"]) == 3 and not tab.state()["server"]["running"], 120)
        assert all(iou(tab.show(name), truth[name]) > 0.3 for name in truth)
        assert tab.errors == []
        tab.page.close()
    finally:
        server.end()
