"""The style that all figures share: colours and forms of lines, resolution, and how a figure is saved.

Plotted through matplotlib's objects, in its default style: nothing global is read or left changed.
Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind people can tell apart.
"""

import os
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data_pipelines.disk import replacing

LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
DASHES = ("-", "--", ":", "-.")
"""The first is for as many lines as there are colours, the second for as many again, and so on."""

DPI = 100


def save_figure(figure: Figure, path: os.PathLike | str) -> None:
    """Writes a figure as PNG, whole or not at all, without what would differ from one machine to another."""
    with replacing(Path(path)) as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
