"""Lines over a quantity other than points per label: shots, clicks, dots, seconds, frames."""

import os
from collections.abc import Mapping, Sequence

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from experiments.drawing.style import DASHES, DPI, LINES, MARKERS, save_figure


def plot_lines(
    path: os.PathLike | str,
    lines: Mapping[str, Sequence[tuple[int | float, float]]],
    *,
    across: str,
    up: str,
    title: str = "",
    spreads: Mapping[str, Sequence[float | None]] | None = None,
    joined: bool = True,
    logarithmic: bool = False,
) -> None:
    """Plots scores in [0, 1] over a quantity.

    Args:
        path: of the PNG file.
        lines: (quantity, score) by name.
        across: the quantity, with its unit.
        up: the score.
        title: of the figure.
        spreads: standard deviation of each score of a line, shown as a bar of twice its length.
        joined: whether the points of a line are joined.
        logarithmic: whether the quantity, above 0, is on a logarithmic scale.
    """
    with matplotlib.style.context("default"):
        figure = Figure((7.2, 4.2), DPI, layout="constrained")
        axes = figure.subplots()
        for i, (name, points) in enumerate(lines.items()):
            x, y = [each[0] for each in points], [each[1] for each in points]
            colour, dashes = LINES[i % len(LINES)], DASHES[i // len(LINES) % len(DASHES)] if joined else "none"
            # Colour and form together tell as many lines apart as there are pairs of them.
            marker = MARKERS[(i + i // len(LINES)) % len(MARKERS)] if len(points) <= 40 else None
            axes.plot(x, y, label=name, color=colour, linestyle=dashes, marker=marker, clip_on=False, zorder=3)
            for position, value, spread in zip(x, y, (spreads or {}).get(name, []), strict=False):
                if spread is not None:
                    axes.errorbar(position, value, spread, color=colour, capsize=2, elinewidth=1, zorder=2)
        values = [position for points in lines.values() for position, _ in points]
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        elif all(float(value).is_integer() for value in values):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axes.set_xlim(left=0)
        axes.set(ylim=(0, 1), xlabel=across, ylabel=up, title=title)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
        save_figure(figure, path)
