"""Video objects, clicks and interactive video have one result: again, in other chunks, on other devices."""

import importlib
import json
import shutil

import numpy as np
import pytest

from tests.experiments.small_data import write_videos
from tests.experiments.tiny_run import make_run
from tests.experiments.whole_runs.one_device import other_process
from tests.experiments.whole_runs.test_same_evaluation import masks_of

VIDEO = ["video", "--source=frames@videos:all", "--points=2,dense", "--draws=2"]
CLICKS = ["clicks", "--source=frames@videos:all:instance", "--clicks=3", "--limit=5"]
DOTS = ["interactive_video", "--source=frames@videos:all", "--frames=1,2", "--points=1,3", "--corrections=3"]
FOUR = {
    "softmax": [*VIDEO, "--chunk=4"],
    "softmax-again": [*VIDEO, "--chunk=4"],
    "union": [*VIDEO, "--multi=union", "--videos=cars", "--chunk=4"],
    "clicks": CLICKS,
    "dots": [*DOTS, "--draws=2"],
}
ONE = {
    "softmax-one": [*VIDEO, "--chunk=1"],
    "union-one": [*VIDEO, "--multi=union", "--videos=cars", "--chunk=1"],
    "clicks-one": CLICKS,
    "dots-one": [*DOTS, "--draws=2"],
}
"""On four devices and on one, where a chunk of frames can be a single one."""
TIMES = {"about", "speed", "times", "seconds", "guide_seconds"}
SAVES = ("softmax", "union", "clicks")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Each of the commands in a workdir of its own, with its `masks`."""
    root = tmp_path_factory.mktemp("same")
    write_videos(root / "videos")
    fields = {"data.root": str(root), "data.buckets": "40x40"}
    make_run(root / "run", root / "prepared", **fields, **{"model.sharing": "shared", "model.inference": "distance"})
    commands = {}
    for name, words in (FOUR | ONE).items():
        shutil.copytree(root / "run", root / name)
        prepared = root / f"prepared-{'one' if name in ONE else 'four'}"
        save = [f"--save={root / name / 'masks'}"] if name.startswith(SAVES) else []
        commands[name] = [*words, f"--workdir={root / name}", f"--config.data.prepared={prepared}", *save]
    with other_process([commands[name] for name in ONE]):
        for name in FOUR:
            module, *_ = words = commands[name]
            importlib.import_module(f"experiments.{module}").main(words)
    return root


def numbers_of(workdir) -> dict:
    """All of the result but when, where and how fast."""
    (path,) = [each for each in workdir.glob("*.json") if each.name not in ("config.json", "run.json")]
    result = {key: value for key, value in json.loads(path.read_text()).items() if key not in TIMES}
    if "videos" in result:
        result["videos"] = [{key: row[key] for key in row if key not in TIMES} for row in result["videos"]]
    return result


@pytest.mark.parametrize("first", [name for name in FOUR if not name.endswith("again")])
def test_what_is_compared_could_differ(root, first):
    """It is neither nothing nor all right, and one number of points is not like another."""
    result = numbers_of(root / first)
    if first in ("softmax", "union"):
        found = [score["pos_iu"] for score in result["scores"].values()]
        assert len(result["rows"]) == (9 if first == "softmax" else 6) and len(set(found)) == 2
    elif first == "clicks":
        found = result["scores"]["mean_iou"]
        assert len(result["objects"]) == 5 and len(found) == 3
    else:
        found = [cell["pos_iu"] for cell in result["scores"]["grid"]]
        assert len(result["objects"]) == 3 and len(found) == 4 and len(result["scores"]["corrections"]) == 3
    assert all(0 < each < 1 for each in found)


@pytest.mark.parametrize(
    ("first", "other"),
    [("softmax", "softmax-again"), *((name.removesuffix("-one"), name) for name in ONE)],
    ids=lambda name: name,
)
def test_it_is_the_same(root, first, other):
    """No tolerance: scores, rows, protocol and masks."""
    assert numbers_of(root / other) == numbers_of(root / first)
    if first in SAVES:
        masks, expected = masks_of(root / other / "masks"), masks_of(root / first / "masks")
        assert masks.keys() == expected.keys() and expected
        for file, mask in masks.items():
            np.testing.assert_array_equal(mask, expected[file], err_msg=file)
