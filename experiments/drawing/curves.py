"""Positive IU over points per label, a line a model."""

import math
import os
from collections.abc import Mapping

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure

from experiments.drawing.style import DASHES, DPI, LINES, MARKERS, save_figure

DENSE = "dense"


def plot_curves(
    path: os.PathLike | str,
    curves: Mapping[str, Mapping[int | str, float]],
    *,
    spreads: Mapping[str, Mapping[int | str, float]] | None = None,
    title: str = "",
) -> None:
    """Plots positive IU over points per label, a line a model.

    Args:
        path: of the PNG file.
        curves: by name of the model, positive IU in 0..1 by points per label; `dense` stands apart at the right.
        spreads: by name of the model, the standard deviation at some of its points, shown as a bar of twice its length.
        title: of the figure.

    Raises:
        ValueError: nothing to draw, a spread of no curve, or points that are neither a number from 0 nor `dense`.
    """
    spreads = spreads or {}
    points = _check_curves(curves, spreads)
    positions = {count: math.log2(max(count, 0.5)) for count in points}
    dense = max(positions.values(), default=0.0) + 1.5
    has_dense = any(DENSE in curve for curve in curves.values())
    with matplotlib.style.context("default"):
        many = len(curves) > len(LINES)
        figure = Figure((9.6, 5.4) if many else (6.4, 4.2), DPI, layout="constrained")
        axes = figure.subplots()
        for i, (name, curve) in enumerate(curves.items()):
            colour = LINES[i % len(LINES)]
            style = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "clip_on": False, "zorder": 3}
            dashes = DASHES[i // len(LINES) % len(DASHES)]
            counts = sorted(count for count in curve if count != DENSE)
            line = [positions[count] for count in counts], [curve[count] for count in counts]
            if counts:
                axes.plot(*line, label=name, linestyle=dashes, **style)
            if DENSE in curve:
                axes.plot([dense], [curve[DENSE]], linestyle="none", label=None if counts else name, **style)
            for count, spread in spreads.get(name, {}).items():
                position = dense if count == DENSE else positions[count]
                axes.errorbar(position, curve[count], spread, color=colour, capsize=2, elinewidth=1, zorder=2)
        ticks = [(position, str(count)) for count, position in positions.items()]
        if has_dense:
            ticks.append((dense, DENSE))
            if positions:
                axes.axvline(dense - 0.75, color="0.6", linestyle=":", linewidth=1)
        axes.set_xticks([position for position, _ in ticks], [label for _, label in ticks])
        axes.set_yticks(np.linspace(0, 1, 11))
        axes.set_ylim(0, 1)
        axes.set_xlabel("points per label [annotated pixels, log2 scale]")
        axes.set_ylabel("positive IU [0 to 1]")
        axes.set_title(title)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        if many:
            figure.legend(loc="outside right upper", fontsize=8)
        else:
            axes.legend(loc="best")
        save_figure(figure, path)


def _check_curves(
    curves: Mapping[str, Mapping[int | str, float]], spreads: Mapping[str, Mapping[int | str, float]]
) -> list[int]:
    points = {count for curve in curves.values() for count in curve}
    if not points:
        raise ValueError("there is no curve to draw")
    for count in points:
        if count != DENSE and not (isinstance(count, int) and count >= 0):
            raise ValueError(f"points per label are {count!r}, but must be a whole number from 0, or 'dense'")
    for name, spread in spreads.items():
        if stray := [count for count in spread if count not in curves.get(name, {})]:
            raise ValueError(f"there is a spread at {stray[0]} points of {name!r}, but no such point of its curve")
    return sorted(count for count in points if count != DENSE)
