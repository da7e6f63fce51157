import numpy as np
import pytest

from data_pipelines.canvas import parse_canvases
from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.record import to_record
from data_pipelines.datasets.sources import open_source
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import batches
from data_pipelines.points import DENSE, parse_points, parse_shots
from data_pipelines.tasks import count_tasks, get_task, list_tasks, task_target
from guided_jax.episode import UNKNOWN

pytestmark = pytest.mark.real_data
CANVASES = parse_canvases("384x512,512x384,512x512,512x896")


@pytest.fixture(scope="module")
def voc(real_data, tmp_path_factory):
    (source,) = parse_sources("voc:val")
    split = open_source(source, real_data / "data", tmp_path_factory.mktemp("voc"))
    return split, list_tasks(split, source.unit)


@pytest.fixture(scope="module")
def davis(real_data, tmp_path_factory):
    (source,) = parse_sources("davis:val[:100]")
    split = open_source(source, real_data / "data", tmp_path_factory.mktemp("davis"))
    return split, list_tasks(split, source.unit)


def test_index_agrees_with_the_masks(voc):
    split, tasks = voc
    assert len(np.unique(tasks.record)) == 256
    for row in range(0, count_tasks(tasks), 10):
        task = get_task(tasks, row)
        target = task_target(to_record(split.records[task.record]), task)
        assert target.shape == (task.height, task.width)
        assert (target == 1).sum() == task.area
        assert (target == UNKNOWN).any()  # VOC outlines every object with void


@pytest.mark.parametrize(("mode", "data"), [("interactive", "voc"), ("semantic", "voc"), ("video", "davis")])
def test_real_batches(mode, data, request):
    split, tasks = request.getfixturevalue(data)
    stream = EpisodeStream(
        [(split, tasks, 1.0)],
        mode=mode,
        shots=parse_shots("1"),
        points=parse_points("5"),
        canvases=CANVASES,
        seed=0,
        group=4,
    )
    for batch in batches(stream, 4, stop=5):
        for annotation, target, size in zip(batch.annotation[:, 0, 0], batch.target, batch.query_size, strict=True):
            assert np.bincount(annotation[annotation != UNKNOWN]).tolist() == [5, 5]
            assert (target[size[0] :] == UNKNOWN).all() and (target[:, size[1] :] == UNKNOWN).all()
            assert (target == 1).any()


def test_real_evaluation_batches(voc):
    episodes = EvaluationEpisodes(
        *voc, mode="interactive", counts=(1, 20, DENSE), canvases=CANVASES, seed=0, batch_size=8, limit=20
    )
    loaded = list(batches(episodes, 8))
    assert sum(int(batch.real.sum()) for batch in loaded) == 20
    for batch in loaded:
        np.testing.assert_array_equal(batch.annotation[batch.real][:, 2, 0], batch.target[batch.real])
