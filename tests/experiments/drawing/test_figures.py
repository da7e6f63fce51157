import sys

import cv2
import matplotlib
import numpy as np
import pytest

from experiments.drawing.curves import plot_curves
from experiments.drawing.episodes import NEGATIVE, POSITIVES, plot_episodes
from experiments.drawing.style import LINES
from guided_jax.episode import UNKNOWN, Episode

PADDING = (250, 0, 250)


def rgb(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def read(path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == np.array(colour, np.uint8)).all(-1)


def panels(picture: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """The boxes of plainly shown images of a colour, from left to right."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(has(picture, colour).astype(np.uint8))
    boxes = [(y, x, y + h, x + w) for x, y, w, h, area in stats[1:count] if area > 1000]
    return sorted(boxes, key=lambda each: each[1])


def canvas(colour, size, shape=(40, 48)) -> np.ndarray:
    image = np.full((*shape, 3), PADDING, np.uint8)
    image[: size[0], : size[1]] = colour
    return image


def interactive(colour=(200, 180, 160), size=(30, 40), dots=((10, 8, 1), (20, 30, 0)), draws=1) -> Episode:
    """One plain image, whose top left quarter is the target."""
    target = np.full((40, 48), UNKNOWN, np.uint8)
    target[: size[0], : size[1]] = 0
    target[: size[0] // 2, : size[1] // 2] = 1
    annotation = np.full((draws, 1, 40, 48), UNKNOWN, np.uint8)
    for y, x, label in dots:
        annotation[-1, 0, y, x] = label
    return Episode(
        query=canvas(colour, size),
        query_size=np.array(size, np.int32),
        target=target,
        support=None,
        support_size=None,
        annotation=annotation,
        task_class=np.array(0, np.int32),
        index=np.array(0, np.uint32),
        real=np.array(True),
    )


def semantic() -> Episode:
    """Two support images of other sizes than the query's."""
    base = interactive()
    sizes = np.array([(30, 24), (20, 40)], np.int32)
    annotation = np.full((1, 2, 40, 48), UNKNOWN, np.uint8)
    annotation[0, 0, 15, 12] = 1
    annotation[0, 1, 5, 20] = 0
    support = np.stack([canvas((90, 60, 30), sizes[0]), canvas((30, 60, 90), sizes[1])])
    return base._replace(support=support, support_size=sizes, annotation=annotation)


def near(picture, panel, shape, dot, colour, radius=2) -> bool:
    """Whether a colour is found where a dot of an image lies in its panel."""
    top, left, bottom, right = panel
    y = top + (dot[0] + 0.5) / shape[0] * (bottom - top)
    x = left + (dot[1] + 0.5) / shape[1] * (right - left)
    patch = picture[int(y) - radius : int(y) + radius + 1, int(x) - radius : int(x) + radius + 1]
    return bool(has(patch, colour).any())


def test_dots_lie_where_they_were_set(tmp_path):
    plot_episodes(tmp_path / "rows.png", [interactive()], {})
    picture = read(tmp_path / "rows.png")
    support, query = panels(picture, (200, 180, 160))[:2]
    assert near(picture, support, (30, 40), (10, 8), rgb(POSITIVES[0]))
    assert near(picture, support, (30, 40), (20, 30), rgb(NEGATIVE))
    assert not near(picture, support, (30, 40), (10, 8), rgb(NEGATIVE))
    assert not near(picture, support, (30, 40), (20, 8), rgb(POSITIVES[0]), radius=4)
    assert not near(picture, query, (30, 40), (10, 8), rgb(POSITIVES[0]))


def test_padding_is_not_shown_and_shapes_are_kept(tmp_path):
    plot_episodes(tmp_path / "rows.png", [interactive()], {"guided": [interactive().target]})
    picture = read(tmp_path / "rows.png")
    assert not has(picture, PADDING).any()
    for top, left, bottom, right in panels(picture, (200, 180, 160)):
        assert (right - left) / (bottom - top) == pytest.approx(40 / 30, rel=0.03)


def test_a_row_an_episode_in_their_order(tmp_path):
    colours = [(200, 180, 160), (100, 220, 140), (140, 100, 220)]
    episodes = [interactive(colour) for colour in colours]
    truth = [episode.target for episode in episodes]
    plot_episodes(tmp_path / "rows.png", episodes, {"guided": truth, "unguided": truth}, titles=["a", "b", "c"])
    picture = read(tmp_path / "rows.png")
    rows = [panels(picture, colour) for colour in colours]
    assert [len(row) for row in rows] == [2, 2, 2]  # support and query; labels are tinted
    tops = [row[0][0] for row in rows]
    assert tops == sorted(tops)
    assert all(row[0][:1] == row[1][:1] for row in rows)


def test_columns_are_shots_query_models_and_truth(tmp_path):
    """Each model adds as much width as each shot."""
    one, two = interactive(), semantic()
    widths = []
    for episode, models in ((one, 0), (one, 1), (one, 2), (two, 0)):
        predictions = {f"model {i}": [episode.target] for i in range(models)}
        plot_episodes(tmp_path / "rows.png", [episode], predictions)
        widths.append(read(tmp_path / "rows.png").shape[1])
    assert np.diff(widths[:3]).tolist() == [widths[0] // 3] * 2
    assert widths[3] == widths[1]


def test_each_support_image_has_its_own_size_and_dots(tmp_path):
    plot_episodes(tmp_path / "rows.png", [semantic()], {})
    picture = read(tmp_path / "rows.png")
    (first,), (second,) = panels(picture, (90, 60, 30)), panels(picture, (30, 60, 90))
    assert first[1] < second[1]
    assert near(picture, first, (30, 24), (15, 12), rgb(POSITIVES[0]))
    assert near(picture, second, (20, 40), (5, 20), rgb(NEGATIVE))


def test_shows_the_draw_that_was_asked_for(tmp_path):
    episode = interactive(draws=2)
    for draw, dots in ((0, False), (1, True)):
        plot_episodes(tmp_path / "rows.png", [episode], {}, draw=draw)
        picture = read(tmp_path / "rows.png")
        support = panels(picture, (200, 180, 160))[0]
        assert near(picture, support, (30, 40), (10, 8), rgb(POSITIVES[0])) == dots


def test_a_dense_annotation_is_shown_as_the_truth_is(tmp_path):
    episode = interactive()
    plot_episodes(tmp_path / "rows.png", [episode._replace(annotation=episode.target[None, None])], {})
    picture = read(tmp_path / "rows.png")
    (query,) = panels(picture, (200, 180, 160))
    top, left, bottom, right = query
    third = picture.shape[1] / 3
    support = picture[top:bottom, round(left - third) : round(right - third)]
    truth = picture[top:bottom, round(left + third) : round(right + third)]
    assert np.mean((support == truth).all(-1)) > 0.95
    negative, positive = truth[-10, -10], truth[10, 10]
    assert len(set(negative.tolist())) == 1
    assert negative[0] < positive.min()


def test_predictions_show_positives_void_and_several_labels(tmp_path):
    labels = np.zeros((30, 40), np.uint8)
    labels[:15, :20], labels[:15, 20:], labels[15:, 20:] = 1, 2, UNKNOWN
    plot_episodes(tmp_path / "rows.png", [interactive((120, 120, 120))], {"model": [labels]})
    picture = read(tmp_path / "rows.png")
    top, left, bottom, right = panels(picture, (120, 120, 120))[1]
    left, right = left + picture.shape[1] // 4, right + picture.shape[1] // 4
    height, width = bottom - top, right - left

    def at(y, x):
        return picture[top + int(y * height), left + int(x * width)].astype(int)

    np.testing.assert_allclose(at(0.25, 0.25), 0.65 * 120 + 0.35 * np.array(rgb(POSITIVES[0])), atol=1)
    np.testing.assert_allclose(at(0.25, 0.75), 0.65 * 120 + 0.35 * np.array(rgb(POSITIVES[1])), atol=1)
    np.testing.assert_allclose(at(0.75, 0.25), 80, atol=1)
    np.testing.assert_allclose(at(0.75, 0.75), 0.3 * 120 + 0.7 * 230, atol=1)


@pytest.mark.parametrize("value", [0, 1, UNKNOWN])
def test_uniform_label_maps_are_drawn(tmp_path, value):
    labels = np.full((30, 40), value, np.uint8)
    plot_episodes(tmp_path / "rows.png", [interactive(dots=())], {"model": [labels]}, ious={"model": [float("nan")]})
    assert len(panels(read(tmp_path / "rows.png"), (200, 180, 160))) == 2


def test_episodes_that_cannot_be_drawn_are_refused(tmp_path):
    one = interactive()
    with pytest.raises(ValueError, match="no episode to draw"):
        plot_episodes(tmp_path / "x.png", [], {})
    with pytest.raises(ValueError, match="guided has 2 entries for 1 episodes"):
        plot_episodes(tmp_path / "x.png", [one], {"guided": [one.target] * 2})
    with pytest.raises(ValueError, match=r"ious\[guided\] has 0 entries"):
        plot_episodes(tmp_path / "x.png", [one], {"guided": [one.target]}, ious={"guided": []})
    with pytest.raises(ValueError, match="ious names no prediction 'other'"):
        plot_episodes(tmp_path / "x.png", [one], {"guided": [one.target]}, ious={"other": [0.5]})
    with pytest.raises(ValueError, match="titles has 2 entries"):
        plot_episodes(tmp_path / "x.png", [one], {}, titles=["a", "b"])
    cached = one._replace(query=(np.zeros((3, 3, 8), np.float16),))
    with pytest.raises(ValueError, match="episode 1 holds cached features"):
        plot_episodes(tmp_path / "x.png", [one, cached], {})
    assert not (tmp_path / "x.png").exists()


def marks(picture: np.ndarray, colour: str) -> np.ndarray:
    """Centres (y, x) of the spots of a colour from the lowest up, without the topmost: the legend's."""
    mask = cv2.morphologyEx(has(picture, rgb(colour)).astype(np.uint8), cv2.MORPH_OPEN, np.ones((4, 4), np.uint8))
    centres = cv2.connectedComponentsWithStats(mask)[3][1:, ::-1]
    return np.array(sorted(centres, key=lambda each: each[0])[1:])[::-1]


def test_points_are_on_a_log_axis_and_dense_stands_apart(tmp_path):
    values = {1: 0.1, 2: 0.2, 4: 0.3, 16: 0.5, "dense": 0.6}
    plot_curves(tmp_path / "curves.png", {"guided": values, "unguided": dict.fromkeys(values, 0.02)})
    picture = read(tmp_path / "curves.png")
    y, x = marks(picture, LINES[0]).T
    octave = x[1] - x[0]
    assert octave > 20
    np.testing.assert_allclose(np.diff(x), [octave, octave, 2 * octave, 1.5 * octave], atol=1.5)
    np.testing.assert_allclose(np.diff(y) / (y[1] - y[0]), [1, 1, 2, 1], atol=0.1)
    assert len(marks(picture, LINES[1])) == 5


@pytest.mark.parametrize("curve", [{"dense": 1.0}, {0: 0.0, 1: 0.5}, {5: float("nan"), 6: 0.3}])
def test_short_curves_are_drawn(tmp_path, curve):
    plot_curves(tmp_path / "curves.png", {"model": curve}, title="short")
    assert has(read(tmp_path / "curves.png"), rgb(LINES[0])).any()


def test_a_spread_is_a_bar_about_its_point(tmp_path):
    curve = {1: 0.2, 4: 0.5, "dense": 0.8}
    plot_curves(tmp_path / "plain.png", {"model": curve})
    plot_curves(tmp_path / "spread.png", {"model": curve}, spreads={"model": {4: 0.1, "dense": 0.05}})
    plain, spread = (has(read(tmp_path / f"{name}.png"), rgb(LINES[0])) for name in ("plain", "spread"))
    (_, x), (_, middle), (y, dense) = marks(read(tmp_path / "plain.png"), LINES[0])
    unit = (marks(read(tmp_path / "plain.png"), LINES[0])[0][0] - y) / 0.6  # pixels of an IU of 1
    new = spread & ~plain
    for place, expected in ((x, 0), (middle, 0.2), (dense, 0.1)):
        rows = np.flatnonzero(new[:, round(place) - 3 : round(place) + 4].any(1))
        assert (np.ptp(rows) if len(rows) else 0) == pytest.approx(expected * unit, abs=3)


def test_more_curves_than_colours_differ_in_their_lines(tmp_path):
    curves = {f"model {i}": {1: 0.1 * (i + 1), 4: 0.1 * (i + 1)} for i in range(len(LINES) + 1)}
    plot_curves(tmp_path / "curves.png", curves)
    coloured = has(read(tmp_path / "curves.png"), rgb(LINES[0]))
    longest = sorted(coloured.sum(1), reverse=True)
    rows = np.flatnonzero(coloured.sum(1) > 100)
    lower, upper = coloured[rows.max()], coloured[rows.min()]
    assert longest[0] > 200 and rows.max() - rows.min() > 100
    assert upper.sum() < 0.9 * lower.sum()  # dashed


def test_curves_that_cannot_be_drawn_are_refused(tmp_path):
    for nothing in ({}, {"model": {}}):
        with pytest.raises(ValueError, match="no curve to draw"):
            plot_curves(tmp_path / "x.png", nothing)
    for count in (-1, "all"):
        with pytest.raises(ValueError, match=f"points per label are {count!r}, but must be"):
            plot_curves(tmp_path / "x.png", {"model": {count: 0.5}})
    for spreads in ({"model": {2: 0.1}}, {"other": {1: 0.1}}):
        with pytest.raises(ValueError, match=r"there is a spread at . points of .*, but no such point of its curve"):
            plot_curves(tmp_path / "x.png", {"model": {1: 0.5}}, spreads=spreads)


def test_pictures_depend_on_no_global_state_and_leave_none(tmp_path):
    episode, curves = interactive(), {"model": {1: 0.2, "dense": 0.5}}

    def draw(name):
        plot_episodes(tmp_path / f"{name}_rows.png", [episode], {"model": [episode.target]}, ious={"model": [1.0]})
        plot_curves(tmp_path / f"{name}_curves.png", curves)
        return [(tmp_path / f"{name}_{kind}.png").read_bytes() for kind in ("rows", "curves")]

    first = draw("first")
    changed = {"figure.facecolor": "red", "font.size": 30, "image.cmap": "jet", "axes.grid": True, "savefig.dpi": 30}
    with matplotlib.rc_context(changed):
        before = dict(matplotlib.rcParams)
        assert draw("second") == first
        assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
