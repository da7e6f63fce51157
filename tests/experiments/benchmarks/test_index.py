"""The benchmark of a large index, on a small one."""

import numpy as np

from data_pipelines.tasks import count_tasks, list_tasks
from experiments.benchmarks import index


def test_every_part_finds_the_index(tmp_path):
    index.make_index(tmp_path, 60)
    tasks = list_tasks(index.make_split(tmp_path, 60), "instance")
    assert count_tasks(tasks) == 60 and (np.diff(tasks.record) >= 0).all() and tasks.record.max() < 12
    for part in index.PARTS:
        found = index.measure_part(tmp_path, 60, part)
        assert found["seconds"] > 0 and found["peak_mib"] >= found["imported_mib"] > 0
        assert (found["choice_ms"] > 0) == part.startswith("training")
