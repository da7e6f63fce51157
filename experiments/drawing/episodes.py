"""Pictures of episodes: support with its annotation, query, predictions, truth.

Positive and negative dots differ in colour and in form.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.style
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.drawing.style import DPI, save_figure
from guided_jax.episode import UNKNOWN, Episode

NEGATIVE = "#D55E00"
POSITIVES = ("#009E73", "#56B4E9", "#F0E442", "#CC79A7", "#E69F00")
"""Colours of the labels 1, 2, ...; further ones begin anew."""

PANEL = 2.2
"""Width of a panel in inches."""

MAX_DOTS = 1000
"""Annotated pixels that are shown as single dots; more, or half of an image, are shown as a label map."""


def plot_episodes(
    path: os.PathLike | str,
    episodes: Sequence[Episode],
    predictions: Mapping[str, Sequence[UInt8[np.ndarray, "_ _"]]],
    *,
    ious: Mapping[str, Sequence[float]] | None = None,
    titles: Sequence[str] | None = None,
    draw: int = 0,
) -> None:
    """Plots a row an episode: support with its annotation, query, prediction of each model, truth.

    Args:
        path: of the PNG file.
        episodes: numpy, without batch axis, holding images; padding is not shown.
        predictions: by name of the model, a label map for each episode, as large as its canvas or its query.
        ious: by name of the model, positive IU of each episode in 0..1, written above its prediction.
        titles: one an episode, written at its left.
        draw: which of the annotation draws is shown.

    Raises:
        ValueError: no episode, cached features instead of images, or lists of unequal length.
    """
    ious, titles = ious or {}, titles if titles is not None else [""] * len(episodes)
    unknown = next((name for name in ious if name not in predictions), None)
    if unknown is not None:
        raise ValueError(f"ious names no prediction {unknown!r}; there are: {', '.join(predictions)}")
    _check_episodes(episodes, {**predictions, **{f"ious[{name}]": v for name, v in ious.items()}, "titles": titles})
    rows = [_lay_out(episode, draw) for episode in episodes]
    shots = max(len(row.supports) for row in rows)
    names = [_support_name(i, shots) for i in range(shots)] + ["query", *predictions, "truth"]
    heights = [max(image.shape[0] / image.shape[1] for image in (*row.supports, row.query)) for row in rows]
    with matplotlib.style.context("default"):
        figure = Figure((PANEL * len(names), PANEL * sum(heights) + 0.3 * len(rows) + 0.4), DPI, layout="constrained")
        grid = figure.subplots(len(rows), len(names), squeeze=False, height_ratios=heights)
        for axes in grid.flat:
            axes.set_axis_off()
        for i, (row, axes) in enumerate(zip(rows, grid, strict=True)):
            for shot, (image, labels) in enumerate(zip(row.supports, row.annotations, strict=True)):
                _show_annotation(axes[shot], image, labels)
            _show(axes[shots], row.query)
            size = row.query.shape[:2]
            for panel, (name, maps) in zip(axes[shots + 1 :], predictions.items(), strict=False):
                _show_labels(panel, row.query, maps[i][: size[0], : size[1]])
                title = f"{name}: IU {ious[name][i]:.2f}" if name in ious else name if i == 0 else ""
                panel.set_title(title, fontsize=9)
            _show_labels(axes[-1], row.query, row.target)
            axes[0].text(-0.04, 0.5, titles[i], rotation=90, ha="right", va="center", transform=axes[0].transAxes)
        for panel, name in zip(grid[0], names, strict=True):
            if name not in predictions:
                panel.set_title(name, fontsize=9)
        figure.legend(handles=_dot_legend(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        save_figure(figure, path)


class _Row(NamedTuple):
    """An episode's images and label maps without padding."""

    supports: list[np.ndarray]
    annotations: list[np.ndarray]
    query: np.ndarray
    target: np.ndarray


