"""An evaluation has one result: the same command again, other batches, other devices, pmap or jit, saved masks."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import score
from experiments.evaluation.task_rows import read_rows
from experiments.experiment import run
from experiments.settings.command_line import run_app
from tests.experiments.conftest import SHRUNK
from tests.experiments.small_data import write_classes, write_videos
from tests.experiments.tiny_run import make_run
from tests.experiments.whole_runs.one_device import other_process

VIDEOS, CLASSES = "frames@videos:all:instance", "folder@classes:all:class"
MODEL = {"data.buckets": "40x40", "model.sharing": "shared", "model.inference": "distance"}
TASKS = {
    "interactive": {"eval.source": VIDEOS, "eval.mode": "interactive"},
    "semantic": {"eval.source": CLASSES, "eval.mode": "semantic", "eval.shots": 2, "eval.draws": 2},
    "published": {"eval.source": CLASSES, "eval.mode": "semantic", "eval.protocol": "pfenet", "eval.limit": 9},
    "video": {"eval.source": VIDEOS, "eval.mode": "video"},
}
NUMBERS = {"interactive": 11, "semantic": 22, "published": 9, "video": 8}
"""Rows of each: tasks times draws."""
FIRST = ("four", 4, "pmap", "")
"""Devices, batch size (on four devices a multiple of four), and how they are used; what follows is compared with it."""
OTHERS = [
    ("interactive", "four", 8, "jit", ""),
    ("interactive", "one", 1, "jit", ""),
    ("interactive", "one", 3, "pmap", ""),
    ("semantic", "four", 4, "pmap", "again"),
    ("semantic", "one", 3, "jit", ""),
    ("published", "four", 4, "pmap", "again"),
    ("published", "one", 4, "pmap", ""),
    ("video", "four", 4, "pmap", "again"),
    ("video", "one", 1, "jit", ""),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Every evaluation of every task: a workdir `run` and its `masks`, in `four` and `one` by the devices."""
    root = tmp_path_factory.mktemp("same")
    write_videos(root / "videos")
    write_classes(root / "classes")
    make_run(root / "four" / "run", root / "four" / "prepared", **MODEL)
    shutil.copytree(root / "four", root / "one")
    with other_process([words(root, *each) for each in OTHERS if each[1] == "one"]):
        for each in [*((task, *FIRST) for task in TASKS), *OTHERS]:
            if each[1] == "four":
                assert run_app(run, words(root, *each)) == 0
    return root


def words(root: Path, task: str, devices: str, size: int, parallel: str, again: str) -> list[str]:
    folder, name = root / devices, name_of(task, devices, size, parallel, again)
    fields = {
        **SHRUNK,
        **MODEL,
        "data.root": root,
        "data.prepared": folder / "prepared",
        "train.steps": 0,
        "eval.limit": 0,
        "eval.points": "1,5,dense",
        **TASKS[task],
        "eval.batch_size": size,
        "eval.name": name,
        "eval.save": folder / "masks" / name,
    }
    overrides = [f"--config.{field}={value}" for field, value in fields.items()]
    start = ["run", "--config=experiments/configs/quickstart.py", f"--workdir={folder / 'run'}"]
    return [*start, "--mode=eval", f"--parallel={parallel}", *overrides]


def name_of(task: str, devices: str, size: int, parallel: str, again: str) -> str:
    del devices  # have a folder each
    return f"{task}-{size}-{parallel}{again}"


def numbers_of(folder: Path, name: str = "") -> dict:
    """All of a result but when, where and how fast."""
    end = f"-{name}" if name else ""
    result = json.loads((folder / f"result{end}.json").read_text())
    protocol = {key: value for key, value in result["protocol"].items() if key != "predictions"}
    return {"protocol": protocol, "scores": result["scores"], "rows": read_rows(folder / f"tasks{end}.jsonl")}


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    return {str(path.relative_to(folder)): np.array(Image.open(path)) for path in sorted(folder.rglob("*.png"))}


@pytest.mark.parametrize("task", TASKS)
def test_an_evaluation_could_differ(root, task):
    """What is compared below is neither empty nor full: masks have both labels, scores lie between 0 and 1."""
    name = name_of(task, *FIRST)
    numbers, masks = numbers_of(root / "four" / "run", name), masks_of(root / "four" / "masks" / name)
    assert len(numbers["rows"]) == NUMBERS[task] and len(masks) == 3 * NUMBERS[task]
    assert all(0 < each["pos_iu"] < 1 for each in numbers["scores"].values())
    assert {mask.shape for mask in masks.values()} == {(24, 40), (40, 24)}
    assert sum(0 < mask.mean() < 1 for mask in masks.values()) > len(masks) / 2


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: "-".join(map(str, filter(None, case))))
def test_it_is_the_same(root, case):
    """No tolerance: every mask of every task and draw is equal, and so are the counts and what follows from them."""
    task, devices, *_ = case
    first, name = name_of(task, *FIRST), name_of(*case)
    assert numbers_of(root / devices / "run", name) == numbers_of(root / "four" / "run", first)
    masks, expected = masks_of(root / devices / "masks" / name), masks_of(root / "four" / "masks" / first)
    assert masks.keys() == expected.keys()
    for file, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[file], err_msg=file)


@pytest.mark.parametrize("case", [each for each in OTHERS if "one" in each], ids=lambda case: f"{case[0]}-{case[2]}")
def test_saved_masks_score_the_same(root, case, tmp_path):
    """Masks that a single device has left, in other batches, scored twice without the model."""
    expected = numbers_of(root / "four" / "run", name_of(case[0], *FIRST))
    for out in (tmp_path / "first", tmp_path / "second"):
        score.main(["score", str(root / "one" / "masks" / name_of(*case)), f"--out={out}"])
        assert numbers_of(out) == expected


def test_this_process_has_four_devices():
    assert jax.device_count() == 4
