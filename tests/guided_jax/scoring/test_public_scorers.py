"""Agreement with the scorers that others published: vos-benchmark and trackeval (DAVIS), isegeval (clicks).

`pip install --no-deps -r tests/scorers.txt` (as `make test` does) lets them run beside ours; without them only the
figures that they gave once are compared. Where they are known to differ from the official DAVIS evaluation (an object
that appears late, ids beyond the objects, void as an object), the cases here keep clear of it.
"""

import cv2
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN, Click
from guided_jax.scoring.clicks import click_score, next_click, simulate_clicks
from guided_jax.scoring.davis import davis_score, score_video

# pycocotools, under trackeval.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

CLOSE = 1e-6
HOW = "pip install --no-deps -r tests/scorers.txt"


def disk(radius):
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (x**2 + y**2 <= radius**2).astype(np.uint8)


def ellipse(shape, row, column, high, wide):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return ((y - row) * wide) ** 2 + ((x - column) * high) ** 2 <= (high * wide) ** 2


def drawn_video(frames=9, shape=(480, 854)):
    """Two objects, and a prediction with a different error in every frame."""
    truth, found = [], []
    for t in range(frames):
        labels, guess = np.zeros((2, *shape), np.uint8)
        labels[ellipse(shape, 200 + 5 * t, 250 + 9 * t, 90, 130)] = 1
        labels[ellipse(shape, 300, 640 - 12 * t, 100, 60)] = 2
        guess[ellipse(shape, 200 + 6 * t, 250 + 12 * t, 90 - 3 * t, 130)] = 1
        guess[ellipse(shape, 300 + 4 * t, 640 - 10 * t, 100, 60 + 2 * t)] = 2
        guess[:, : 40 * t][guess[:, : 40 * t] == 1] = 0
        truth.append(labels)
        found.append(guess)
    found[4][found[4] == 2] = 0  # missed as a whole
    truth[6][truth[6] == 1] = 0  # hidden, and found all the same
    truth[7][truth[7] == 1] = 0  # hidden, and rightly so
    found[7][found[7] == 1] = 0
    return truth, found


def random_video(seed, frames=7, shape=(60, 80), objects=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, objects + 1, (frames, *shape)).astype(np.uint8)
    for k in range(objects):
        truth[:, 4 + 18 * k : 18 + 18 * k, 10:70] = k + 1
    wrong = rng.random(truth.shape) < rng.random((frames, 1, 1)) * 0.5
    return list(truth), list(np.where(wrong, rng.integers(0, objects + 1, truth.shape), truth).astype(np.uint8))


def plant(labels, number):
    """A mask with one of several errors."""
    found, error = labels.copy(), number % 7
    if error == 1:
        found = np.roll(found, (3, 11), (0, 1))
    elif error == 2:
        found = cv2.dilate(found, disk(9))
    elif error == 3:
        found = cv2.erode(found, disk(5))
    elif error == 4:
        found[found == 1] = 0
    elif error == 5:
        found[300:460, 30:200] = 2
    elif error == 6:
        found = np.where(np.arange(found.shape[1]) % 40 < 6, 0, found).astype(np.uint8)
    return found


CLIPS = ("breakdance", "camel", "horsejump-high")


def read_masks(real_data, clip, step):
    files = sorted((real_data / "data/DAVIS/Annotations/480p" / clip).glob("*.png"))[::step]
    return [(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8) for file in files]


def real_video(real_data, clip):
    """Masks of DAVIS 2016, the object cut in two at its middle column, with planted errors."""
    truth = []
    for labels in read_masks(real_data, clip, 8):
        columns = np.flatnonzero(labels.any(0))
        middle = int(columns.mean())
        labels[:, middle:] *= 2
        truth.append(labels)
    return truth, [plant(labels, number) for number, labels in enumerate(truth)]


@pytest.fixture(params=["drawn", "random-0", "random-1", *CLIPS])
def video(request):
    if request.param == "drawn":
        return drawn_video()
    if request.param.startswith("random"):
        return random_video(int(request.param[-1]))
    return real_video(request.getfixturevalue("real_data"), request.param)


def score(truth, found):
    return score_video(found.__getitem__, truth.__getitem__, len(truth))


