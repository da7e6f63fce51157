import numpy as np
import pytest

from guided_jax.scoring.davis import (
    TOLERANCE,
    VideoScore,
    boundary_accuracy,
    boundary_radius,
    count_objects,
    davis_score,
    find_boundary,
    region_similarity,
    score_frame,
    score_video,
    summarize,
)


def mask(*rows):
    return np.array([[mark == "#" for mark in row] for row in rows])


def square(top, left, side, shape=(40, 50)):
    image = np.zeros(shape, bool)
    image[top : top + side, left : left + side] = True
    return image


def ids(**squares):
    """A map of squares, by id: a1=(top, left, side)."""
    labels = np.zeros((40, 50), np.uint8)
    for name, (top, left, side) in squares.items():
        labels[top : top + side, left : left + side] = int(name[1:])
    return labels


def restate_boundary(image):
    """Martin's map, pixel by pixel: the last row only looks right, the last column only down, the corner nowhere."""
    height, width = image.shape
    found = np.zeros_like(image)
    for y, x in np.ndindex(height, width):
        neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        found[y, x] = any(image[y, x] != image[b, a] for b, a in neighbours if b < height and a < width)
    return found


def restate_f(prediction, target, radius):
    """Every boundary pixel against every other."""
    ours, theirs = (np.argwhere(restate_boundary(each)) for each in (prediction, target))
    if len(ours) == 0 and len(theirs) == 0:
        return 1.0
    if len(ours) == 0 or len(theirs) == 0:
        return 0.0
    near = ((ours[:, None] - theirs[None]) ** 2).sum(-1) <= radius**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def test_region_similarity_by_hand():
    assert region_similarity(mask("##.."), mask(".##.")) == pytest.approx(1 / 3)
    assert region_similarity(mask("...."), mask(".##.")) == 0.0
    assert region_similarity(mask("...."), mask("....")) == 1.0


def test_boundary_by_hand():
    """Half a pixel up and left of the edge."""
    got = find_boundary(mask(".....", ".....", "..##.", "..##.", "....."))
    np.testing.assert_array_equal(got, mask(".....", ".###.", ".#.#.", ".###.", "....."))
    # The frame is no edge.
    assert not find_boundary(mask("##", "##")).any()
    np.testing.assert_array_equal(find_boundary(mask("..", ".#")), mask("##", "#."))


@pytest.mark.parametrize("density", [0.02, 0.3, 0.97])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (9, 13)])
def test_boundary_is_martins(shape, density):
    image = np.random.default_rng(0).random(shape) < density
    np.testing.assert_array_equal(find_boundary(image), restate_boundary(image))


def test_radius():
    assert boundary_radius((480, 854)) == 8  # the diagonal is 979.65, 0.8 % of it 7.84
    assert boundary_radius((1080, 1920)) == 18
    assert boundary_radius((40, 50)) == 1
    assert boundary_radius((300, 400)) == 4  # exactly 4.0
    assert boundary_radius((100, 130)) == 2  # 1.31: never rounded down


def test_boundary_accuracy_by_hand():
    truth = square(10, 10, 10)
    assert boundary_accuracy(truth, truth, 1) == 1.0
    # The boundary of the square runs along rows and columns 9 and 19: 40 pixels. Three to the right, with a radius of
    # 1, 9 of each of the upper and the lower edge match (columns 12 to 20 of 12 to 22), and where the left side meets
    # them one pixel more. The same from the truth's side.
    assert boundary_accuracy(square(10, 13, 10), truth, 1) == pytest.approx(20 / 40)
    # With 8 % of the diagonal (radius 6) all of them.
    assert boundary_accuracy(square(10, 13, 10), truth, boundary_radius(truth.shape, 0.08)) == 1.0
    # A square of 5 in the corner: 11 of its 20 pixels lie on the edge of the truth, and 1 + 1 where its other edges
    # begin are next to it. Of the 40 of the truth the same 11 match, and 1 + 1 past their ends.
    expected = 2 * (13 / 20) * (13 / 40) / (13 / 20 + 13 / 40)
    assert boundary_accuracy(square(10, 10, 5), truth, 1) == pytest.approx(expected)


