"""Sections of a report: what stands side by side, how results are told apart, and the lines that are drawn."""

from pathlib import Path

import pytest

from experiments.reports import clicks as clicks_module
from experiments.reports import evaluations, sweeps, videos
from experiments.reports.cases import rank_tasks
from experiments.reports.clicks import click_sections, interactive_video_section, unique_labels
from experiments.reports.content import FigureFolder
from experiments.reports.evaluations import describe_protocol, evaluation_sections
from experiments.reports.found import Found, find_results
from experiments.reports.sweeps import sweep_section
from experiments.reports.videos import video_sections
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import to_dict
from experiments.settings.json_files import write_json_lines
from tests.experiments.reports.made_results import clicks, evaluation, of_fold, video, write


def found_of(result, kind="evaluation", where="run"):
    return Found(Path(where) / "result.json", kind, result)


def of_seed(seed, scores, **config):
    result = evaluation(seed=seed, scores=scores)
    result["about"]["config"] = to_dict(Config(seed=seed, **config))
    return found_of(result)


@pytest.fixture
def drawn(monkeypatch):
    """What would be drawn, by the end of the file's name."""
    pictures = {}

    def note(path, lines, **more):
        pictures[path.stem.partition("-")[2]] = (lines, more)

    for module in (evaluations, clicks_module, videos, sweeps):
        monkeypatch.setattr(module, "plot_lines", note)
    monkeypatch.setattr(evaluations, "plot_curves", note)
    monkeypatch.setattr(sweeps, "plot_table", note)
    return pictures


FIGURES = FigureFolder(Path("out"))


def approx(lines):
    return {name: [pytest.approx(point) for point in points] for name, points in lines.items()}


def table_of(section, caption):
    (table,) = (each for each in section.blocks if getattr(each, "rows", None) and caption in each.caption)
    return table


# Evaluations


def test_curves_and_their_bars(drawn):
    """Two seeds have a mean and a deviation at each number of points, a single run has none."""
    seeds = [of_seed(1, ((0.2, 0.5), (0.5, 0.5))), of_seed(2, ((0.4, 0.5), (0.7, 0.5)))]
    (section,) = evaluation_sections([*seeds, found_of(evaluation("other"))], FIGURES)
    curves, more = drawn["points"]
    assert curves == {"guided": pytest.approx({1: 0.3, 5: 0.6}), "other": {1: 0.25, 5: 0.5}}
    assert more["spreads"] == {"guided": pytest.approx({1: 0.02**0.5, 5: 0.02**0.5}), "other": {}}
    assert section.title == more["title"] == "Interactive tasks on things:val"


def test_lines_over_shots_and_masks_of_someone_else(drawn):
    shots = [evaluation(shots=number, scores=((number / 10, 0.5), (0.5, 0.5))) for number in (5, 1, 2)]
    shots[0]["scores"]["dense"] = shots[0]["scores"]["1"]  # which the others do not have
    shots[1]["scores"]["1"]["deviation"] = {"pos_iu": 0.03, "class_mean": 0.02}
    evaluation_sections([found_of(each, where=str(i)) for i, each in enumerate(shots)], FIGURES)
    lines, more = drawn["shots"]
    assert lines == {
        "1 point per label": [(1, 0.1), (2, 0.2), (5, 0.5)],
        "5 points per label": [(n, 0.5) for n in (1, 2, 5)],
    }
    assert more["spreads"]["1 point per label"] == [0.03, None, None]
    theirs = evaluation("theirs")
    theirs["scores"] = {"masks": theirs["scores"]["5"]}
    evaluation_sections([found_of(theirs)], FIGURES)
    assert drawn["points"][0] == {"theirs": [(1.0, 0.5)]}


@pytest.mark.parametrize(
    ("seeds", "draws", "over"),
    [(1, 1, "one run"), (1, 4, "4 draws"), (2, 1, "2 seeds"), (2, 4, "2 seeds, 4 draws each")],
)
def test_what_a_deviation_is_over(drawn, seeds, draws, over):
    runs = [of_seed(seed, ((0.2, 0.5), (0.5, 0.5))) for seed in range(seeds)]
    for each in runs:
        each.result["protocol"]["draws"] = draws
    (section,) = evaluation_sections(runs, FIGURES)
    assert [row[-1] for row in table_of(section, "pooled").rows] == [over]