def test_vos_benchmark_agrees_in_every_frame(video):
    public = pytest.importorskip("vos_benchmark.evaluator", reason=HOW)
    truth, found = video
    evaluator = public.Evaluator()
    for labels, guess in zip(truth[1:-1], found[1:-1], strict=True):
        evaluator.feed_frame(guess, labels)
    ours = score(truth, found)
    for k, (j, f) in enumerate(zip(ours.j, ours.f, strict=True), 1):
        np.testing.assert_allclose(j, evaluator.object_iou[k], rtol=0, atol=CLOSE)
        np.testing.assert_allclose(f, evaluator.boundary_f[k], rtol=0, atol=CLOSE)
    mean_j, mean_f = evaluator.conclude()
    summary = davis_score({"video": ours})
    for each in summary.objects:
        assert each.j.mean * 100 == pytest.approx(mean_j[each.object_id], abs=CLOSE)
        assert each.f.mean * 100 == pytest.approx(mean_f[each.object_id], abs=CLOSE)


def trackeval_score(truth, found):
    """What trackeval gives for a video: masks as run lengths, every object in every frame."""
    from pycocotools import mask as rle
    from trackeval.metrics.j_and_f import JAndF

    objects = int(truth[0].max())

    def encode(frames):
        one = [[rle.encode(np.asfortranarray(each == k + 1).view(np.uint8)) for k in range(objects)] for each in frames]
        return {"dets": one, "ids": [np.arange(objects)] * len(frames)}

    theirs, ours = encode(truth[1:-1]), encode(found[1:-1])
    return JAndF().eval_sequence(
        {
            "num_timesteps": len(truth) - 2,
            "num_gt_ids": objects,
            "num_tracker_ids": objects,
            "gt_dets": theirs["dets"],
            "gt_ids": theirs["ids"],
            "tracker_dets": ours["dets"],
            "tracker_ids": ours["ids"],
        }
    )


def check_statistics(summary, public):
    assert summary.j_and_f == pytest.approx(public["J&F"], abs=CLOSE)
    for name, ours in (("J", summary.j), ("F", summary.f)):
        for field in ("mean", "recall", "decay"):
            assert getattr(ours, field) == pytest.approx(public[f"{name}-{field.capitalize()}"], abs=CLOSE)


def test_trackeval_agrees_on_all_statistics(video):
    pytest.importorskip("trackeval.metrics.j_and_f", reason=HOW)
    truth, found = video
    check_statistics(davis_score({"video": score(truth, found)}), trackeval_score(truth, found))


def test_trackeval_agrees_on_several_videos():
    module = pytest.importorskip("trackeval.metrics.j_and_f", reason=HOW)
    videos = {"drawn": drawn_video(), "random": random_video(2)}
    public = {name: trackeval_score(*each) for name, each in videos.items()}
    combined = module.JAndF().combine_sequences(public)
    check_statistics(davis_score({name: score(*each) for name, each in videos.items()}), combined)


def paint(first, radius):
    """A model: from a first guess, a click sets a disk to what it says."""

    def segment(clicks):
        mask = first.copy()
        for click in clicks:
            cv2.circle(mask, (click.column, click.row), radius, click.label, cv2.FILLED)
        return mask

    return segment


def click_cases(seed):
    """Targets with void, and first guesses with errors of every size."""
    rng = np.random.default_rng(seed)
    for _ in range(6):
        height, width = rng.integers(40, 120, 2)
        noise = rng.random((2, height, width)).astype(np.float32)
        smooth = [cv2.GaussianBlur(each, (0, 0), float(rng.uniform(1, 6))) for each in noise]
        target, first = ((each > np.median(each)).astype(np.uint8) for each in smooth)
        target[cv2.GaussianBlur(rng.random((height, width)), (0, 0), 3) > 0.55] = UNKNOWN
        yield target, first


def real_click_cases(real_data):
    for clip in CLIPS:
        for number, target in enumerate(read_masks(real_data, clip, 60)):
            first = np.minimum(plant(target, number + 1), 1)
            target[cv2.morphologyEx(target, cv2.MORPH_GRADIENT, disk(2)) > 0] = UNKNOWN
            yield target, first


def check_clicks(cases, radius):
    strategies = pytest.importorskip("isegeval.click.strategies", reason=HOW)
    compared = 0
    for target, first in cases:
        segment = paint(first, radius)
        public = strategies.GreatestErrorRegion(np.where(target == UNKNOWN, -1, target.astype(np.int8)))
        mask, clicks = np.zeros_like(target), []
        for _ in range(20):
            click = next_click(mask, target, clicks)
            if click is None:
                break
            theirs = public.click(mask)
            assert click == Click(theirs.y, theirs.x, int(theirs.is_positive))
            clicks.append(click)
            mask = segment(clicks)
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("seed", range(4))
def test_isegeval_agrees_click_for_click(seed):
    check_clicks(click_cases(seed), 4)