def _lay_out(episode: Episode, draw: int) -> _Row:
    height, width = map(int, episode.query_size)
    query, target = episode.query[:height, :width], episode.target[:height, :width]
    annotation = episode.annotation[draw]
    if episode.support is None:
        return _Row([query], [annotation[0, :height, :width]], query, target)
    sizes = [tuple(map(int, size)) for size in episode.support_size]
    supports = [image[:h, :w] for image, (h, w) in zip(episode.support, sizes, strict=True)]
    annotations = [labels[:h, :w] for labels, (h, w) in zip(annotation, sizes, strict=True)]
    return _Row(supports, annotations, query, target)


def _check_episodes(episodes: Sequence[Episode], parallel: Mapping[str, Sequence]) -> None:
    if not episodes:
        raise ValueError("there is no episode to draw")
    for i, episode in enumerate(episodes):
        if isinstance(episode.query, tuple) or isinstance(episode.support, tuple):
            raise ValueError(f"episode {i} holds cached features, which cannot be shown; give episodes of images")
    for name, values in parallel.items():
        if len(values) != len(episodes):
            raise ValueError(f"{name} has {len(values)} entries for {len(episodes)} episodes; it needs one each")


def _support_name(shot: int, shots: int) -> str:
    return "support" if shots == 1 else f"support {shot + 1}"


def _colour(label: int) -> str:
    return POSITIVES[(label - 1) % len(POSITIVES)] if label else NEGATIVE


def _dot_legend() -> list[Line2D]:
    return [_legend_dot("positive point", 1), _legend_dot("negative point", 0)]


def _legend_dot(name: str, label: int) -> Line2D:
    return Line2D([], [], linestyle="none", label=name, **_dot_style(label), markersize=6)


def _dot_style(label: int) -> dict:
    return {
        "marker": "o" if label else "X",
        "markerfacecolor": _colour(label),
        "markeredgecolor": "white",
        "markeredgewidth": 0.8,
    }


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, interpolation="nearest")


def _show_annotation(axes: Axes, image: np.ndarray, labels: np.ndarray) -> None:
    """Few annotated pixels as dots; a dense annotation as the label map that it is."""
    if (labels != UNKNOWN).sum() > min(MAX_DOTS, labels.size // 2):
        _show_labels(axes, image, labels)
        return
    _show(axes, image)
    for label in np.unique(labels[labels != UNKNOWN]):
        y, x = np.nonzero(labels == label)
        axes.plot(x, y, linestyle="none", markersize=_dot_size(len(x)), **_dot_style(int(label)))


def _dot_size(count: int) -> float:
    return 7.0 if count <= 8 else 5.5 if count <= 32 else 4.0


def _show_labels(axes: Axes, image: np.ndarray, labels: np.ndarray) -> None:
    """Positives tinted and outlined, negatives in dark grey, void in light grey."""
    picture = image.astype(float)
    grey = picture.mean(-1, keepdims=True)
    picture = np.where((labels == 0)[..., None], 0.5 * grey + 20, picture)
    picture = np.where((labels == UNKNOWN)[..., None], 0.3 * grey + 0.7 * 230, picture)
    positives = [int(label) for label in np.unique(labels) if label not in (0, UNKNOWN)]
    for label in positives:
        region = labels == label
        picture[region] = 0.65 * picture[region] + 0.35 * 255 * np.array(to_rgb(_colour(label)))
    _show(axes, picture.astype(np.uint8))
    for label in positives:
        # A frame of zeros closes the outlines at the image's edge, and lets a full mask have one.
        framed = np.pad(labels == label, 1).astype(float)
        y, x = np.arange(-1, labels.shape[0] + 1), np.arange(-1, labels.shape[1] + 1)
        for colour, width in (("white", 3.0), (_colour(label), 1.5)):
            axes.contour(x, y, framed, levels=[0.5], colors=[colour], linewidths=width)
    axes.set(xlim=(-0.5, labels.shape[1] - 0.5), ylim=(labels.shape[0] - 0.5, -0.5))