def test_classes_are_compared_at_the_headline_if_all_have_it(drawn):
    config = Config()
    config.eval.headline = "5"
    result = evaluation()
    result["about"]["config"] = to_dict(config)
    (section,) = evaluation_sections([found_of(result)], FIGURES)
    table = table_of(section, "of each class")
    assert table.caption.endswith("5 points per label") and table.rows == (("a", "25.0"), ("b", "50.0"))
    other = evaluation("other")
    del other["scores"]["5"]
    (section,) = evaluation_sections([found_of(result), found_of(other)], FIGURES)
    table = table_of(section, "of each class")
    assert table.caption.endswith("1 point per label") and table.rows == (("a", "12.5", "12.5"), ("b", "25.0", "25.0"))


def test_accumulations_over_seeds(drawn):
    runs = []
    for seed, iou in ((1, 0.2), (2, 0.4)):
        result = of_fold(2)
        result["protocol"] |= {"seed": seed, "episode_seed": seed}
        result["about"]["config"] = to_dict(Config(seed=seed))
        for each in result["scores"].values():
            each["accumulations"]["oslsm"]["iou"] = each["accumulations"]["panet"]["fb_iou"] = iou
        runs.append(found_of(result))
    (section,) = evaluation_sections(runs, FIGURES)
    first, dense = table_of(section, "accumulate").rows
    assert first[1:4] == ("1", "30.0 ± 14.1", "45.4 ± 0.0") and dense[1] == "dense"
    assert first[-2:] == ("30.0 ± 14.1", "70.2 ± 0.0")


def test_folds_of_one_model_and_number_of_shots_make_a_mean(drawn):
    """Folds of another number of shots, or of another model, are others."""
    found = [found_of(of_fold(fold, mean=0.1 * fold)) for fold in (3, 1)]
    found += [found_of(of_fold(fold, shots=5, mean=0.2)) for fold in (0, 1)]
    wide = of_fold(2)
    wide["name"] = "wide-2"
    *_, section = evaluation_sections([*found, found_of(wide)], FIGURES)
    one, five = section.blocks
    assert one.head[1:3] == ("fold 1", "fold 3") and one.rows[1] == ("dense", "10.0", "30.0", "20.0")
    assert one.caption.startswith("few_shot-FOLD, 1-shot, on voc:val") and five.head[1:3] == ("fold 0", "fold 1")
    assert len(evaluation_sections([found_of(of_fold(0)), found_of(wide)], FIGURES)) == 2  # no mean of two models


def test_what_all_protocols_share():
    first = {"a": 1, "b": [], "c": None, "d": "", "e": ["x", "y"], "f": 2, "g": {"h": [3, 4], "i": 5}, "j": 0}
    assert describe_protocol([first, {**first, "f": 3, "more": 1}]) == {
        "a": "1",
        "e": "x, y",
        "g": "h: 3, 4; i: 5",
        "j": "0",
    }


def test_the_networks_of_a_quickstart_are_runs_of_their_own(tmp_path):
    guided, unguided = evaluation("guided"), evaluation("unguided")
    write(tmp_path, {"points_per_label": [1], "results": {"guided": guided, "unguided": unguided, "x": {}}})
    write(tmp_path / "guided", {**guided, "rows": "tasks.jsonl"})
    found = find_results(tmp_path)
    assert [(each.path.relative_to(tmp_path).as_posix(), each.kind, each.name) for each in found] == [
        ("guided/result.json", "evaluation", "guided"),
        ("unguided/result.json", "evaluation", "unguided"),
    ]
    assert ["rows" in each.result for each in found] == [True, False]


