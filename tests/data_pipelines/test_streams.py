"""Every draw has random numbers of its own, and keeps those that it had."""

import ast
from pathlib import Path

import numpy as np

import data_pipelines
import experiments
from data_pipelines.streams import Stream, generator

UNSEEDED = {f"benchmarks/{name}.py" for name in ("click", "index", "page", "score", "train", "video")} | {
    "views.py",
    "datasets/generated.py",
}
"""Where no seed of an experiment is used: see `data_pipelines.streams`; benchmarks draw what they time."""


def test_the_numbers_are_what_they_were():
    """They are part of every seed: with others, no result would be found again."""
    assert {each.name: int(each) for each in Stream} == {
        "CANVAS": 1,
        "EPISODE": 2,
        "LIMIT": 3,
        "TASK": 4,
        "BALANCE": 5,
        "PLAN": 6,
        "VIDEO": 7,
        "CLICKS": 8,
        "ANNOTATOR": 9,
    }
    assert len(Stream.__members__) == len(Stream)  # no two names for one number


def test_a_draw_is_a_function_of_seed_stream_and_numbers():
    drawn = generator(3, Stream.TASK, 5, 1).random(4)
    np.testing.assert_array_equal(drawn, np.random.default_rng([3, 4, 5, 1]).random(4))
    for other in (generator(2, Stream.TASK, 5, 1), generator(3, Stream.PLAN, 5, 1), generator(3, Stream.TASK, 5, 2)):
        assert (other.random(4) != drawn).all()


def test_nothing_else_draws_by_a_seed_of_its_own():
    found = set()
    for package in (data_pipelines, experiments):
        root = Path(package.__file__).parent
        for file in root.rglob("*.py"):
            calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
            names = {getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls}
            if "default_rng" in names:
                found.add(file.relative_to(root).as_posix())
    assert found == UNSEEDED | {"streams.py"}
