"""Results name the protocol that they came from: every field by its own value, and the scores and times by hand."""

from pathlib import Path

import numpy as np
import pytest

from data_pipelines.datasets.mixture import Source
from data_pipelines.datasets.sources import Split
from data_pipelines.tasks import Tasks
from data_pipelines.videos import Video
from experiments.evaluation import click_results, clicks, interactive_videos, tasks, videos
from experiments.evaluation.annotators import Accuracy, AnnotatorOptions, ObjectResult, Times
from experiments.evaluation.spread import percent
from experiments.evaluation.video_scores import describe_table, mean_of_draws
from experiments.run import table_of
from experiments.runs.data import OpenSource
from experiments.runs.load import Trained
from experiments.settings.config import Config
from guided_jax.episode import Click
from guided_jax.scoring.clicks import Clicked

SPLIT = Split("voc:val", [], ("cat", "dog", "cow"), Path(), "1.0.0+ab")


def config_of():
    config = Config(name="mine", seed=11)
    config.data.max_side, config.data.min_area = 321, 5
    config.eval.source, config.eval.classes, config.eval.lists, config.eval.min_area = "s:val:class", "dog", "l.txt", 77
    return config


def trained_of(name="trained"):
    return Trained(Config(name=name), None, {}, {"step": 9})


