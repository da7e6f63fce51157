import cv2
import numpy as np
import pytest
import scipy.ndimage

from guided_jax.episode import UNKNOWN, Click
from guided_jax.scoring.clicks import click_iou, click_score, extend, next_click, noc, simulate_clicks


def maps(*rows):
    return np.array([[255 if mark == "?" else int(mark) for mark in row] for row in rows], np.uint8)


def restate(prediction, target, clicks):
    """The rule, pixel by pixel: distance to the nearest pixel that is right, or outside the frame."""
    height, width = target.shape
    best = {}
    for kind in (True, False):
        wrong = {
            (y, x)
            for y, x in np.ndindex(height, width)
            if target[y, x] != 255 and bool(target[y, x]) == kind and bool(prediction[y, x]) != kind
        }
        right = np.array([(y, x) for y in range(-1, height + 1) for x in range(-1, width + 1) if (y, x) not in wrong])
        best[kind] = (0, None)
        for y, x in sorted(wrong):
            depth = ((right - (y, x)) ** 2).sum(1).min()
            if (y, x) not in {click[:2] for click in clicks} and depth > best[kind][0]:
                best[kind] = (depth, (y, x))
    kind = best[True][0] > best[False][0]
    return None if best[kind][1] is None else Click(*best[kind][1], int(kind))


def test_click_by_hand():
    target = maps("0000000", "0111110", "0111110", "0111110", "0000000")
    nothing = np.zeros_like(target)
    # The middle row is 2 from the edge in columns 2 to 4; the first of them.
    assert next_click(nothing, target) == Click(2, 2, 1)
    assert next_click(nothing, target, [Click(2, 2, 1)]) == Click(2, 3, 1)
    # All of the frame taken: the ring of width 1 is wrong, the top left pixel is the first of depth 1.
    assert next_click(np.ones_like(target), target) == Click(0, 0, 0)


def test_the_frame_is_an_edge():
    """Without the padding the corner would lie 3 deep."""
    target = maps("1100", "1100", "0000")
    assert next_click(np.zeros_like(target), target) == Click(0, 0, 1)
    assert next_click(np.zeros((3, 3), np.uint8), np.ones((3, 3), np.uint8)) == Click(1, 1, 1)


def test_depth_counts_and_not_area():
    target = maps("111111111", "000000000", "000111000", "000111000", "000111000")
    target_area = target.copy()
    assert (target_area[0] == 1).sum() == (target_area[2:] == 1).sum()
    assert next_click(np.zeros_like(target), target) == Click(3, 4, 1)


def test_a_tie_is_negative():
    target, prediction = maps("100", "000", "000"), maps("001", "000", "000")
    assert next_click(prediction, target) == Click(0, 2, 0)
    assert next_click(prediction, target, [Click(0, 2, 0)]) == Click(0, 0, 1)


def test_void_is_never_clicked_and_bounds_a_region():
    target = maps("00000", "01?10", "00000")
    assert next_click(np.zeros_like(target), target) == Click(1, 1, 1)
    assert next_click(np.ones_like(target) * (target == UNKNOWN), target) == Click(1, 1, 1)
    assert next_click((target == 1).astype(np.uint8), target) is None
    assert next_click(np.isin(target, (1, 255)), target) is None


def test_nothing_left():
    target = maps("010")
    assert next_click(target, target) is None
    assert next_click(np.zeros_like(target), target, [Click(0, 1, 1)]) is None


@pytest.mark.parametrize("density", [0.3, 0.8])
def test_click_is_that_of_all_pairs(density):
    rng = np.random.default_rng(0)
    for _ in range(8):
        target = (rng.random((11, 14)) < density).astype(np.uint8)
        prediction = (rng.random((11, 14)) < 0.3).astype(np.uint8)
        target[rng.random(target.shape) < 0.05] = UNKNOWN
        clicks = []
        for _ in range(6):
            click = next_click(prediction, target, clicks)
            assert click == restate(prediction, target, clicks)
            clicks.append(click)


def test_iou_by_hand():
    assert click_iou(maps("1100"), maps("0110")) == pytest.approx(1 / 3)
    assert click_iou(maps("1111"), maps("11?0")) == pytest.approx(2 / 3)
    assert click_iou(maps("0000"), maps("00?0")) == 1.0


def paint(target):
    """A user's dream: a click puts its row right."""

    def segment(clicks):
        mask = np.zeros_like(target)
        for click in clicks:
            mask[click.row] = target[click.row]
        return mask

    return segment


def test_simulation():
    target = maps("000", "010", "010", "010", "010", "000")
    done = simulate_clicks(paint(target), target)
    assert done.clicks == [Click(row, 1, 1) for row in (1, 2, 3, 4)]
    assert done.ious == [0.25, 0.5, 0.75, 1.0]
    assert simulate_clicks(paint(target), target, stop_at=0.5).ious == [0.25, 0.5]
    assert simulate_clicks(paint(target), target, limit=3).ious == [0.25, 0.5, 0.75]