def test_cases_are_ranked_in_the_first_draw(tmp_path):
    """From best to worst, without a task that has nothing to find; rows of another draw have another score."""
    counts = {0: ([1, 0, 3], [3, 1, 0], [0, 0, 0]), 1: ([2, 2, 2], [4, 0, 0], [1, 1, 1])}
    rows = [
        {"draw": draw, "episode": i, "image": f"i{i}", "class": "", "counts": {"5": [*each, 0, 0, 0]},
         "pos_iu": {"5": each[0] / sum(each) if any(each) else None}}
        for draw, tasks in counts.items() for i, each in enumerate(tasks)
    ]  # fmt: skip
    write_json_lines(tmp_path / "tasks.jsonl", rows)
    scores = {"pos_iu": 0.55, "draws": {"pos_iu": [4 / 8, 7 / 13]}}
    found = Found(tmp_path / "result.json", "evaluation", {"rows": "tasks.jsonl", "scores": {"5": scores}})
    assert [(row["draw"], row["image"]) for row in rank_tasks(found, "5")] == [(0, "i1"), (0, "i0")]
    scores["draws"]["pos_iu"].reverse()
    with pytest.raises(UserError, match="its counts give another score"):
        rank_tasks(found, "5")


# Videos


def test_lines_of_videos(drawn):
    one, two = video(("5", "dense"), seconds=2.0, step=1), video(seconds=3.0, step=2)
    one["rows"][0]["j_by_frame"], one["rows"][1]["j_by_frame"] = [0.0, 1.0], [0.5]  # cat, and a dog of one frame
    (section,) = video_sections([found_of(each, "video") for each in (one, two)], FIGURES)
    lines, _ = drawn["frames"]
    assert {name: (line[0], line[-1]) for name, line in lines.items()} == {
        "film, step 1, 5": ((0, 0), (1, 1)),
        "film, step 1, dense": ((0, 0.5), (1, 0.5)),
        "film, step 2, dense": ((0, 0.5), (1, 0.5)),
    }
    lines, more = drawn["seconds"]
    assert lines == {
        "film, step 1, 5": [(2, 0.4)],
        "film, step 1, dense": [(2, 0.4)],
        "film, step 2, dense": [(3, 0.4)],
    }
    assert more["joined"] is False and more["logarithmic"]
    assert [row[-3:] for row in section.blocks[0].rows] == [(t, "30", "one run") for t in ("2.00", "2.00", "3.00")]


def test_seeds_of_a_model_on_videos_have_a_mean_and_a_deviation(drawn, tmp_path):
    """Its own with other points, or fine-tuned, are others; an object's line is its mean over the seeds."""

    def runs(points, seconds, j, **protocol):
        for seed in (1, 2, 3):
            result = video((points,), seconds=seconds + seed, seed=seed, **protocol)
            result["scores"][points]["j"] = {"mean": j + 0.1 * seed, "recall": 0.5, "decay": 0.1}
            result["rows"][0]["j"] = {"mean": 0.1 * seed}  # of the cat
            file = f"video-{points}-{'tuned' if protocol else 'not'}.json"
            folder = write(tmp_path / f"seed-{seed}", result, file, Config(seed=seed))
            yield Found(folder / file, "video", result)

    found = [*runs("5", 1.0, 0.1), *runs("dense", 2.0, 0.3), *runs("dense", 7.0, 0.5, tuning={"steps": 100})]
    (section,) = video_sections(found, FIGURES)
    lines, more = drawn["seconds"]
    assert approx(lines) == {
        "film, 5": [(3, 0.3)],
        "film, dense": [(4, 0.5)],
        "film, tuned 100, dense": [(9, 0.7)],
    }
    assert more["spreads"] == {name: [pytest.approx(0.1)] for name in lines}
    row = section.blocks[0].rows[2]
    assert row[:2] == ("film, tuned 100", "dense") and row[3] == "70.0 ± 10.0"
    assert row[-3:] == ("9.00 ± 1.00", "30", "3 seeds")
    tables = [block for block in section.blocks if "from best to worst" in getattr(block, "caption", "")]
    assert [[row[:3] for row in table.rows] for table in tables] == [[("dog", "1", "80.0"), ("cat", "1", "20.0")]] * 3


