"""The picture of README: a few clicks on a photograph, and the masks of the guide that comes with the package.

    python -m docs.tools.guide_picture

The photograph is one that matplotlib brings as sample data: Commodore Grace Hopper, U.S. Navy, in the public domain.
"""

import numpy as np
from jaxtyping import UInt8
from matplotlib import cbook, colors
from matplotlib.figure import Figure
from PIL import Image

import guided_jax
from docs.tools.pages import ROOT
from experiments.drawing.style import LINES, save_figure

NAMES = ("background", "cap", "face", "jacket", "flag")
CLICKS = (
    *((1, 70, 200), (1, 115, 300), (1, 120, 180), (1, 130, 350)),
    *((2, 250, 265), (2, 200, 330), (2, 165, 250)),
    *((3, 470, 110), (3, 430, 400), (3, 570, 60), (3, 560, 460), (3, 500, 310), (3, 400, 90)),
    *((4, 120, 60), (4, 300, 110), (4, 30, 120), (4, 220, 30), (4, 430, 10)),
    *((0, 110, 440), (0, 280, 470), (0, 400, 265)),
)
"""Label, row and column."""

OPACITY = 0.6


def draw(image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"]) -> Figure:
    """The photograph with the clicks, and beside it with the masks."""
    figure = Figure(figsize=(8.2, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    colour = [np.array(colors.to_rgb(line)) for line in ("#ffffff", *LINES[1:])]
    shown = image / 255
    for label in range(1, len(NAMES)):
        shown[labels == label] = (1 - OPACITY) * shown[labels == label] + OPACITY * colour[label]
    left.imshow(image)
    right.imshow(shown)
    for label, row, column in CLICKS:
        left.plot(column, row, "o", color=colour[label], markeredgecolor="white", markersize=9, markeredgewidth=1.5)
    left.set_title(f"{len(CLICKS)} clicks")
    right.set_title(", ".join(NAMES[1:]))
    for axes in (left, right):
        axes.set_axis_off()
    return figure


def main() -> None:
    """Writes `docs/guide.png`."""
    file = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    image = np.asarray(Image.open(file).convert("RGB"))
    session = guided_jax.Session(way=len(NAMES))
    session.add("photo", image)
    for label, row, column in CLICKS:
        session.click("photo", row, column, label)
    save_figure(draw(image, session.mask("photo")), ROOT / "docs" / "guide.png")


if __name__ == "__main__":
    main()
