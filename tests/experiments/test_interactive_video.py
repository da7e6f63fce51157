"""Simulated annotators of videos: their rules by hand, and the command on a small clip."""

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_pipelines.datasets.sources import Split
from data_pipelines.videos import Video
from experiments.evaluation import annotators
from experiments.evaluation.annotators import (
    Accuracy,
    AnnotatorOptions,
    ObjectResult,
    Times,
    annotate_at_random,
    correct,
    measure,
)
from experiments.evaluation.interactive_videos import report
from experiments.interactive_video import main
from experiments.runs.load import Trained
from experiments.settings.command_line import guarded
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.episode import UNKNOWN
from guided_jax.segmentor import Segmentor
from guided_jax.session import Session
from tests.experiments.tiny_run import make_run

HEIGHT, WIDTH, FRAMES = 24, 40, 5
VOID = np.s_[20:]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two objects that move to the right, over void that looks like the first; the last frame has no mask."""
    root, rng = tmp_path_factory.mktemp("clip"), np.random.default_rng(0)
    for kind in ("frames", "masks"):
        (root / kind / "cars").mkdir(parents=True)
    for frame in range(FRAMES):
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[2:10, 2 + 3 * frame : 12 + 3 * frame] = 1
        labels[14:20, 4 + 4 * frame : 14 + 4 * frame] = 2
        labels[VOID] = 1
        image = np.array([[30, 30, 30], [200, 40, 40], [40, 40, 200]])[labels] + rng.integers(0, 9, (HEIGHT, WIDTH, 3))
        cv2.imwrite(str(root / "frames" / "cars" / f"{frame}.png"), image.astype(np.uint8))
        labels[VOID] = UNKNOWN
        if frame < FRAMES - 1:
            cv2.imwrite(str(root / "masks" / "cars" / f"{frame}.png"), labels)
    return root


@pytest.fixture(scope="module")
def workdir(prepared, tmp_path_factory):
    """A run of random weights whose masks hold both labels (an untrained head would be all negative)."""
    fields = {"model.sharing": "shared", "model.inference": "distance"}
    return make_run(tmp_path_factory.mktemp("video") / "run", prepared, **fields)


def ask(workdir, clip, *words):
    main(["x", f"--workdir={workdir}", f"--source=frames@{clip}:all", "--corrections=3", *words])


def test_the_command(workdir, clip, capsys, monkeypatch):
    encoded, corrected = [], []
    add = Session.add
    monkeypatch.setattr(Session, "add", lambda self, name, image: encoded.append(name) or add(self, name, image))

    def note(session, targets, *rest):
        corrected.append(np.stack(targets))
        return correct(session, targets, *rest)

    monkeypatch.setattr(annotators, "correct", note)
    words = ["--frames=2,1", "--points=1,4", "--budget=4", "--draws=2"]
    ask(workdir, clip, *words)
    shown = capsys.readouterr().out
    assert encoded == [0, *range(FRAMES)]  # a blank one to compile, and each frame once for two objects
    for label, targets in enumerate(corrected, start=1):
        truth = cv2.imread(str(clip / "masks" / "cars" / "1.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(targets[1], np.where(truth == UNKNOWN, UNKNOWN, truth == label))
        assert (targets[:, 20:] == UNKNOWN).all() and (targets[-1] == UNKNOWN).all()
    (path,) = workdir.glob("interactive-video-*.json")
    assert len(corrected) == 2 and f"written to {path}" in shown and "1 videos, 2 objects" in shown
    result = json.loads(path.read_text())
    grid, objects = result["scores"]["grid"], result["objects"]
    assert [(each["frames"], each["points"]) for each in grid] == [(1, 1), (1, 4), (2, 1)]  # 2 x 4 is beyond the budget
    assert [(each["video"], each["object"], each["frames"]) for each in objects] == [("cars", 1, 4), ("cars", 2, 4)]
    for i, each in enumerate(grid):
        assert each["j"] == pytest.approx(np.mean([row["grid"][i]["j"] for row in objects]))
        assert 0 < each["pos_iu"] < 1 and 0 < each["j"] < 1 and set(each["deviation"]) == {"pos_iu", "j"}
    assert [each["dots"] for each in result["scores"]["corrections"]] == [1, 2, 3]
    for row in objects:
        assert row["corrections"][0]["dot"][0] == 0 and row["corrections"][0]["dot"][3] == 1
        for frame, y, x, label in (each["dot"] for each in row["corrections"]):
            mask = cv2.imread(str(clip / "masks" / "cars" / f"{frame}.png"), cv2.IMREAD_UNCHANGED)
            assert mask[y, x] != UNKNOWN and label == (mask[y, x] == row["object"])
    js = np.array([[each["j"] for each in row["corrections"]] for row in objects])
    assert [each["j"] for each in result["scores"]["corrections"]] == pytest.approx(js.mean(0))
    assert len(set(js.mean(0))) == 3
    assert {"encode_ms_per_frame", "update_ms", "frame_ms"} <= set(result["times"])
    assert {"random", "correction_rule", "scored", "accumulation", "labels"} <= set(result["protocol"])

    ask(workdir, clip, *words)
    again = json.loads(path.read_text())
    for key in ("protocol", "scores", "objects"):
        assert again[key] == result[key]
    assert len(list(workdir.glob("interactive-video-*.json"))) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frames=0"], "--frames=0: expects whole numbers from 1 on"),
        (["--points=dense"], "--points=dense: expects whole numbers"),
        (["--frames=4", "--points=5", "--budget=10"], "--budget=10: no S x P is that small; the least is 20"),
        (["--draws=0"], "--draws=0: at least 1"),
        (["--draws=1000000"], "--draws=1000000: at most 1000"),
        (["--corrections=1001"], "--corrections=1001: at most 1000"),
        (["--videos=dogs"], "has no video 'dogs'; there are: cars"),
        (["--source=generated:val"], "holds stills"),
        (["--config.model.way=3"], "--config.model.way: belongs to the trained run"),
    ],
)
def test_what_is_refused(workdir, clip, words, message):
    with pytest.raises(UserError, match=message):
        ask(workdir, clip, *words)


def test_a_local_model_is_refused(prepared, clip, tmp_path, capsys):
    workdir = make_run(tmp_path / "run", prepared, model__locality="local")
    assert guarded(lambda: ask(workdir, clip)) == 2
    assert "interactive video: mode=video: model.locality=local keeps the positions" in capsys.readouterr().err


def test_measure_by_hand():
    target = np.array([[1, 1, 0, UNKNOWN]], np.uint8)
    masks = [np.array([[1, 0, 1, 1]], np.uint8), np.array([[0, 0, 0, 0]], np.uint8)]
    accuracy = measure(masks, [target, np.zeros_like(target)])
    assert accuracy.counts == (1, 1, 1)  # void is left out
    assert accuracy.j == pytest.approx((1 / 4 + 1) / 2)  # void is background, and nothing where nothing is: 1


def test_the_curve_of_corrections_by_hand():
    """The second object needs no third dot: its last accuracy stays, though it is not its best."""
    curves = [[0.1, 0.5, 0.3], [0.9, 0.7]]
    results = [
        ObjectResult("cars", label, 1, {(1, 1): [Accuracy((1, 1, 1), 0.5)]}, [Accuracy((1, 1, 2), j) for j in js], dots)
        for label, (js, dots) in enumerate(zip(curves, ([(0, 0, 0, 1)] * 3, [(0, 0, 0, 1)] * 2), strict=True), start=1)
    ]
    asked = AnnotatorOptions(Path(), "", (1,), (1,), budget=0, draws=1, corrections=3, videos=(), every=1)
    trained = Trained(Config(), Segmentor(Config().model, TORCHVISION), {}, {"step": 0})
    split, times = Split("clip", [], (), Path(), "1"), Times([1.0], [1.0], [1.0])
    scores = report(trained, Config(), split, asked, results, times)["scores"]
    assert [each["j"] for each in scores["corrections"]] == pytest.approx([0.5, 0.6, 0.5])
    assert [each["pos_iu"] for each in scores["corrections"]] == pytest.approx([1 / 4] * 3)


class Painter(Session):
    """A session in which a dot puts its own row right on its frame; it knows the truth."""

    def __init__(self, targets):
        self.targets, self.dots = targets, []

    def clear(self):
        self.dots = []

    def click(self, frame, row, column, label):
        assert self.targets[frame][row, column] == label
        self.dots.append((frame, row))

    def look(self, scored):
        masks = [np.zeros_like(target) for target in self.targets]
        for frame, row in self.dots:
            masks[frame][row] = self.targets[frame][row] == 1
        masks = [masks[frame] for frame in scored]
        return measure(masks, [self.targets[frame] for frame in scored]), masks


def test_corrections_by_hand():
    """Frame 0 has the object in one row, frame 1 nowhere, frame 2 in two rows; frame 3 has no mask."""
    targets = [np.zeros((6, 9), np.uint8) for _ in range(4)]
    targets[0][2, 1:8] = 1
    targets[2][1, 3:6] = targets[2][4, 3:8] = 1
    targets[3][:] = UNKNOWN
    session, scored = Painter(targets), [0, 1, 2]
    accuracies, dots = correct(session, targets, scored, 10, partial(session.look, scored))
    # Frame 0 comes first of those with J 0, then frame 2 with its first row, then its second; then all is right.
    assert [(frame, row, label) for frame, row, _, label in dots] == [(0, 2, 1), (2, 1, 1), (2, 4, 1)]
    assert [accuracy.j for accuracy in accuracies] == pytest.approx([2 / 3, (2 + 3 / 8) / 3, 1])
    assert session.dots == []


def test_the_next_correction_is_on_the_worst_frame():
    """Both frames have two rows: after a first dot on frame 0 it is the other that is worse, until both its rows are
    right."""
    targets = [np.zeros((6, 9), np.uint8) for _ in range(3)]
    targets[0][2, 1:8] = targets[0][5, 3:6] = 1
    targets[2][1, 3:6] = targets[2][4, 3:8] = 1
    session, scored = Painter(targets), [0, 1, 2]
    accuracies, dots = correct(session, targets, scored, 10, partial(session.look, scored))
    assert [(frame, row, label) for frame, row, _, label in dots] == [(0, 2, 1), (2, 1, 1), (2, 4, 1), (0, 5, 1)]
    js = [(0.7 + 1 + 0) / 3, (0.7 + 1 + 3 / 8) / 3, (0.7 + 1 + 1) / 3, 1]
    assert [accuracy.j for accuracy in accuracies] == pytest.approx(js)


def test_no_pixel_is_corrected_twice():
    """Though the model stays deaf to the dots; when all nine are used up there is nothing left to correct."""
    target = np.pad(np.ones((3, 3), np.uint8), 1)
    mask = np.zeros_like(target)
    _, dots = correct(Painter([target]), [target], [0], 20, lambda: (measure([mask], [target]), [mask]))
    assert dots[0] == (0, 2, 2, 1) and len(dots) == len(set(dots)) == 9


class Recorder(Session):
    """A session that only keeps what it is given."""

    def __init__(self):
        self.looked = []

    def clear(self):
        self.annotations = {}

    def annotate(self, frame, annotation):
        self.annotations[frame] = annotation


def test_random_dots_are_drawn_anew_for_each_frame_object_draw_seed_and_video():
    """All frames have the same mask: whatever the dots did not depend on would leave them alike."""
    targets = [np.kron(np.eye(2, dtype=np.uint8), np.ones((9, 9), np.uint8))] * 3
    asked = AnnotatorOptions(Path(), "", (3,), (4,), budget=0, draws=1, corrections=0, videos=(), every=1)
    session = Recorder()

    def draw(name="clip", label=1, seed=7, number=0):
        video = Video(name, (0, 1, 2), ("",) * 3, 18, 18, (1,), (0,), 1, (0,), (1,))
        look = lambda: (Accuracy((0, 0, 0), 0.0), session.looked.append(dict(session.annotations)))  # noqa: E731
        assert len(list(annotate_at_random(session, video, label, targets, seed, number, asked, look))) == 1
        return session.looked[-1]

    first, again = draw(), draw()
    assert all((again[frame] == dots).all() for frame, dots in first.items()) and len(first) == 3
    others = [draw("other"), draw(label=2), draw(seed=8), draw(number=1)]
    seen = [first[frame] for frame in range(3)] + [each[0] for each in others]
    assert len({dots.tobytes() for dots in seen}) == len(seen)


def test_random_dots_are_nested_in_frames_and_points():
    rng = np.random.default_rng(1)
    targets = [(rng.random((12, 12)) < 0.3).astype(np.uint8) for _ in range(6)]
    targets[4][:] = 0

    video = Video("clip", tuple(range(6)), ("",) * 6, 12, 12, (1,), (0,), 1, (0,), (1,))
    asked = AnnotatorOptions(
        Path(), "", frames=(1, 3, 9), points=(1, 4), budget=0, draws=1, corrections=0, videos=(), every=1
    )
    session = Recorder()
    nothing = Accuracy((0, 0, 0), 0.0)

    def look():
        session.looked.append(dict(session.annotations))
        return nothing, []

    cells = [cell for cell, _ in annotate_at_random(session, video, 1, targets, 7, 0, asked, look)]
    seen = dict(zip(cells, session.looked, strict=True))
    assert set(seen) == set(asked.cells())
    for (s, p), annotated in seen.items():
        assert len(annotated) == min(s, 5) and 4 not in annotated  # five frames show the object
        for frame, annotation in annotated.items():
            assert [int((annotation == label).sum()) for label in (0, 1)] == [p, p]
            known = annotation != UNKNOWN
            assert (annotation[known] == targets[frame][known]).all()
            assert (seen[9, 4][frame][known] == annotation[known]).all()
