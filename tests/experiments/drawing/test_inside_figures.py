"""What figures hold, as matplotlib's objects before they are saved: lines, scales, names and titles."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from experiments.drawing import curves, episodes, lines
from experiments.drawing.curves import plot_curves
from experiments.drawing.episodes import NEGATIVE, POSITIVES, plot_episodes
from experiments.drawing.lines import plot_lines
from experiments.drawing.style import DASHES, LINES, MARKERS
from guided_jax.episode import UNKNOWN
from tests.experiments.drawing.test_figures import interactive, semantic


@pytest.fixture
def saved(monkeypatch):
    """The figures that would be saved."""
    figures = []
    for module in (lines, curves, episodes):
        monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure))
    return figures


def only_axes(figures):
    (axes,) = figures[-1].axes
    return axes


def data_of(line) -> list[tuple[float, float]]:
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def bars(axes) -> list[tuple[float, float, float]]:
    """Place, lower and upper end of the bars, in the order of their drawing."""
    ends = [container.lines[2][0].get_segments()[0] for container in axes.containers]
    return [(float(low[0]), float(low[1]), float(high[1])) for low, high in ends]


def test_lines_with_their_names_bars_and_axes(saved):
    points = {"one": [(1, 0.2), (4, 0.5), (9, 0.4)], "two": [(2, 0.75)]}
    text = {"across": "shots", "up": "score", "title": "both"}
    plot_lines("x.png", points, **text, spreads={"one": [0.1, None, 0.2]})
    axes = only_axes(saved)
    drawn = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert {line.get_label(): data_of(line) for line in drawn} == points
    assert bars(axes) == [pytest.approx((1, 0.1, 0.3)), pytest.approx((9, 0.2, 0.6))]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("shots", "score", "both")
    assert axes.get_ylim() == (0, 1) and axes.get_xscale() == "linear"
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert [each.get_text() for each in saved[-1].legends[0].get_texts()] == ["one", "two"]
    assert [line.get_linestyle() for line in drawn] == ["-", "-"]


def test_shares_begin_at_zero_and_times_are_on_a_log_scale_unjoined(saved):
    plot_lines("x.png", {"a": [(0.5, 0.2), (1.0, 0.3)]}, across="x", up="y")
    assert only_axes(saved).get_xlim()[0] == 0
    plot_lines("x.png", {"a": [(0.5, 0.2), (10.0, 0.3)]}, across="x", up="y", joined=False, logarithmic=True)
    axes = only_axes(saved)
    assert axes.get_xscale() == "log" and axes.lines[0].get_linestyle() == "None" and axes.lines[0].get_marker() == "o"


def test_no_two_lines_look_alike_and_long_ones_have_no_marks(saved):
    number = len(LINES) + 2
    plot_lines("x.png", {str(i): [(1, 0.1), (2, 0.2)] for i in range(number)}, across="x", up="y")
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in only_axes(saved).lines]
    assert looks[0] == (LINES[0], DASHES[0], MARKERS[0]) and looks[len(LINES)] == (LINES[0], DASHES[1], MARKERS[1])
    assert len(set(looks)) == len({(colour, mark) for colour, _, mark in looks}) == number
    for length, mark in ((40, "o"), (41, "None")):
        plot_lines("x.png", {"a": [(k, 0.5) for k in range(length)]}, across="x", up="y")
        assert only_axes(saved).lines[0].get_marker() == mark


def test_curves_with_their_names_ticks_and_bars(saved):
    plot_curves(
        "x.png",
        {"both": {4: 0.5, 0: 0.1, 1: 0.2, "dense": 0.75}, "dense alone": {"dense": 0.5}},
        spreads={"both": {4: 0.1, "dense": 0.05}},
        title="a title",
    )
    axes = only_axes(saved)
    line, dense, alone = (each for each in axes.lines if each.get_marker() in {*MARKERS} and data_of(each))
    assert data_of(line) == [(-1, 0.1), (0, 0.2), (2, 0.5)] and data_of(dense) == [(3.5, 0.75)]
    assert data_of(alone) == [(3.5, 0.5)]
    assert bars(axes) == [pytest.approx((2, 0.4, 0.6)), pytest.approx((3.5, 0.7, 0.8))]
    ticks = zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
    assert {label.get_text(): place for label, place in ticks} == {"0": -1, "1": 0, "4": 2, "dense": 3.5}
    assert axes.get_title() == "a title" and axes.get_ylim() == (0, 1)
    assert [each.get_text() for each in axes.get_legend().get_texts()] == ["both", "dense alone"]
    assert any(data_of(each) == [(2.75, 0), (2.75, 1)] for each in axes.lines)  # between points and dense


def test_as_many_curves_as_colours_have_their_legend_inside(saved):
    for number, outside in ((len(LINES), 0), (len(LINES) + 1, 1)):
        plot_curves("x.png", {str(i): {1: 0.5} for i in range(number)})
        assert len(saved[-1].legends) == outside
    first, *_, last = only_axes(saved).lines
    assert first.get_color() == last.get_color() and (first.get_linestyle(), last.get_linestyle()) == ("-", "--")


def test_names_of_columns_rows_and_scores(saved):
    truth = interactive().target
    two = interactive((9, 9, 9))
    plot_episodes(
        "x.png",
        [interactive(), two],
        {"ours": [truth, truth], "theirs": [truth, truth]},
        ious={"ours": [0.254, 0.75]},
        titles=["first", "second"],
    )
    (first, second) = np.reshape(saved[-1].axes, (2, 5))
    assert [axes.get_title() for axes in first] == ["support", "query", "ours: IU 0.25", "theirs", "truth"]
    assert [axes.get_title() for axes in second] == ["", "", "ours: IU 0.75", "", ""]
    assert [axes.texts[0].get_text() for axes in (first[0], second[0])] == ["first", "second"]
    plot_episodes("x.png", [semantic()], {})
    assert [axes.get_title() for axes in saved[-1].axes] == ["support 1", "support 2", "query", "truth"]


def test_dots_differ_in_form_and_the_legend_says_which_is_which(saved):
    plot_episodes("x.png", [interactive()], {})
    negative, positive = saved[-1].axes[0].lines
    assert data_of(positive) == [(8, 10)] and data_of(negative) == [(30, 20)]
    told = {
        text.get_text(): (line.get_marker(), line.get_markerfacecolor())
        for text, line in zip(saved[-1].legends[0].get_texts(), saved[-1].legends[0].get_lines(), strict=True)
    }
    assert told == {"positive point": ("o", POSITIVES[0]), "negative point": ("X", NEGATIVE)}
    for line, name in ((positive, "positive point"), (negative, "negative point")):
        assert (line.get_marker(), line.get_markerfacecolor()) == told[name]


@pytest.mark.parametrize(("dots", "size"), [(8, 7.0), (9, 5.5), (32, 5.5), (33, 4.0)])
def test_many_dots_are_smaller(saved, dots, size):
    plot_episodes("x.png", [interactive(dots=[(*divmod(i, 40), 1) for i in range(dots)])], {})
    assert saved[-1].axes[0].lines[0].get_markersize() == size


@pytest.mark.parametrize(("dots", "shown"), [(600, True), (601, False)])
def test_half_of_an_image_is_still_shown_as_dots(saved, dots, shown):
    """Of its 30 * 40 pixels."""
    plot_episodes("x.png", [interactive(dots=[(*divmod(i, 40), 1) for i in range(dots)])], {})
    assert bool(saved[-1].axes[0].lines) == shown


def test_a_region_has_a_white_outline_under_its_colour_that_closes_at_the_edge(saved):
    labels = np.zeros((30, 40), np.uint8)
    labels[:15, :20], labels[20:] = 2, UNKNOWN
    plot_episodes("x.png", [interactive()], {"model": [labels]})
    white, coloured = saved[-1].axes[2].collections
    assert same_color(white.get_edgecolor(), "white") and same_color(coloured.get_edgecolor(), POSITIVES[1])
    assert white.get_linewidth() > coloured.get_linewidth()
    box = coloured.get_paths()[0].get_extents()
    assert (box.x0, box.y0, box.x1, box.y1) == (-0.5, -0.5, 19.5, 14.5)


def test_a_row_is_as_high_as_its_highest_image(saved):
    """Two supports of 30x24 and 20x40 pixels and a query of 30x40."""
    plot_episodes("x.png", [semantic()], {})
    assert saved[-1].get_figheight() == pytest.approx(episodes.PANEL * 30 / 24 + 0.7)


def test_cached_features_of_a_support_are_refused_too(saved):
    cached = semantic()._replace(support=(np.zeros((2, 3, 3, 8), np.float16),))
    with pytest.raises(ValueError, match="episode 0 holds cached features"):
        plot_episodes("x.png", [cached], {})