def test_simulation_with_a_model_that_never_learns():
    target = maps("111", "111", "111")
    done = simulate_clicks(lambda clicks: np.zeros_like(target), target, limit=5)
    assert done.clicks == [Click(1, 1, 1), *(Click(*each, 1) for each in ((0, 0), (0, 1), (0, 2), (1, 0)))]
    assert done.ious == [0.0] * 5
    # All nine pixels clicked, and still wrong: there is nothing more to say.
    assert len(simulate_clicks(lambda clicks: np.zeros_like(target), target).clicks) == 9


def test_the_callable_cannot_change_the_clicks():
    target = maps("11")
    done = simulate_clicks(lambda clicks: [clicks.clear(), np.zeros_like(target)][1], target, limit=2)
    assert len(done.clicks) == 2


def test_wrong_use():
    target = maps("010")
    with pytest.raises(ValueError, match="no object to click on"):
        simulate_clicks(paint(target), maps("0?0"))
    with pytest.raises(ValueError, match=r"the mask is \(1, 2\), the target \(1, 3\)"):
        simulate_clicks(lambda clicks: target[:, 1:], target)
    with pytest.raises(ValueError, match="limit is 0"):
        simulate_clicks(paint(target), target, limit=0)
    for ious in ([], [[0.5], []]):
        with pytest.raises(ValueError, match="at least one click"):
            click_score(ious)


def test_noc_by_hand():
    ious = [0.5, 0.8, 0.79, 0.9]
    assert noc(ious, 0.8) == 2
    assert noc(ious, 0.85) == noc(ious, 0.9) == 4
    assert noc(ious, 0.95) == 20
    assert noc(ious, 0.9, limit=3) == 3
    assert noc([0.9], 0.9) == 1
    assert noc([], 0.9) == 20


def test_scores_by_hand():
    """The second reaches 0.8 at the last click: at the limit though no failure."""
    ious = [[0.5, 0.82, 0.91], [0.1] * 19 + [0.8]]
    got = click_score(ious)
    assert got.noc == {0.8: 11.0, 0.85: 11.5, 0.9: 11.5}
    assert got.at_limit == {0.8: 1, 0.85: 1, 0.9: 1}
    assert list(got.noc) == list(got.at_limit) == [0.8, 0.85, 0.9]
    assert got.objects == 2
    assert got.mean_iou[:4] == pytest.approx([0.3, 0.46, 0.505, 0.505])
    assert got.mean_iou[19] == pytest.approx((0.91 + 0.8) / 2)
    assert len(got.mean_iou) == 20


def test_another_limit_and_one_click_less_than_it():
    got = click_score([[0.5, 0.6], [0.1, 0.9]], (0.9,), limit=3)
    assert got == ({0.9: 2.5}, {0.9: 1}, pytest.approx([0.3, 0.75, 0.75]), 2)


def test_stopping_at_the_target_does_not_change_its_noc():
    rng = np.random.default_rng(0)
    curves = np.sort(rng.random((30, 20)), axis=1)
    stopped = [curve[: noc(curve, 0.9)] for curve in curves]
    whole, short = click_score(curves.tolist()), click_score([each.tolist() for each in stopped])
    assert (short.noc, short.at_limit) == (whole.noc, whole.at_limit)


def test_extension():
    assert extend([0.2, 0.7], 4).tolist() == [0.2, 0.7, 0.7, 0.7]
    assert extend([0.7, 0.9, 0.2], 5).tolist() == [0.7, 0.9, 0.2, 0.2, 0.2]  # the last, not the best
    assert extend([0.2, 0.7, 0.8], 2).tolist() == [0.2, 0.7]


def test_equally_deep_pixels_are_not_chosen_by_chance(monkeypatch):
    """OpenCV's distances of the same map differ in their last bit, with the alignment of the memory."""
    rng, rows, columns = np.random.default_rng(0), *np.mgrid[:98, :98]
    exact = cv2.distanceTransform

    def in_the_last_bit(*arguments):
        depth = exact(*arguments)
        return np.nextafter(depth, np.where(rng.random(depth.shape) < 0.5, 0, np.inf).astype(np.float32))

    monkeypatch.setattr(cv2, "distanceTransform", in_the_last_bit)
    for _ in range(40):
        (row, column), (high, wide) = rng.uniform(30, 60, 2), rng.uniform(50, 400, 2)
        target = ((rows - row) ** 2 / high + (columns - column) ** 2 / wide < 1).astype(np.uint8)
        depth = np.rint(scipy.ndimage.distance_transform_edt(np.pad(target, 1))[1:-1, 1:-1] ** 2)
        click = next_click(np.zeros_like(target), target, ())
        assert (click.row, click.column) == np.unravel_index(depth.argmax(), target.shape)