def test_empty_boundaries():
    nothing, something = np.zeros((40, 50), bool), square(10, 10, 5)
    assert boundary_accuracy(nothing, nothing, 1) == 1.0
    assert boundary_accuracy(something, nothing, 1) == 0.0
    assert boundary_accuracy(nothing, something, 1) == 0.0
    assert boundary_accuracy(square(0, 0, 5), square(30, 30, 5), 1) == 0.0
    # A mask of the whole frame has no boundary either.
    everything = np.ones((40, 50), bool)
    assert boundary_accuracy(everything, nothing, 1) == 1.0
    assert boundary_accuracy(everything, something, 1) == 0.0


@pytest.mark.parametrize("shape", [(30, 40), (41, 23), (1, 9)])
@pytest.mark.parametrize("density", [0.005, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("tolerance", [0.008, 0.1])
def test_boundary_accuracy_is_that_of_all_pairs(shape, density, tolerance):
    rng = np.random.default_rng(0)
    for _ in range(4):
        prediction, target = rng.random((2, *shape)) < density
        radius = boundary_radius(shape, tolerance)
        expected = restate_f(prediction, target, radius)
        assert boundary_accuracy(prediction, target, radius) == pytest.approx(expected, abs=1e-12)
        if tolerance == TOLERANCE:  # the crop around the masks changes nothing
            ((_, f),) = score_frame(prediction.astype(np.uint8), target.astype(np.uint8), 1)
            assert f == pytest.approx(expected, abs=1e-12)


def test_objects_at_the_frame():
    """The crop around the masks changes nothing where they touch the frame."""
    for top, left in ((0, 0), (0, 43), (33, 0), (33, 43), (15, 43), (33, 20)):
        prediction, target = square(top, left, 7), square(min(top + 2, 35), left, 5)
        expected = restate_f(prediction, target, 1)
        assert boundary_accuracy(prediction, target, 1) == pytest.approx(expected, abs=1e-12)
        ((_, f),) = score_frame(prediction.astype(np.uint8), target.astype(np.uint8), 1)
        assert f == pytest.approx(expected, abs=1e-12)


def test_frame_of_two_objects():
    truth = ids(a1=(5, 5, 10), a2=(20, 20, 10))
    truth[0] = 255
    found = ids(a1=(5, 5, 10), a2=(20, 25, 10))
    scores = score_frame(found, truth, 3)
    assert scores[0].tolist() == [1.0, 1.0]
    assert scores[1, 0] == pytest.approx(1 / 3)
    assert 0 < scores[1, 1] < 1
    assert scores[2].tolist() == [1.0, 1.0]  # neither shows the third


def test_void_is_background():
    truth = ids(a1=(5, 5, 10), a255=(15, 5, 10))
    found = ids(a1=(5, 5, 10))
    assert score_frame(found, truth, 1).tolist() == [[1.0, 1.0]]
    assert score_frame(ids(a1=(5, 5, 20)), truth, 1)[0, 0] == pytest.approx(100 / 400)


def test_objects_of_a_video():
    assert count_objects(ids(a1=(5, 5, 3), a4=(20, 20, 3), a255=(30, 30, 4))) == 4
    assert count_objects(ids(a255=(30, 30, 4))) == 0


def test_summary_by_hand():
    # Nine frames: bins end at 0, 2, 4, 6, 8 and share their ends.
    got = summarize(np.array([1.0, 0.9, 0.8, 0.5, 0.5, 0.6, 0.3, 0.2, 0.1]))
    assert got.mean == pytest.approx(4.9 / 9)
    assert got.recall == pytest.approx(4 / 9)  # 0.5 is not above 0.5
    assert got.decay == pytest.approx(0.9 - 0.2)


@pytest.mark.parametrize(
    ("frames", "first", "last"),
    [
        (1, [0], [0]),
        (2, [0], [1]),
        (3, [0, 1], [2]),  # the ends 1.5 and 2.5 round up
        (4, [0, 1], [2, 3]),
        (5, [0, 1], [3, 4]),
        (11, [0, 1, 2, 3], [8, 9, 10]),
        (102, list(range(26)), list(range(76, 102))),
    ],
)
def test_bins_of_the_decay(frames, first, last):
    """Rounded ends of np.linspace(1, frames, 5), less one."""
    values = np.random.default_rng(0).random(frames)
    ends = [int(np.round(1 + i * (frames - 1) / 4 + 1e-10)) - 1 for i in range(5)]
    assert (list(range(ends[0], ends[1] + 1)), list(range(ends[3], ends[4] + 1))) == (first, last)
    assert summarize(values).decay == pytest.approx(values[first].mean() - values[last].mean())


def test_long_videos_have_a_decay():
    assert summarize(np.linspace(1, 0, 600)).decay == pytest.approx(0.75, abs=0.01)


def moving(frames=6):
    truth = [ids(a1=(5, 5 + i, 10), a2=(25, 20, 10)) for i in range(frames)]
    return truth, [each.copy() for each in truth]


def test_first_and_last_frame_do_not_count():
    truth, found = moving()
    found[0][:], found[-1][:] = 0, 99
    asked = []

    def predicted(number):
        asked.append(number)
        return found[number]

    score = score_video(predicted, truth.__getitem__, 6)
    assert asked == [1, 2, 3, 4] and score.frames == range(1, 5)
    assert score.j.shape == score.f.shape == (2, 4)
    assert (score.j == 1).all() and (score.f == 1).all()
    found[-1][:] = 0
    every = score_video(found.__getitem__, truth.__getitem__, 6, every_frame=True)
    assert every.j[:, [0, -1]].tolist() == [[0, 0], [0, 0]]
    np.testing.assert_array_equal(every.j[:, 1:-1], score.j)


def test_objects_that_come_late_do_not_count():
    truth, found = moving()
    for number in (3, 4):
        truth[number][0:4, 0:4] = 3
    assert score_video(found.__getitem__, truth.__getitem__, 6).j.shape == (2, 4)


def test_a_prediction_may_lack_objects():
    truth, found = moving()
    found = [np.where(each == 2, 0, each).astype(np.uint8) for each in found]
    score = score_video(found.__getitem__, truth.__getitem__, 6)
    assert score.j.tolist() == [[1] * 4, [0] * 4] and score.f.tolist() == [[1] * 4, [0] * 4]


@pytest.mark.parametrize("highest", [3, 255])
def test_an_id_that_is_no_object_is_an_error(highest):
    truth, found = moving()
    found[2][0, 0] = highest
    with pytest.raises(ValueError, match=f"frame 2: the prediction has the id {highest}; the objects are 1 to 2"):
        score_video(found.__getitem__, truth.__getitem__, 6)


def test_wrong_use():
    truth, found = moving()
    with pytest.raises(ValueError, match=r"frame 1: the prediction is \(39, 50\), the truth \(40, 50\)"):
        score_video(lambda number: found[number][1:], truth.__getitem__, 6)
    with pytest.raises(ValueError, match="a video of 2 frames has none to score"):
        score_video(found.__getitem__, truth.__getitem__, 2)
    binary = [(255 * (each > 0)).astype(np.uint8) for each in truth]
    with pytest.raises(ValueError, match=r"no object.*masks of 0 and 255 must be read as 0 and 1"):
        score_video(found.__getitem__, binary.__getitem__, 6)
    with pytest.raises(ValueError, match="no video"):
        davis_score({})


def test_objects_weigh_the_same_whatever_their_video():
    one = VideoScore(np.full((1, 4), 0.2), np.full((1, 4), 0.6), range(1, 5))
    three = VideoScore(np.full((3, 9), 0.6), np.array([[0.8] * 9, [0.4] * 9, [0.6] * 8 + [0.3]]), range(1, 10))
    got = davis_score({"one": one, "three": three})
    assert got.j.mean == pytest.approx((0.2 + 3 * 0.6) / 4)
    f_last = (8 * 0.6 + 0.3) / 9
    assert got.f.mean == pytest.approx((0.6 + 0.8 + 0.4 + f_last) / 4)
    assert got.j_and_f == pytest.approx((got.j.mean + got.f.mean) / 2)
    assert got.j.recall == pytest.approx(3 / 4)
    assert got.f.recall == pytest.approx((1 + 1 + 0 + 8 / 9) / 4)
    assert got.f.decay == pytest.approx((0 + 0 + 0 + 0.1) / 4)
    assert [(each.video, each.object_id) for each in got.objects] == [("one", 1), *(("three", k) for k in (1, 2, 3))]
    assert got.objects[2].f.mean == pytest.approx(0.4)