def test_objects_are_ordered_by_the_last_number_of_points_and_draws_are_averaged(drawn):
    result = video(("5", "dense"))
    rows = result["rows"]
    rows[1] |= {"j_and_f": 0.1, "j": {"mean": 0.1}, "f": {"mean": 0.1}}  # the dog, at the first number of points
    rows.append({**rows[0], "draw": 1, "j_and_f": 0.6, "j": {"mean": 0.4}, "f": {"mean": 0.8}})
    (section,) = video_sections([found_of(result, "video")], FIGURES)
    table = table_of(section, "from best to worst")
    assert table.head[2:5] == ("J, 5", "F, 5", "J&F, 5")
    assert table.rows == (
        ("dog", "1", *["10.0"] * 3, *["80.0"] * 3),
        ("cat", "1", "30.0", "50.0", "40.0", *["20.0"] * 3),
    )


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        ({"shots": 2}, ["film, 1-shot", "film, 2-shot"]),
        ({"way": "union of"}, ["film, softmax", "film, union"]),
        ({"step": 4}, ["film, step 3", "film, step 4"]),
        ({"seed": 4}, ["film, seed None", "film, seed 4"]),
        ({}, ["film, result in run", "film, result in other"]),
    ],
)
def test_how_results_of_videos_are_told_apart(drawn, change, labels):
    found = [found_of(video(), "video"), found_of(video(**change), "video", "other")]
    (section,) = video_sections(found, FIGURES)
    assert [row[0] for row in section.blocks[0].rows] == labels


@pytest.mark.parametrize("name", ["data", "data_version", "names", "every", "scored", "void", "videos", "objects"])
def test_videos_scored_otherwise_are_not_compared(drawn, name):
    found = [found_of(video(), "video"), found_of(video(**{name: "else"}), "video")]
    assert len(video_sections(found, FIGURES)) == 2
    assert len(video_sections([found_of(video(), "video"), found_of(video(step=9), "video")], FIGURES)) == 1


# Clicks


def test_lines_of_clicks(drawn):
    result = clicks([[0.25, 0.75], [0.75, 0.75, 1.0]])
    click_sections([found_of(result, "clicks")], FIGURES)
    means = [0.5, 0.75, 0.875, 0.875, 0.875]
    assert drawn["clicks"][0] == {"clicked": list(enumerate(means, 1))}
    # 5 ms a click, and 100 ms of encoding once.
    assert approx(drawn["seconds"][0]) == {"clicked": list(zip([0.105, 0.11, 0.115, 0.12, 0.125], means, strict=True))}


def test_single_objects_click_by_click(drawn):
    (section,) = click_sections([found_of(clicks([[0.25, 0.75], [0.75, 0.75, 1.0]]), "clicks")], FIGURES)
    table = table_of(section, "single objects")
    assert table.head == ("case", "object", "NoC", "1", "2", "3", "5")
    assert table.rows == (
        ("best", "i1 cat", "3.0", "75.0", "75.0", "100.0", "100.0"),
        ("worst", "i0 cat", "5.0", "25.0", "75.0", "75.0", "75.0"),
    )
    (section,) = click_sections([found_of(clicks([[k / 20] for k in range(1, 11)]), "clicks")], FIGURES)
    kinds = [row[0] for row in table_of(section, "single objects").rows]
    assert kinds == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3


def test_targets_that_one_result_lacks(drawn):
    one, two = clicks([[0.5]]), clicks([[0.5]], step=2)
    two["scores"] |= {"noc": {"90": 4.5, "80": 2.0}, "at_limit": {"90": 3, "80": 0}}
    del two["times"]["click_ms_median"], two["times"]["click_ms_mean"]
    (section,) = click_sections([found_of(one, "clicks"), found_of(two, "clicks")], FIGURES)
    table = section.blocks[0]
    assert table.head == ("run", "NoC@80", "NoC@90", "at limit, 80", "at limit, 90", "ms a click")
    assert table.rows == (
        ("clicked, step 1", "3.25", "", "1", "", "4.0"),
        ("clicked, step 2", "2.00", "4.50", "0", "3", ""),
    )
    assert "seconds" not in drawn


