"""Reports: of results by hand, with means and deviations by hand, and of a run that was trained."""

import base64
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from experiments import report as module
from experiments import score
from experiments.evaluation.video_scores import NOTHING_SCORED
from experiments.reports import cases, click_cases, video_cases
from experiments.reports.content import FigureFolder, Picture, Section, Table, Text
from experiments.reports.found import find_all, kind_of
from experiments.reports.pages import embed_picture, to_html, to_markdown
from experiments.reports.published import FOLDS, published_for
from experiments.reports.ranks import choose_cases, row_title
from experiments.reports.series import Series, join_seeds, pool_shots, split_by_protocol
from experiments.reports.videos import mean_track
from experiments.settings.command_line import guarded
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import to_dict
from tests.experiments.reports.made_results import clicks, evaluation, of_fold, video, write


def make(out: Path, *runs, **flags) -> list[Section]:
    words = [f"--{name}={value}" for name, value in {"out": out, "cases": 0, **flags}.items()]
    return module.write_report(module.parse(["report", *map(str, runs), *words]))


class Page(HTMLParser):
    """What a page holds; refuses tags that are not closed in their order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tables, self.images, self.links, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "img":
            self.images.append(dict(attrs)["src"])
        self.links += [value for name, value in attrs if name in ("href", "src") and not value.startswith("data:")]
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def tables_of(sections: list[Section]) -> list[Table]:
    return [block for section in sections for block in section.blocks if isinstance(block, Table)]


def check_pages(out: Path, sections: list[Section]) -> None:
    """Both files hold every table, every paragraph and every picture; the page needs no other file."""
    page, text = Page((out / "report.html").read_text()), (out / "report.md").read_text()
    assert all(link.startswith("#s") for link in page.links)
    pictures = [block for section in sections for block in section.blocks if isinstance(block, Picture)]
    assert len(page.images) == len(pictures) > 0
    for picture, source in zip(pictures, page.images, strict=True):
        kind, data = source.removeprefix("data:image/").split(";base64,")
        assert kind == ("webp" if picture.photo else "png")
        shown = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        file = cv2.imread(str(out / picture.file))
        assert shown.shape == file.shape and np.abs(shown.astype(int) - file).mean() < (8 if picture.photo else 1e-9)
        assert cv2.imread(str(out / picture.file)).std() > 1
        assert f"]({picture.file})" in text
    for table in tables_of(sections):
        rows = [list(table.head), *map(list, table.rows)]
        assert rows in page.tables
        assert all(len(row) == len(table.head) for row in table.rows)
        assert all(cell.replace("_", "\\_") in text for row in table.rows for cell in row)
    for section in sections:
        assert all("".join(block.text) in "".join(page.words) for block in section.blocks if isinstance(block, Text))


def row_of(sections, label: str, caption: str) -> tuple[str, ...]:
    (table,) = [each for each in tables_of(sections) if each.caption.startswith(caption)]
    return next(row for row in table.rows if row[0] == label)


def test_seeds_of_one_configuration_become_a_mean(tmp_path):
    for seed, iu in ((1, 0.1), (2, 0.2), (3, 0.6)):
        result = evaluation(seed=seed, scores=((iu, 0.5), (iu + 0.1, 0.5)))
        write(tmp_path / f"seed-{seed}", result, config=Config(seed=seed))
    other = Config()
    other.model.feature_width = 7
    write(tmp_path / "wide", evaluation(name="wide", seed=1), config=other)
    sections = make(tmp_path / "out", *(tmp_path / name for name in ("seed-1", "seed-2", "seed-3", "wide")))
    assert row_of(sections, "guided", "Positive IU x 100, pooled") == (
        "guided",
        "30.0 ± 26.5",
        "40.0 ± 26.5",
        "3 seeds",
    )
    assert row_of(sections, "guided", "Mean over classes") == ("guided", "50.0 ± 0.0", "50.0 ± 0.0", "3 seeds")
    assert row_of(sections, "wide", "Positive IU x 100, pooled") == ("wide", "25.0", "50.0", "one run")
    assert row_of(sections, "a", "Positive IU x 100 of each class, 1 point per label") == ("a", "15.0", "12.5")
    check_pages(tmp_path / "out", sections)


def test_seeds_of_different_configurations_stay_apart(tmp_path):
    for seed, width in ((1, 8), (2, 16)):
        config = Config(seed=seed)
        config.model.feature_width = width
        write(tmp_path / f"seed-{seed}", evaluation(seed=seed), config=config)
    series = join_seeds(find_all([tmp_path / "seed-1", tmp_path / "seed-2"]))
    assert [len(each.found) for each in series] == [1, 1]
    (group,) = split_by_protocol(series)
    assert [each.label for each in group] == ["guided, seed-1", "guided, seed-2"]


def test_a_seed_of_an_older_version_belongs_to_the_others(tmp_path):
    """It lacks a field that came later; what it has too much cannot be compared."""
    for seed in (1, 2, 3):
        write(tmp_path / f"seed-{seed}", evaluation(seed=seed), config=Config(seed=seed))
    folders = [tmp_path / "seed-1", tmp_path / "seed-2", tmp_path / "seed-3"]
    older = to_dict(Config(seed=1))
    del older["model"]["metric"]
    (folders[0] / "config.json").write_text(json.dumps(older))
    assert [len(each.found) for each in join_seeds(find_all(folders))] == [3]
    older["model"]["color"] = "red"
    (folders[0] / "config.json").write_text(json.dumps(older))
    assert [len(each.found) for each in join_seeds(find_all(folders))] == [1, 2]


def test_the_same_result_twice_counts_once(tmp_path):
    run_ = write(tmp_path / "run", evaluation())
    assert len(find_all([run_, run_ / "result.json", run_])) == 1


def test_draws_of_a_single_run_are_its_deviation(tmp_path):
    result = evaluation(draws=3)
    for each in result["scores"].values():
        each["deviation"] = {"pos_iu": 0.04, "class_mean": 0.02}
    sections = make(tmp_path / "out", write(tmp_path / "run", result))
    pooled = row_of(sections, "guided", "Positive IU x 100, pooled")
    assert pooled == ("guided", "25.0 ± 4.0", "50.0 ± 4.0", "3 draws")
    assert row_of(sections, "guided", "Mean over") == ("guided", "50.0 ± 2.0", "75.0 ± 2.0", "3 draws")


def test_other_protocols_are_other_sections(tmp_path):
    write(tmp_path / "a", evaluation())
    write(tmp_path / "b", evaluation(void="counts"))
    write(tmp_path / "c", evaluation(name="other"))
    sections = make(tmp_path / "out", *(tmp_path / name for name in "abc"))
    assert [len(section.blocks[0].rows) for section in sections] == [2, 1]
    assert sections[1].protocol["void"] == "counts" and "void" not in sections[0].protocol


OTHERWISE = {
    "data": "things:test",
    "data_version": "2",
    "mode": "semantic",
    "classes": ["a"],
    "chosen_classes": "a",
    "left_out_classes": ["b"],
    "lists": {"files": "x", "hash": "1", "lines": 2},
    "episodes": "hsnet: some",
    "tasks": 5,
    "tasks_of_data": 9,
    "limit": 3,
    "max_side": 40,
    "min_area": 7,
    "void": "counts",
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_scored_otherwise_is_not_compared(tmp_path, name):
    """Neither in one section nor as two seeds of one thing."""
    write(tmp_path / "a", evaluation(seed=1), config=Config(seed=1))
    write(tmp_path / "b", evaluation(**{"seed": 2, name: OTHERWISE[name]}), config=Config(seed=2))
    series = join_seeds(find_all([tmp_path / "a", tmp_path / "b"]))
    assert [len(each.found) for each in series] == [1, 1]
    assert [len(each) for each in split_by_protocol(series)] == [1, 1]


@pytest.mark.parametrize(
    "name", ["source", "points", "accumulation", "forced", "seen_in_training", "step", "draws", "shots"]
)
def test_what_may_stand_side_by_side_is_no_seed_of_the_other(tmp_path, name):
    write(tmp_path / "a", evaluation(seed=1), config=Config(seed=1))
    write(tmp_path / "b", evaluation(**{"seed": 2, name: 77}), config=Config(seed=2))
    series = join_seeds(find_all([tmp_path / "a", tmp_path / "b"]))
    assert [len(each.found) for each in series] == [1, 1]
    assert [len(each) for each in split_by_protocol(series)] == [2]


def test_a_seed_that_comes_twice_makes_no_mean(tmp_path):
    """Two runs under one seed are one run, or differ in what results do not tell: neither is a deviation over seeds."""
    for name, seed in {"a": 1, "b": 2, "c": 2}.items():
        write(tmp_path / name, evaluation(seed=seed), config=Config(seed=seed))
    series = join_seeds(find_all([tmp_path / name for name in "abc"]))
    assert [len(each.found) for each in series] == [1, 1, 1]
    (group,) = split_by_protocol(series)
    assert [each.label for each in group] == ["guided, a", "guided, b", "guided, c"]


def test_accuracy_over_shots(tmp_path):
    shots = {1: 0.2, 5: 0.3, 2: 0.25}
    for number, iu in shots.items():
        result = evaluation(mode="semantic", shots=number, scores=((iu, 0.5), (2 * iu, 0.5)))
        write(tmp_path / "run", result, f"result-{number}.json")
    found = find_all([tmp_path / "run"])
    (series,) = split_by_protocol(join_seeds(found))
    assert sorted(each.label for each in series) == ["guided, 1-shot", "guided, 2-shot", "guided, 5-shot"]
    (pooled,) = pool_shots(series).values()
    assert [(each.protocol["shots"], each.scores("1", "pos_iu").mean) for each in pooled] == sorted(shots.items())
    sections = make(tmp_path / "out", tmp_path / "run")
    assert any(isinstance(each, Picture) and each.file.endswith("shots.png") for each in sections[0].blocks)
    check_pages(tmp_path / "out", sections)


def test_accumulations_side_by_side_and_the_mean_of_folds(tmp_path):
    for fold, mean in enumerate((0.1, 0.2, 0.3, 0.6)):
        write(tmp_path / f"fold-{fold}", of_fold(fold, mean=mean))
    sections = make(tmp_path / "out", *(tmp_path / f"fold-{fold}" for fold in range(4)))
    assert [section.title for section in sections][-1] == "PASCAL-5i by folds" and len(sections) == 5
    (table,) = sections[-1].blocks
    assert table.head == ("points per label", "fold 0", "fold 1", "fold 2", "fold 3", "mean of 4")
    assert table.rows[1] == ("dense", "10.0", "20.0", "30.0", "60.0", "30.0")
    row = row_of(sections[:1], "few_shot-0", "The same predictions")
    assert row == ("few_shot-0", "1", *["45.4 ± 1.2"] * 5, "70.5", "70.2")  # FB-IoU has a mean over draws alone
    check_pages(tmp_path / "out", sections)
    *_, three = make(tmp_path / "out", *(tmp_path / f"fold-{fold}" for fold in range(3)))
    assert three.blocks[0].head[-1] == "mean of 3 (the published mean is of 4)"


def test_published_figures_only_for_their_task(tmp_path):
    result = of_fold(1)
    rows = published_for("evaluation", result)
    assert [(each.figure, each.ours(result)) for each in rows] == [("50.6", "45.4"), ("55.3", "45.4")]
    assert {each.figure for each in published_for("evaluation", of_fold(1, shots=5))} == {"50.0", "58.1"}
    assert published_for("evaluation", of_fold(1, shots=2)) == []
    own = of_fold(1)
    own["protocol"]["episodes"] = "hsnet: 1,000 episodes of its code"
    *_, of_hsnet = published_for("evaluation", own)
    assert (of_hsnet.figure, of_hsnet.ours(own)) == ("59.7", "45.4") and "mean of the folds" in of_hsnet.what
    assert published_for("evaluation", evaluation()) == []
    forced = of_fold(1)
    forced["protocol"]["forced"] = True
    assert published_for("evaluation", forced) == []
    others = {"source": "coco:val2017:class", "mode": "interactive", "chosen_classes": "not fold:1"}
    for field, value in others.items():
        elsewhere = of_fold(1)
        elsewhere["protocol"][field] = value
        assert published_for("evaluation", elsewhere) == []
    learnt = of_fold(2, trained_on={"mode": "interactive"})
    learnt["scores"]["10"] = {"pos_iu": 0.31, "class_mean": 0.3}
    cross = published_for("evaluation", learnt)[:2]
    assert [(each.figure, each.ours(learnt)) for each in cross] == [("26.4", "25.0"), ("+6", "+6.0")]
    for name, mean in {("co-FCN", 1): 41.1, ("co-FCN", 5): 41.4, ("OSLSM", 1): 40.8, ("OSLSM", 5): 43.9}.items():
        assert np.mean(FOLDS[name]) == pytest.approx(mean, abs=0.06)
    sections = make(tmp_path / "out", write(tmp_path / "run", result))
    assert any(table.head[:4] == ("measured", "published", "ours", "run") for table in tables_of(sections))


def test_videos(tmp_path):
    write(tmp_path / "run", video(("5", "dense")), "video-davis.json")
    write(tmp_path / "run", video(step=7, seconds=4.0), "video-davis-2.json")
    sections = make(tmp_path / "out", tmp_path / "run")
    (section,) = sections
    assert section.title == "Video objects on davis:val"
    main, published, *objects = tables_of(sections)
    # Files come by name: video-davis-2.json before video-davis.json.
    assert [row[:3] for row in main.rows] == [
        ("film, step 7", "dense", "50.0"),
        ("film, step 3", "5", "50.0"),
        ("film, step 3", "dense", "50.0"),
    ]
    assert [row[1:3] for row in published.rows if row[3] == "film, step 3"] == [
        ("33.3", "30.0"),
        ("87 %", "80 %"),
        ("~ 3 s a video", "2.00 s a video"),
    ]
    assert [row[0] for row in objects[-1].rows] == ["dog", "cat"]
    assert objects[-1].rows[0][2:] == ("80.0",) * 6
    check_pages(tmp_path / "out", sections)
    assert published_for("video", video(every=4)) == [] == published_for("video", video(source="davis:train"))
    part = published_for("video", video())
    assert [each.ours(video()) for each in part] == ["30.0", None, "2.00 s a video"]


def test_videos_of_which_one_result_scores_nothing(tmp_path):
    """With two shots no frame is left, say: the other result is shown, and no picture is drawn of nothing."""
    nothing = video(seconds=4.0, shots=2)
    part = dict.fromkeys(("mean", "recall", "decay"))
    nothing["scores"]["dense"] |= {"j_and_f": None, "j": part, "f": part, "pos_iu": None}
    nothing["rows"] = []
    write(tmp_path / "run", nothing, "video-2.json")
    write(tmp_path / "run", video(), "video-1.json")
    (section,) = make(tmp_path / "out", tmp_path / "run", cases=1)
    main, *_ = tables_of([section])
    assert [row[2] for row in main.rows] == ["50.0", "-"]
    texts = [each.text for each in section.blocks if isinstance(each, Text)]
    assert texts[-1] == f"film, 2-shot: no pictures of single objects, for {NOTHING_SCORED}"


def test_a_mean_over_videos_of_any_length():
    track = mean_track([[1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert track[0] == (0.0, 0.5) and track[-1] == (1.0, 0.0)
    assert track[10][1] == pytest.approx((1 - track[10][0]) / 2)


def test_clicks(tmp_path):
    ious = [[0.1, 0.2, 0.3, 0.4, 0.5], [0.9], [0.5, 0.6, 0.7, 0.8, 0.9]]
    write(tmp_path / "run", clicks(ious), "clicks-voc.json")
    sections = make(tmp_path / "out", tmp_path / "run")
    noc, means, cases = tables_of(sections)
    assert noc.rows == (("clicked", "3.25", "1", "4.0"),)
    assert means.head == ("clicks", "1", "2", "3", "5") and means.rows == (("clicked", "50.0", "56.7", "63.3", "76.7"),)
    # Clicks until 80 %: 1, 4, and the limit of 5 where it is never reached.
    assert [row[:3] for row in cases.rows] == [
        ("best", "i1 cat", "1.0"),
        ("median", "i2 cat", "4.0"),
        ("worst", "i0 cat", "5.0"),
    ]
    assert cases.rows[0][3:] == ("90.0",) * 4
    check_pages(tmp_path / "out", sections)


def test_interactive_video(tmp_path):
    grid = [
        {"frames": 1, "points": 1, "pos_iu": 0.2, "j": 0.1, "deviation": {"pos_iu": 0.05, "j": 0.02}},
        {"frames": 1, "points": 5, "pos_iu": 0.4, "j": 0.3},
        {"frames": 2, "points": 1, "pos_iu": 0.3, "j": 0.2},
    ]
    result = {
        "name": "live",
        "protocol": {"task": "interactive video", "data": "davis:val", "step": 1},
        "scores": {"grid": grid, "corrections": [{"dots": k, "pos_iu": k / 10, "j": k / 20} for k in range(1, 5)]},
        "times": {"encode_ms_per_frame": 50.0, "update_ms": 2.5, "frame_ms": 1.5},
    }
    sections = make(tmp_path / "out", write(tmp_path / "run", result, "interactive-video.json"))
    ious, j, corrections = tables_of(sections)
    assert ious.head == j.head == ("S", "P = 1", "P = 5")
    assert ious.rows == (("1", "20.0 ± 5.0", "40.0"), ("2", "30.0", ""))
    assert j.rows == (("1", "10.0 ± 2.0", "30.0"), ("2", "20.0", ""))
    assert (ious.caption.split()[0], j.caption.split()[0]) == ("Positive", "J")
    assert corrections.head == ("dots", "1", "2", "3")
    assert corrections.rows == (("positive IU", "10.0", "20.0", "30.0"), ("J", "5.0", "10.0", "15.0"))
    told = "A dot takes 2.5 ms to the mask of its frame, 1.5 ms to that of each other frame; encoding, once a frame: "
    assert sections[0].blocks[-1] == Text(f"{told}50 ms.")
    check_pages(tmp_path / "out", sections)


def test_a_sweep(tmp_path):
    score = {"1": {"mean": 0.25, "std": 0.05, "values": [0.2, 0.3]}, "dense": {"mean": 0.5, "std": None, "values": []}}
    row = {"name": "late", "seeds": [1, 2], "scores": score, "parameters": {"total": 9, "learning": 9},
           "click": {"update_ms": 2.0, "ratio": 3.0, "height": 9, "width": 9}, "training_seconds": None,
           "weight_variation": None, "protocol": {"tasks": 3, "data": "x", "mode": "interactive", "shots": 1},
           "one_protocol": True}  # fmt: skip
    table = {"variants": [row, {**row, "name": "early", "scores": {}}], "missing": {"early/seed-1": "not run yet"}}
    sections = make(tmp_path / "out", write(tmp_path / "space", table, "table.json"))
    assert sections[0].title == "Sweep space"
    (shown,) = tables_of(sections)
    assert shown.rows == (("late", "25.0 ± 5.0", "50.0", "9", "9", "2.00", "3.0", ""),)
    told = [each.text for each in sections[0].blocks if isinstance(each, Text)]
    assert "Missing (not run yet): early/seed-1." in told
    check_pages(tmp_path / "out", sections)


def test_photographs_are_no_larger_than_the_page_and_lines_stay(tmp_path):
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (800, 2400, 3), np.uint8), (0, 0), 3)
    cv2.imwrite(str(tmp_path / "a.png"), photo)
    file = (tmp_path / "a.png").read_bytes()
    kind, data, size = embed_picture(tmp_path / "a.png", photo=True)
    assert (kind, size) == ("webp", (1200, 400)) and len(data) < len(file) / 10
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (400, 1200, 3)
    assert np.abs(shown - cv2.resize(photo, (1200, 400), interpolation=cv2.INTER_AREA).astype(float)).mean() < 4
    assert embed_picture(tmp_path / "a.png", photo=False) == ("png", file, (2400, 800))


def test_how_columns_are_set(tmp_path):
    words = "a sentence that is to be broken"
    table = Table(("run", "IoU", "over", "note"), (("a", "1.0 ± 0.2", "one run", words), ("b", "-", "", "")))
    page = to_html("x", [Section("s", [table], {})], tmp_path)
    assert '<td class="name">a</td><td>1.0 ± 0.2</td><td class="name">one run</td><td class="words">a sent' in page
    assert '<th scope="col">IoU</th>' in page and '<th scope="col" class="name">over</th>' in page


def test_what_markup_may_not_do(tmp_path):
    title = "<script>a & b</script> | *x*"
    sections = [Section(title, [Table((title, "y"), ((title, "1"),)), Text(title)], {"a_b": title})]
    page = Page(to_html(title, sections, tmp_path))
    assert "script" not in page.open and page.tables[0] == [[title, "y"], [title, "1"]]
    assert "<script>" not in to_html(title, sections, tmp_path)
    text = to_markdown(title, sections)
    assert "\\<script>" in text and "\\*x\\*" in text
    assert next(line for line in text.splitlines() if line.startswith("| \\<")).count(" | ") == 1


@pytest.mark.parametrize(
    ("number", "rows", "expected"),
    [
        (9, 2, {"best": [0, 1], "median": [3, 4], "worst": [7, 8]}),
        (3, 2, {"best": [0], "median": [1], "worst": [2]}),
        (2, 2, {"best": [0], "worst": [1]}),
        (1, 3, {"best": [0]}),
        (0, 3, {}),
    ],
)
def test_the_cases_of_a_ranking(number, rows, expected):
    assert choose_cases(number, rows) == expected


def test_titles_fit_their_rows():
    assert row_title(("worst:", "drift-straight", "object 1, J&F 5.4"), (480, 854)).splitlines() == [
        "worst:",
        "drift-straight",
        "object 1, J&F",
        "5.4",
    ]
    assert row_title(("best: dog", "", "x" * 40), (100, 100)) == "best: dog\n" + "x" * 30 + "\n" + "x" * 10
    assert row_title(("some longer name",), (10, 1000)).splitlines() == ["some", "longer", "name"]


def test_kinds():
    assert (
        kind_of(evaluation()) == "evaluation" and kind_of(video()) == "video" and kind_of(clicks([[0.5]])) == "clicks"
    )
    for other in ({}, [], None, {"protocol": {}, "scores": {}}, {"protocol": {"task": "x"}, "scores": {"a": 1}}):
        assert kind_of(other) is None
    assert kind_of({"protocol": {"data": "d", "tasks": 1}, "scores": {"1": {"pos_iu": 0.5}}}) is None


def spoiled(folder: Path) -> dict[str, Path]:
    write(folder / "young", {}, "other.json", Config())
    write(folder / "foreign", {"a": 1}, "data.json")
    (folder / "broken").mkdir()
    (folder / "broken" / "result.json").write_text("{")
    lacking = evaluation()
    del lacking["scores"]["5"]["classes"]
    lacking["scores"] = {"1": {"pos_iu": 0.5, "class_mean": "high", "classes": {"a": 1, "b": 2}}}
    write(folder / "lacking", lacking)
    return {each.name: each for each in folder.iterdir()} | {"nowhere": folder / "nowhere"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("young", "young: the run has no result yet; go on with it, or score it with --mode=eval"),
        ("foreign", "foreign: is no run: it holds no result (result.json, table.json"),
        ("broken", "result.json: cannot be read"),
        ("nowhere", "nowhere: no such folder or file"),
        ("lacking", "result.json: a result lacks what its kind has"),
    ],
)
def test_what_is_no_run_is_one_line(tmp_path, capsys, name, message):
    runs = spoiled(tmp_path / "runs")
    good = write(tmp_path / "good", evaluation())
    assert guarded(lambda: module.main(["report", str(good), str(runs[name]), f"--out={tmp_path / 'out'}"])) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith("error: ") and message in told[0]
    assert not (tmp_path / "out" / "report.md").exists()


DAMAGED = [
    ("evaluation", ("scores", "5", "pos_iu"), "half"),
    ("evaluation", ("scores", "5", "classes"), ["a"]),
    ("evaluation", ("scores", "5", "deviation"), {"pos_iu": 0.1}),
    ("evaluation", ("protocol", "tasks"), "four"),
    ("evaluation", ("about",), "x"),
    ("video", ("scores", "dense", "j"), {"mean": 0.5}),
    ("video", ("rows",), [{"video": "bear"}]),
    ("video", ("rows",), {}),
    ("video", ("speed",), {"seconds_per_video": 1.0}),
    ("clicks", ("objects",), [{"image": "a", "object": "cat"}]),
    ("clicks", ("scores", "mean_iou"), 0.5),
    ("clicks", ("protocol", "clicks"), None),
    ("clicks", ("scores", "mean_iou"), [0.5]),
    ("clicks", ("objects", 1, "ious"), []),
]


@pytest.mark.parametrize(
    ("kind", "keys", "value"), DAMAGED, ids=[f"{k}: {'.'.join(map(str, keys))}" for k, keys, _ in DAMAGED]
)
def test_a_damaged_result_is_one_line_that_names_it(tmp_path, capsys, kind, keys, value):
    result = {"evaluation": evaluation(), "video": video(), "clicks": clicks([[0.5], [0.9]])}[kind]
    part = result
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    run_ = write(tmp_path / "run", result, "damaged.json")
    assert guarded(lambda: module.main(["report", str(run_), f"--out={tmp_path / 'out'}", "--cases=0"])) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert (
        f"damaged.json: a result lacks what its kind has: {'.'.join(map(str, keys))}" in told
        and "score it again" in told
    )
    assert not (tmp_path / "out" / "report.md").exists()


def test_a_fault_of_ours_is_no_fault_of_a_file(tmp_path, monkeypatch):
    """It keeps its traceback, in the tables as in the pictures of single tasks and objects."""

    def fail(*_, **__):
        return {}["ours"]

    clicked = clicks([[0.5]])
    clicked["protocol"] |= {
        "source": "s",
        "classes": "",
        "lists": "",
        "min_area": 0,
        "max_side": 0,
        "limit": 0,
        "seed": 0,
    }
    clicked["objects"][0]["clicks"] = [[0, 0, 1]]
    results = {"evaluation": evaluation(), "video": video(), "clicks": clicked}
    of = {kind: find_all([write(tmp_path / kind, each, config=Config())])[0] for kind, each in results.items()}
    series, folder = Series("x", (of["evaluation"],)), FigureFolder(tmp_path)
    for place, call in [
        (cases, lambda: cases.case_blocks(series, folder, rows=1)),
        (click_cases, lambda: click_cases.click_case_blocks("x", of["clicks"], folder, rows=1)),
        (video_cases, lambda: video_cases.video_case_blocks("x", of["video"], folder, rows=1)),
    ]:
        monkeypatch.setattr(place, "_picture", fail)
        with pytest.raises(KeyError, match="ours"):
            call()
    monkeypatch.setattr(module, "make_sections", fail)
    with pytest.raises(KeyError, match="ours"):
        guarded(lambda: module.main(["report", str(tmp_path / "clicks"), f"--out={tmp_path / 'out'}"]))


def test_what_is_asked_for_wrongly(tmp_path):
    run_ = write(tmp_path / "run", evaluation())
    for words, message in [
        ([], "no run is named"),
        ([run_ / "result.json", "--cases=-1"], "--cases=-1: at least 0"),
        ([run_, "--config.eval.limit=3"], "--config.eval.limit: is the run's own; to be set here are data.root"),
        ([run_, "--onto=x"], "--onto: no such flag"),
    ]:
        with pytest.raises(UserError, match=message):
            module.parse(["report", *map(str, words)])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        make(tmp_path / "file", run_)
    with pytest.raises(UserError, match=r"config.json: is no result that a report can be made of"):
        make(tmp_path / "out", write(tmp_path / "two", evaluation(), config=Config()) / "config.json")


@pytest.fixture(scope="module")
def trained(command, run_at_random, tmp_path_factory):
    """A run and its masks."""
    folder = tmp_path_factory.mktemp("trained")
    run_at_random(command(folder / "run", **{"eval.points": "1,5,dense", "eval.save": folder / "masks"}))
    return folder


def pictured(sections: list[Section]) -> list[str]:
    return [each.caption for section in sections for each in section.blocks if isinstance(each, Picture)]


def test_a_trained_run_with_its_best_and_worst_tasks(trained, tmp_path):
    sections = make(tmp_path / "out", trained / "run", cases=1)
    result = json.loads((trained / "run" / "result.json").read_text())
    row = row_of(sections, "quickstart", "Positive IU x 100, pooled")
    assert row[1:-1] == tuple(f"{100 * each['pos_iu']:.1f}" for each in result["scores"].values())
    assert (
        pictured(sections)[-1]
        == "quickstart: best, median and worst tasks by positive IU, 5 points per label, first draw"
    )
    check_pages(tmp_path / "out", sections)
    (at_dense,) = make(tmp_path / "dense", trained / "run", cases=1, points="dense")
    assert pictured([at_dense])[-1].endswith("worst tasks by positive IU, dense, first draw")


def test_pictures_of_saved_masks_need_no_model(trained, tmp_path):
    score.main(["score", str(trained / "masks"), f"--out={tmp_path / 'scored'}"])
    sections = make(tmp_path / "out", tmp_path / "scored", cases=1)
    make(tmp_path / "model", trained / "run", cases=1)
    assert len(pictured(sections)) == 2
    ours, theirs = (cv2.imread(str(next((tmp_path / name).glob("*cases.png")))) for name in ("out", "model"))
    np.testing.assert_array_equal(ours, theirs)


def test_why_there_are_no_pictures(trained, tmp_path):
    def told(folder, **flags):
        (section,) = make(tmp_path / "out", folder, cases=1, **flags)
        return next(each.text for each in section.blocks if isinstance(each, Text))

    assert "has no score at 7 points, but at 1, 5, dense" in told(trained / "run", points="7")
    copy = shutil.copytree(trained / "run", tmp_path / "copy")
    lines = (copy / "tasks.jsonl").read_text().splitlines()
    (copy / "tasks.jsonl").write_text("\n".join(lines[1:]))
    assert "tasks.jsonl is not of result.json: its counts give another score" in told(copy)
    (copy / "tasks.jsonl").unlink()
    assert "tasks.jsonl: cannot be read" in told(copy)
    shutil.copy(trained / "run" / "tasks.jsonl", copy)
    shutil.rmtree(copy / "checkpoints")
    assert "holds no checkpoint" in told(copy)
    (section,) = make(tmp_path / "out", write(tmp_path / "hand", evaluation()), cases=1)
    assert "does not tell its configuration" in section.blocks[-1].text
