"""The pictures of a report of clicks: which objects, with which clicks, and the masks that were saved."""

import json
import shutil

import cv2
import numpy as np
import pytest

from experiments import clicks
from experiments.reports import click_cases
from experiments.reports.click_cases import click_case_blocks, find_masks, rank_objects
from experiments.reports.clicks import click_sections
from experiments.reports.content import FigureFolder, Picture, Text
from experiments.reports.found import find_all
from guided_jax.episode import UNKNOWN
from guided_jax.scoring.clicks import click_iou
from tests.experiments.tiny_run import make_run

SOURCE = "--source=generated:val[-3:]:instance"


@pytest.fixture(scope="module")
def workdir(prepared, tmp_path_factory):
    """A run of random weights, clicked on, with the masks in its folder."""
    run = make_run(tmp_path_factory.mktemp("report_clicks") / "run", prepared)
    clicks.main(["clicks", f"--workdir={run}", SOURCE, "--clicks=3", "--limit=5", f"--save={run / 'masks'}"])
    return run


@pytest.fixture
def copy(workdir, tmp_path):
    """The run elsewhere, and its result."""
    found = shutil.copytree(workdir, tmp_path / "run")
    return next(found.glob("clicks-*.json"))


def change(path, **entries):
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def blocks_of(path, rows=1):
    (path.parent / "out").mkdir(exist_ok=True)
    return click_case_blocks("run", find_all([path])[0], FigureFolder(path.parent / "out"), rows=rows)


def test_the_order_of_objects():
    ious = {"late": [0.5, 0.5, 0.9], "early": [0.9], "same, worse": [0.1, 0.5, 0.9], "never": [0.6, 0.6, 0.6]}
    result = {
        "protocol": {"clicks": 3},
        "scores": {"noc": {"80": 0, "55": 0}},
        "objects": [{"image": name, "ious": each} for name, each in ious.items()],
    }
    ranked = rank_objects(result)
    assert [(each.row["image"], each.noc) for each in ranked] == [
        ("early", 1.0),
        ("never", 2.0),
        ("late", 3.0),
        ("same, worse", 3.0),
    ]
    assert [each.mean_iou for each in ranked] == pytest.approx([0.9, 0.6, 1.9 / 3, 0.5])


def test_clicks_masks_and_truth_are_those_of_the_result(copy, monkeypatch):
    drawn = {}
    draw = click_cases.plot_episodes

    def record(path, episodes, predictions, **more):
        drawn.update(episodes=episodes, masks=predictions["last mask"], **more)
        draw(path, episodes, predictions, **more)

    monkeypatch.setattr(click_cases, "plot_episodes", record)
    (picture,) = blocks_of(copy)
    assert isinstance(picture, Picture) and picture.photo and "the mask is that after the last" in picture.caption
    assert cv2.imread(str(copy.parent / "out" / picture.file)).std() > 1
    ranked = [each.row for each in rank_objects(json.loads(copy.read_text()))]
    shown = [ranked[0], ranked[len(ranked) // 2], ranked[-1]]
    assert [title.splitlines()[-1] for title in drawn["titles"]] == [row["image"] for row in shown]
    assert [title.split(":")[0] for title in drawn["titles"]] == ["best", "median", "worst"]
    assert drawn["ious"] == {"last mask": [row["ious"][-1] for row in shown]}
    for row, episode, mask in zip(shown, drawn["episodes"], drawn["masks"], strict=True):
        dots = episode.annotation[0, 0]
        assert sorted(map(tuple, row["clicks"])) == [
            (y, x, dots[y, x]) for y, x in zip(*np.nonzero(dots != UNKNOWN), strict=True)
        ]
        y, x, _ = row["clicks"][0]
        assert episode.target[y, x] == 1  # the first click is in the object
        assert click_iou(mask, episode.target) == pytest.approx(row["ious"][-1], abs=1e-9)


def test_without_masks_the_clicks_are_shown(copy):
    change(copy, masks=None)
    (picture,) = blocks_of(copy)
    assert "the masks were not saved (experiments.clicks --save=DIR)" in picture.caption


def test_where_masks_are_found(copy, tmp_path):
    (found,) = find_all([copy])
    assert find_masks(found) == copy.parent / "masks"
    shutil.move(copy.parent / "masks", tmp_path / "elsewhere")
    change(copy, masks=str(tmp_path / "elsewhere"))
    assert find_masks(find_all([copy])[0]) == tmp_path / "elsewhere"


def test_why_there_are_no_pictures(copy):
    def told(path):
        (block,) = blocks_of(path)
        assert isinstance(block, Text)
        return block.text

    best = rank_objects(json.loads(copy.read_text()))[0].row
    path = copy.parent / "masks" / best["image"] / f"{best['object']}.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(path), 1 - mask)
    assert f"{path} is not of this result: it has another size, or another IoU" in told(copy)
    path.unlink()
    assert f"{path} is missing, or no image" in told(copy)
    shutil.rmtree(copy.parent / "masks")
    assert "the masks are no longer in masks" in told(copy)
    result = json.loads(copy.read_text())
    for each in result["objects"]:
        each["image"] += "x"
    change(copy, objects=result["objects"], masks=None)
    assert "are these the same data?" in told(copy)


def test_a_field_that_came_later_than_the_run_has_its_default(copy):
    change(copy, about={})
    config = json.loads((copy.parent / "config.json").read_text())
    del config["eval"]["name"]
    (copy.parent / "config.json").write_text(json.dumps(config))
    assert isinstance(blocks_of(copy)[0], Picture)


def test_a_forced_result_says_so(copy):
    def first():
        (section,) = click_sections(find_all([copy]), FigureFolder(copy.parent))
        return section.blocks[0]

    assert not isinstance(first(), Text)
    protocol = json.loads(copy.read_text())["protocol"]
    change(copy, protocol={**protocol, "forced": True, "seen_in_training": ["bus"]})
    assert first() == Text("quickstart: forced; the model was trained on the evaluated bus, so nothing was held out.")