@pytest.mark.parametrize("name", clicks_module.SAME)
def test_clicks_on_other_objects_are_not_compared(drawn, name):
    """Each entry that says which objects, at which size and how often."""
    assert len(clicks_module.SAME) == 10
    one, two = clicks([[0.5]]), clicks([[0.5]])
    two["protocol"][name] = 4
    assert len(click_sections([found_of(each, "clicks") for each in (one, two)], FIGURES)) == 2


def test_how_results_of_clicks_are_told_apart():
    def labels(*changes):
        results = [clicks([[0.5]]) for _ in changes]
        for result, change in zip(results, changes, strict=True):
            result["protocol"] |= change
        return unique_labels([found_of(each, "clicks", f"run{i}") for i, each in enumerate(results)])

    assert labels({}) == ["clicked"]
    assert labels({"step": 1}, {"step": 2}) == ["clicked, step 1", "clicked, step 2"]
    assert labels({"seed": 1}, {"seed": 2}) == ["clicked, seed 1", "clicked, seed 2"]
    assert labels({}, {}) == ["clicked, run0/result.json", "clicked, run1/result.json"]


# Annotators of videos, and sweeps


def test_lines_of_annotators(drawn):
    grid = [{"frames": s, "points": p, "pos_iu": (s + p) / 10, "j": 0.1} for s, p in ((1, 1), (1, 5), (3, 1))]
    curve = [{"dots": k, "pos_iu": k / 10, "j": k / 20} for k in (1, 2)]
    result = {
        "protocol": {"data": "d"},
        "scores": {"grid": grid, "corrections": curve},
        "times": {"encode_ms_per_frame": 1.0, "update_ms": 2.0, "frame_ms": None},
    }
    section = interactive_video_section(found_of(result, "interactive-video"), FIGURES)
    assert drawn["annotations"][0] == {"P = 1": [(1, 0.2), (3, 0.4)], "P = 5": [(5, 0.6)]}
    assert drawn["corrections"][0] == {"positive IU": [(1, 0.1), (2, 0.2)], "J": [(1, 0.05), (2, 0.1)]}
    assert section.blocks[-1].text == "A dot takes 2.0 ms to the mask of its frame; encoding, once a frame: 1 ms."


def test_lines_of_a_sweep(drawn):
    """At the middle one of the points that all variants have: seconds of a click or of fine-tuning, where known."""
    protocol = {"data": "x", "tasks": 3, "mode": "interactive", "shots": 1}
    scores = {name: {"mean": iu, "std": None} for name, iu in (("1", 0.1), ("5", 0.5), ("64", 0.6), ("dense", 0.9))}
    fewer = {name: scores[name] for name in ("1", "5", "dense")}
    row = {"seeds": [1], "protocol": protocol, "one_protocol": True}
    click = {"ratio": 3.0, "height": 9, "width": 9}
    variants = [
        {**row, "name": "a", "scores": scores, "click": {**click, "update_ms": 2.0}},
        {
            **row,
            "name": "b",
            "scores": fewer,
            "click": {**click, "update_ms": None},
        },
        {**row, "name": "c", "scores": {}, "click": {**click, "update_ms": 4.0}},
        {
            **row,
            "name": "d",
            "scores": fewer,
            "click": {**click, "update_ms": 2.0},
            "tuning_seconds": {"mean": 1.25, "std": 0.5, "values": [0.9, 1.6]},
        },
    ]
    section = sweep_section(found_of({"variants": variants, "missing": {}}, "sweep"), FIGURES)
    lines, more = drawn["time"]
    assert lines == {"a": [(0.002, 0.5)], "d": [(1.25, 0.5)]} and "at 5 points" in more["up"]
    assert more["logarithmic"] and more["joined"] is False
    (table, *_) = section.blocks
    assert table.head[-1] == "fine-tuning s a task" and [row[-1] for row in table.rows] == ["", "", "1.25 ± 0.50"]
    assert section.protocol == {"data": "x", "tasks": "3", "mode": "interactive", "shots": "1"}