def test_isegeval_agrees_click_for_click_on_real_masks(real_data):
    check_clicks(real_click_cases(real_data), 20)


def heal(first, target, radius):
    """A model: from a first guess, a click puts a disk right."""

    def segment(clicks):
        mask = first.copy()
        for click in clicks:
            near = ellipse(target.shape, click.row, click.column, radius, radius) & (target != UNKNOWN)
            mask[near] = target[near]
        return mask

    return segment


def test_isegeval_agrees_on_the_number_of_clicks():
    isegeval = pytest.importorskip("isegeval", reason=HOW)
    shape = (60, 80)
    models, data = [], []
    for number in range(10):
        target = ellipse(shape, 30, 40, 12 + number, 15 + 2 * number).astype(np.uint8)
        target[:number] = UNKNOWN
        first = ellipse(shape, 30 + number, 34, 12, 15 + number).astype(np.uint8)
        models.append(heal(first, target, 10 - number))
        # The image is not looked at: it only tells the models apart.
        data.append((np.array(number), np.where(target == UNKNOWN, -1, target.astype(np.int8))))

    class Model:
        def __init__(self, number):
            self.segment, self.clicks = models[number], []

        def predict(self, click):
            self.clicks.append(Click(click.y, click.x, int(click.is_positive)))
            return self.segment(self.clicks)

    class Models:
        def get_model(self, image):
            return Model(int(image))

    public = isegeval.evaluate(data, Models(), threshold=0.9)
    targets = [np.where(mask == -1, UNKNOWN, mask.astype(np.uint8)) for _, mask in data]
    ious = [simulate_clicks(m, target, stop_at=0.9).ious for m, target in zip(models, targets, strict=True)]
    ours = click_score(ious)
    assert ours.noc[0.9] == pytest.approx(public, abs=CLOSE)
    assert 0 < ours.at_limit[0.9] < 10 and len({len(each) for each in ious}) > 3


# What the scorers gave for `drawn_video` and for `drawn_clicks`, in an environment of their own (numpy 1.26.4,
# opencv-python 4.11.0.86, trackeval 1.0.0), made by python -m venv scorers && scorers/bin/pip install vos-benchmark
# trackeval isegeval: `Evaluator.feed_frame` on frames 1 to 7, `trackeval_score`, and `GreatestErrorRegion.click` in
# turn with the model.
GOLDEN_J = [
    [0.951759717, 0.904943272, 0.859612669, 0.815471778, 0.744933944, 0.0, 1.0],
    [0.930155211, 0.866391713, 0.807716924, 0.0, 0.702800852, 0.655864136, 0.612186243],
]
GOLDEN_F = [
    [1.0, 0.889946319, 0.613229709, 0.326792543, 0.250207297, 0.0, 1.0],
    [1.0, 0.75999059, 0.509949773, 0.0, 0.321608537, 0.26130843, 0.220290059],
]
GOLDEN_STATISTICS = {
    "J-Mean": 0.703702604,
    "J-Recall": 0.857142857,
    "J-Decay": 0.319750656,
    "F-Mean": 0.510951661,
    "F-Recall": 0.5,
    "F-Decay": 0.425119776,
    "J&F": 0.607327133,
}
GOLDEN_CLICKS = [
    Click(200, 250, 1),
    Click(245, 425, 0),
    Click(293, 372, 0),
    Click(183, 161, 1),
    Click(310, 315, 0),
    Click(188, 409, 0),
    Click(145, 208, 1),
    Click(235, 158, 1),
    Click(131, 257, 1),
    Click(296, 422, 0),
    Click(309, 265, 0),
    Click(207, 452, 0),
]


def drawn_clicks():
    target = drawn_video()[0][0]
    target[target == 2] = UNKNOWN
    return target, paint(ellipse(target.shape, 240, 330, 100, 150).astype(np.uint8), 30)


def test_figures_of_the_public_scorers():
    ours = score(*drawn_video())
    np.testing.assert_allclose(ours.j, GOLDEN_J, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(ours.f, GOLDEN_F, rtol=0, atol=CLOSE)
    check_statistics(davis_score({"video": ours}), GOLDEN_STATISTICS)


def test_clicks_of_the_public_scorer():
    target, segment = drawn_clicks()
    assert simulate_clicks(segment, target, limit=len(GOLDEN_CLICKS)).clicks == GOLDEN_CLICKS
