"""How long a generated index of many tasks takes to open, to make a training stream of, and how much memory.

    guided_jax benchmark index [--tasks=10000000] [--workdir=DIR]

Five tasks an image on average, of 80 classes, in images of six sizes. Every part is a process of its own, whose
greatest memory is told. No image is read: what is measured grows with the tasks, and the rest of a start does not.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from data_pipelines.datasets.sources import Split
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.points import parse_points, parse_shots
from data_pipelines.tasks import Tasks, list_tasks, write_index
from experiments.benchmarks.command import define_result, open_result, write_result
from experiments.settings.command_flags import own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.help_texts import Command

COMMAND = Command("guided_jax benchmark index", __doc__)
PARTS = ("open", "training", "training, even", "evaluation")
SIZES = np.array([[375, 500], [500, 375], [333, 500], [480, 640], [426, 640], [640, 480]], np.int32)
IMAGES, CLASSES, CANVAS, CHOICES = 5, 80, (640, 640), 100


class _Blank(Sequence):
    """Records of images whose names are asked for, and nothing else."""

    def __init__(self, number: int):
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, row: int) -> dict[str, Any]:
        segments = dict.fromkeys(("class_id", "instance", "layer", "value", "area", "box"), ())
        sizes = {"height": 0, "width": 0, "frame": 0}
        return {"image_id": b"", "video": b"", "image": b"", "layers": (), "segments": segments, **sizes}


def make_split(folder: Path, tasks: int) -> Split:
    """A split without images, for an index of so many tasks."""
    return Split("generated:train", _Blank(max(1, tasks // IMAGES)), tuple(map(str, range(CLASSES))), folder, "")


def make_index(folder: Path, number: int) -> None:
    """Draws the index, and writes it where `list_tasks` finds it."""
    split, rng = make_split(folder, number), np.random.default_rng(0)
    record = np.sort(rng.integers(0, len(split.records), number, np.int32))
    height, width = SIZES[rng.integers(0, len(SIZES), len(split.records))][record].T
    classes, areas = rng.integers(1, 1 + CLASSES, number, np.int32), rng.integers(1, 90_000, number, np.int32)
    instance, still = np.arange(1, 1 + number, dtype=np.int32), np.full(number, -1, np.int32)
    tasks = Tasks(record, classes, instance, height, width, areas, still, np.zeros(number, np.int32))
    write_index(split, "instance", tasks)


def measure_part(folder: Path, number: int, part: str) -> dict[str, float]:
    """Opens the index and makes what is named of it; in a fresh process.

    Returns:
        seconds, choice_ms (of what an episode is about, in training), peak_mib, and imported_mib, before anything.
    """
    before, began = _peak(), time.perf_counter()
    split, choices = make_split(folder, number), 0.0
    tasks = list_tasks(split, "instance")
    common = {"mode": "interactive", "canvases": [CANVAS], "seed": 0}
    if part.startswith("training"):
        even, draws = float(part.endswith("even")), {"shots": parse_shots("1"), "points": parse_points("5"), "group": 8}
        stream = EpisodeStream([(split, tasks, 1.0)], evenness=even, **draws, **common)
        choices = time.perf_counter()
        for i in range(CHOICES):
            stream.choose(i)
        choices = time.perf_counter() - choices
    elif part == "evaluation":
        EvaluationEpisodes(split, tasks, counts=(5,), batch_size=8, limit=1000, **common)
    seconds = time.perf_counter() - began - choices
    return {"seconds": seconds, "choice_ms": 1e3 * choices / CHOICES, "peak_mib": _peak(), "imported_mib": before}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure_index(number: int) -> dict[str, dict[str, float]]:
    """Measures every part of an index of so many tasks, see `measure_part`."""
    with tempfile.TemporaryDirectory() as folder:
        _apart(make_index, Path(folder), number)
        return {part: _apart(measure_part, Path(folder), number, part) for part in PARTS}


def _apart(function: Callable, *arguments: Any) -> Any:
    """Calls a function in a new process, which has the greatest memory of this one to begin with."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    flags.DEFINE_integer("tasks", 10_000_000, "`N` tasks in the generated index.", 1, 100_000_000, flag_values=values)
    define_result(values, "index")
    read_flags(argv, values, COMMAND)
    workdir = open_result(values)
    found = measure_index(values.tasks)
    print(f"{values.tasks:,} tasks")
    for part, row in found.items():
        memory = f"{row['peak_mib']:5.0f} MiB at most, {row['imported_mib']:.0f} of them before it"
        print(f"{part:>15}: {row['seconds']:6.2f} s, {memory}; {row['choice_ms']:.3f} ms a choice")
    write_result(workdir, "index", {"tasks": values.tasks, "parts": found})


if __name__ == "__main__":
    sys.exit(start(main))