def opened_of(number=6):
    rows = np.tile(np.arange(number, dtype=np.int32), (len(Tasks._fields), 1))
    indexed = Tasks(*rows)._replace(class_id=np.array([1, 3] * (number // 2), np.int32))
    return OpenSource(Source("voc", "p", "val", "class", 2.0), SPLIT, indexed, left_out=("dog",))


def of_protocol(result, **wanted):
    assert {name: result["protocol"][name] for name in wanted} == wanted


# Clicks


def clicked(name, ious, times, encode_ms):
    points = [Click(i, i + 1, 1) for i in range(len(ious))]
    return clicks.Object("img", name, Clicked(points, ious), times, encode_ms)


@pytest.fixture
def by_clicks():
    asked = clicks.ClickOptions(Path("/w"), (50, 90), 4, 3, Path("/w/masks"), guided_filter=True)
    objects = [
        clicked("cat-1", [0.25, 0.75], [1.0, 2.0], 40.0),
        clicked("dog", [0.5, 0.5, 0.25, 0.95], [4.0, 5.0, 6.0, 60.0], 0.0),
        clicked("2", [0.5, 0.25, 0.5, 0.5], [7.0, 8.0, 9.0, 10.0], 20.0),
    ]
    return click_results.report(trained_of(), config_of(), opened_of(), objects, asked, seen=["dog"], about={"more": 1})


def test_the_protocol_of_clicks(by_clicks):
    of_protocol(
        by_clicks, data="voc:val", source="s:val:class", data_version="1.0.0+ab", unit="class", classes="dog",
        seen_in_training=["dog"], forced=False, lists="l.txt", objects=3, limit=3, clicks=4, max_side=321, min_area=77,
        seed=11, step=9, upsampling="guided filter",
    )  # fmt: skip
    assert (by_clicks["name"], by_clicks["masks"], by_clicks["about"]["more"]) == ("trained", "masks", 1)
    assert by_clicks["about"]["config"]["eval"]["min_area"] == 77


@pytest.mark.parametrize(("seen", "force", "forced"), [(None, True, True), (["dog"], True, True), ([], True, False)])
def test_what_is_forced(seen, force, forced):
    config = config_of()
    config.eval.force_seen = force
    asked = clicks.ClickOptions(None, (50,), 4, 0, Path("/m"))
    found = click_results.report(
        trained_of(), config, opened_of(), [clicked("1", [0.5], [1.0], 1.0)], asked, seen=seen, about={}
    )
    of_protocol(found, forced=forced, seen_in_training="unknown" if seen is None else seen, upsampling="bilinear")
    assert found["masks"] == "/m"
    counts = np.ones((1, 1, 6), np.int64)
    scored = tasks.make_scores(counts, np.array([1]), ["5"])
    of_protocol(tasks.report(config, opened_of(), scored, step=1, limit=0, about={}, seen=seen), forced=forced)


def test_scores_and_times_of_clicks(by_clicks, capsys):
    scores = by_clicks["scores"]
    # The first click with an IoU of at least the target, else the limit of 4.
    assert scores["noc"] == pytest.approx({"50": (2 + 1 + 1) / 3, "90": 4})
    assert scores["at_limit"] == {"50": 0, "90": 3}
    assert scores["mean_iou"] == pytest.approx([1.25 / 3, 1.5 / 3, 1.5 / 3, 2.2 / 3])
    assert [each["noc"] for each in by_clicks["objects"]] == [
        {"50": 2, "90": 4},
        {"50": 1, "90": 4},
        {"50": 1, "90": 4},
    ]
    assert by_clicks["objects"][0] == {
        "image": "img", "object": "cat-1", "clicks": [[0, 1, 1], [1, 2, 1]], "ious": [0.25, 0.75],
        "noc": {"50": 2, "90": 4},
    }  # fmt: skip
    times = by_clicks["times"]
    assert (times["click_ms_median"], times["click_ms_mean"]) == pytest.approx((6.5, 112 / 10))
    assert times["click_ms_mean_with_encoding"] == pytest.approx((112 + 60) / 10)
    assert times["encode_ms_median"] == 30  # of the two that were encoded
    shown = [line.split() for line in click_results.describe(by_clicks).splitlines()]
    assert shown[4:6] == [["clicks", "1", "2", "3"], ["mean", "IoU", "x", "100", "41.7", "50.0", "50.0"]]


def test_objects_have_names_of_their_own(tmp_path):
    task = clicks.get_task(opened_of().tasks, 0)
    named = [task._replace(class_id=c, instance=i) for c, i in ((3, 2), (3, 0), (0, 2), (0, 0))]
    names = [clicks.name_object(opened_of(), each) for each in named]
    assert names == ["cow-2", "cow", "2", ""]
    paths = [clicks.mask_path(tmp_path, "a/b", name).relative_to(tmp_path) for name in names]
    assert [str(path) for path in paths] == [f"a/b/{name}.png" for name in ("cow-2", "cow", "2", "object")]


# Annotators of videos


@pytest.fixture
def by_annotators():
    asked = AnnotatorOptions(
        None, "frames@x:all", (1, 3), (2, 5), budget=7, draws=2, corrections=3, videos=("a",), every=4
    )
    cells = asked.cells()
    assert cells == [(1, 2), (1, 5), (3, 2)]
    right, wrong = Accuracy((3, 1, 0), 0.75), Accuracy((0, 2, 2), 0.25)
    results = [
        ObjectResult("b", 1, 6, dict(zip(cells, ([right, wrong], [right, right], [wrong, wrong]), strict=True)),
                     [wrong, right], [(2, 3, 4, 1), (0, 7, 8, 0)]),
        ObjectResult("a", 2, 5, dict(zip(cells, ([wrong, wrong], [right, wrong], [right, right]), strict=True)),
                     [right], [(1, 1, 1, 1)]),
    ]  # fmt: skip
    times = Times([1.0, 2.0, 9.0], [3.0, 4.0, 8.0], [5.0, 6.0, 10.0])
    return interactive_videos.report(trained_of(), config_of(), SPLIT, asked, results, times)


def test_the_protocol_of_annotators(by_annotators):
    of_protocol(
        by_annotators, data="voc:val", source="frames@x:all", data_version="1.0.0+ab", videos=["a", "b"], every=4,
        objects=2, frames=[1, 3], points=[2, 5], budget=7, draws=2, corrections=3, max_side=321, seed=11, step=9,
    )  # fmt: skip
    assert by_annotators["name"] == "trained"


def test_scores_and_times_of_annotators(by_annotators):
    """Counts are pooled over objects, J is their mean; then the mean and the deviation over draws."""
    grid = {(each["frames"], each["points"]): each for each in by_annotators["scores"]["grid"]}
    assert [each["dots_per_label"] for each in grid.values()] == [2, 5, 6]
    # First draw: 3 of 8 pixels of both objects; second: 0 of 8.
    assert grid[1, 2]["pos_iu"] == pytest.approx((3 / 8 + 0) / 2) and grid[1, 2]["j"] == pytest.approx((0.5 + 0.25) / 2)
    assert grid[1, 2]["deviation"] == pytest.approx({"pos_iu": 3 / 8 / 2**0.5, "j": 0.25 / 2**0.5})
    assert grid[3, 2]["deviation"] == {"pos_iu": 0, "j": 0}
    curve = by_annotators["scores"]["corrections"]
    assert [(each["dots"], each["j"]) for each in curve] == [(1, 0.5), (2, 0.75), (3, 0.75)]
    first, second = by_annotators["objects"]
    assert (first["video"], first["object"], first["frames"]) == ("b", 1, 6)
    assert first["grid"][0]["j"] == 0.5 and second["grid"][0]["j"] == 0.25 and second["grid"][2]["frames"] == 3
    assert first["corrections"] == [
        {"dot": [2, 3, 4, 1], "pos_iu": 0.0, "j": 0.25},
        {"dot": [0, 7, 8, 0], "pos_iu": 0.75, "j": 0.75},
    ]
    times = by_annotators["times"]
    assert (times["encode_ms_per_frame"], times["update_ms"], times["frame_ms"]) == (2, 4, 6)
    shown = interactive_videos.describe(by_annotators).splitlines()
    cells = [line.split() for line in shown]
    assert shown[0] == "voc:val: 2 videos, 2 objects"
    # Of positive IU: S down, P across, `-` beyond the budget.
    assert cells[2:5] == [["S", "P=2", "P=5"], ["1", "18.8", "56.2"], ["3", "37.5", "-"]]
    assert cells[6:9] == [["S", "P=2", "P=5"], ["1", "37.5", "62.5"], ["3", "50.0", "-"]]
    assert cells[10:13] == [
        ["dots", "1", "2", "3"],
        ["positive", "IU", "37.5", "75.0", "75.0"],
        ["J", "50.0", "75.0", "75.0"],
    ]
    assert "a dot takes 4.0 ms to its frame's mask, each other frame 6.0 ms" in shown[-1] and "in 2 ms" in shown[-1]


# Tasks


def test_the_protocol_and_the_scores_of_tasks():
    """Three tasks of two classes; the first takes less than a fiftieth of what is known of its image."""
    counts = np.zeros((3, 2, 6), np.int64)
    counts[:, :, :4] = [[[5, 5, 5, 985]] * 2, [[60, 20, 20, 900]] * 2, [[10, 40, 50, 900]] * 2]
    counts[:, 1] = counts[:, 0] + [10, -5, -5, 0, 0, 0]  # more points: more is found
    config = config_of()
    config.eval.shots, config.eval.mode, config.data.mode = 3, "semantic", "interactive"
    classes = np.array([1, 1, 3])
    one = tasks.make_scores(counts, classes, ["1", "5"])
    again = tasks.make_scores(counts[:, ::-1], classes, ["1", "5"])
    found = tasks.report(config, opened_of(), one, step=4, limit=8, about={"a": 1}, more=[again], seen=None)
    of_protocol(
        found, data="voc:val", source="s:val:class", data_version="1.0.0+ab", mode="semantic", classes=["cat", "cow"],
        chosen_classes="dog", left_out_classes=["dog"], seen_in_training="unknown", forced=False, lists=None, draws=2,
        shots=3, tasks=3, tasks_of_data=6, small_tasks="1 below 2% of the image", limit=8, max_side=321, min_area=77,
        seed=11, episode_seed=11, step=4,
    )  # fmt: skip
    assert found["name"] == "mine" and found["about"] == {"a": 1}
    few = found["scores"]["1"]
    pooled, small = [75 / 215, 105 / 215], [5 / 15, 15 / 15]
    of_class = [(65 / 115 + 10 / 100) / 2, (85 / 115 + 20 / 100) / 2]
    assert few["draws"] == {"pos_iu": pytest.approx(pooled), "class_mean": pytest.approx(of_class), "small": small}
    assert few["pos_iu"] == pytest.approx(np.mean(pooled)) and few["small"] == pytest.approx(np.mean(small))
    assert few["deviation"]["pos_iu"] == pytest.approx(np.std(pooled, ddof=1))
    assert few["classes"] == pytest.approx({"cat": (65 / 115 + 85 / 115) / 2, "cow": (0.1 + 0.2) / 2})
    assert found["scores"]["5"]["draws"]["pos_iu"] == pytest.approx(pooled[::-1])
    assert few["accumulations"]["reference"]["iou"] == pytest.approx(few["pos_iu"])
    first, head, *rows = table_of(found, "late").splitlines()
    assert first == "voc:val: 3 tasks, late"
    assert head.split()[-6:] == ["small", "oslsm", "panet", "hsnet", "pfenet", "reference"]
    for row, (points, score) in zip(rows, found["scores"].items(), strict=True):
        values = [score["pos_iu"], score["class_mean"], score["small"]]
        values += [score["accumulations"][name]["iou"] for name in head.split()[-5:]]
        assert row.split() == [points, *map(percent, values)]
    config.eval.mode, config.eval.classes, config.data.mode = "", "", "video"
    plain = tasks.report(config, opened_of(), one, step=4, limit=8, about={}, seen=[])
    of_protocol(plain, mode="video", chosen_classes="all", seen_in_training=[], draws=1)
    assert not {"draws", "deviation", "accumulations"} & set(plain["scores"]["1"])


# Videos


def test_the_protocol_of_videos():
    lists = [
        Video("a", (0, 1, 2, 3), ("",) * 4, 9, 9, (1, 4), (0, 1), 1, (0, 1), (1, 2)),
        Video("b", (4, 5, 6), ("",) * 3, 9, 9, (2,), (0,), 1, (0,), (1,)),
    ]
    found = videos._protocol(SPLIT, lists, videos.Choice("davis:val", names=("a", "b"), every=3))
    of_protocol({"protocol": found}, data="voc:val", source="davis:val", data_version="1.0.0+ab", videos=2, objects=3,
                frames=7, frames_scored=3, names=["a", "b"], every=3)  # fmt: skip
    assert videos._protocol(SPLIT, lists, videos.Choice())["names"] == "all"


def of_object(video, number, draw, j):
    part = {"mean": j, "recall": j + 0.01, "decay": j + 0.02}
    scores = {"j_and_f": j + 0.1, "j": part, "f": {name: each + 0.2 for name, each in part.items()}, "pos_iu": j + 0.3}
    return {"video": video, "object": number, "points": "5", "draw": draw, **scores}


def test_the_table_of_videos():
    """Rows of an object are averaged over draws; below are the means, and how far draws lie apart."""
    rows = [of_object("bear", 1, 0, 0.1), of_object("dogs", 2, 0, 0.5), of_object("bear", 1, 1, 0.3)]
    scores = {"5": mean_of_draws([{"j_and_f": j, **{k: rows[0][k] for k in ("j", "f", "pos_iu")}} for j in (0.4, 0.2)])}
    title, head, bear, dogs, mean, spread = describe_table(rows, scores).splitlines()
    assert title == "5 points per label and annotated frame"
    assert head.split() == [*["video", "object", "J", "recall", "decay", "F", "recall", "decay", "J&F", "pos", "IU"]]
    assert bear.split() == ["bear", "1", "20.0", "21.0", "22.0", "40.0", "41.0", "42.0", "30.0", "50.0"]
    assert dogs.split()[:4] == ["dogs", "2", "50.0", "51.0"]
    assert mean.split() == [
        "mean",
        "of",
        "objects",
        "2",
        "10.0",
        "11.0",
        "12.0",
        "30.0",
        "31.0",
        "32.0",
        "30.0",
        "40.0",
    ]
    assert spread == "over 2 draws of the points J&F varies by 14.1"
    assert describe_table([], scores).startswith("nothing is scored")
