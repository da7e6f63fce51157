"""The tables of the pages against the files of results."""

import json

import pytest

from docs.tools.comparison_tables import compared_videos
from docs.tools.pages import ROOT, find_pages
from docs.tools.result_tables import percent, percent_spread, quickstart, to_table, video_means
from docs.tools.tables import BLOCK, TABLES, fill, main, read_results, stale_pages


@pytest.fixture(scope="module")
def results() -> dict:
    return read_results()


def test_no_page_is_older_than_the_results(results):
    stale = [str(page.relative_to(ROOT)) for page in stale_pages(results)]
    assert not stale, f"run make results: {stale}"
    assert main(["--check"]) == 0


def test_every_table_is_shown_and_every_file_used(results):
    shown = {name for page in find_pages() for _, name, _ in BLOCK.findall(page.read_text("utf-8"))}
    assert shown == set(TABLES)
    assert {file for source in TABLES.values() for file in source.files} == set(results)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_as_many_cells_in_every_row(name, results):
    made = TABLES[name].make(*(results[file] for file in TABLES[name].files))
    if not made.startswith("```"):
        head, line, *rows = made.splitlines()
        assert rows and len({row.count(" | ") for row in (head, line, *rows)}) == 1


def test_what_a_page_shows_follows_the_results(results):
    page = "before\n<!-- table training-speed -->\nold\n<!-- end of table -->\nafter\n"
    filled = fill(page, results)
    assert filled.startswith("before\n<!-- table training-speed -->\n\n|  | loader | step |")
    assert filled.endswith(" |\n\n<!-- end of table -->\nafter\n") and "old" not in filled
    assert fill(filled, results) == filled
    changed = json.loads(json.dumps(results))
    changed["benchmark_training.json"]["rows"]["full"]["step"] = 77.7
    assert "| 77.7 |" in fill(filled, changed)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<!-- table nothing -->\n<!-- end of table -->", "no table is called nothing; there are: headline"),
        ("<!-- table clicks -->\n", "1 markers of tables make 0 pairs"),
        ("<!-- table clicks -->\n<!-- table video -->\n<!-- end of table -->", "3 markers of tables make 1 pairs"),
    ],
)
def test_markers_that_are_wrong_are_told(page, message, results):
    with pytest.raises(ValueError, match=message):
        fill(page, results)


@pytest.mark.parametrize(
    ("value", "text"), [(0.4911, "49.1"), (0.4755, "47.6"), (0.0765, "7.7"), (0.0, "0.0"), (1.0, "100.0")]
)
def test_shares_are_per_cent_and_halves_go_up(value, text):
    assert percent(value) == text


def test_a_deviation_stands_behind_its_mean():
    assert percent_spread(0.383, 0.0259) == "38.3 ± 2.6"
    assert percent_spread(0.383, None) == "38.3"


def test_a_table_in_markdown():
    assert to_table(["", "1"], [["a", "2"], ["b", "3"]]) == "|  | 1 |\n| --- | --- |\n| a | 2 |\n| b | 3 |"


def test_video_means_are_over_frames_then_objects():
    rows = [
        {"points": 1, "j_by_frame": [0.0, 1.0], "f_by_frame": [0.5, 0.5]},
        {"points": 1, "j_by_frame": [1.0], "f_by_frame": [1.0]},
        {"points": "dense", "j_by_frame": [0.2], "f_by_frame": [0.4]},
    ]
    assert video_means({"rows": rows}, "1") == {"j": 0.75, "f": 0.75, "j_and_f": 0.75}
    assert video_means({"rows": rows}, "dense") == {"j": 0.2, "f": 0.4, "j_and_f": pytest.approx(0.3)}


def test_videos_are_compared_over_seeds_and_each_number_of_points_has_its_seconds():
    def result(seed, points, j, seconds):
        of = {"scores": {points: {"j": {"mean": j}}}, "speed": {"seconds_per_video": seconds}}
        return {**of, "protocol": {"seed": seed}}

    seeds = [
        result(1, "5", 0.1, 2.0),
        result(2, "5", 0.3, 4.0),
        result(1, "dense", 0.5, 5.0),
        result(2, "dense", 0.5, 6.0),
    ]
    one = [result(1, "5", 0.25, 1.0), result(1, "dense", 0.75, 1.5)]
    assert compared_videos({"fine-tuning": seeds, "guided": one}).splitlines()[2:] == [
        "| guided | 25.0 | 75.0 | 1.0 | 1.5 | 1 |",
        "| fine-tuning | 20.0 ± 14.1 | 50.0 ± 0.0 | 3.0 | 5.5 | 2 |",
    ]


def test_the_quickstart_is_shown_as_it_prints():
    scores = {"5": {"pos_iu": 0.5}, "dense": {"pos_iu": 0.75}}
    results = {name: {"scores": scores, "protocol": {"tasks": 7}} for name in ("guided", "unguided")}
    text = quickstart({"results": results, "gap": 0.25, "points_per_label": "5"})
    assert text.splitlines()[1:4] == [
        "positive IU on 7 held-out tasks, by points per label:",
        "                5  dense",
        "    guided  0.500  0.750",
    ]
    assert text.endswith("guidance gains 0.250 at 5 points per label\n```")
