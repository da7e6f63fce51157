import itertools
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.canvas import parse_canvases
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import batches, stack_episodes
from data_pipelines.points import parse_points, parse_shots
from data_pipelines.tasks import list_tasks

BATCH = 4


@pytest.fixture(scope="module", params=["interactive", "semantic"])
def stream(stills, request):
    return EpisodeStream(
        [(stills, list_tasks(stills, "class"), 1.0)],
        mode=request.param,
        shots=parse_shots("1"),
        points=parse_points("0-9"),
        canvases=parse_canvases("40x64,64x40,64x64"),
        seed=0,
        group=BATCH,
        flip=True,
    )


@pytest.fixture(scope="module")
def expected(stream):
    return [stack_episodes([stream[i] for i in range(b * BATCH, b * BATCH + BATCH)]) for b in range(6)]


def test_batches_hold_the_episodes_in_order(stream, expected, assert_same):
    loaded = list(batches(stream, BATCH, stop=6))
    assert len(loaded) == 6
    for got, wanted in zip(loaded, expected, strict=True):
        assert_same(got, wanted)
    assert np.concatenate([batch.index for batch in loaded]).tolist() == list(range(24))


@pytest.mark.parametrize("threads", [1, 5])
def test_start_and_threads_change_nothing(stream, expected, threads, assert_same):
    for got, wanted in zip(batches(stream, BATCH, start=2, stop=6, threads=threads), expected[2:], strict=True):
        assert_same(got, wanted)


def test_hosts_share_a_batch(stream, expected, assert_same):
    parts = [list(batches(stream, BATCH, stop=3, host=host, hosts=2)) for host in (0, 1)]
    for first, second, wanted in zip(*parts, expected[:3], strict=True):
        assert len(first.index) == 2
        joined = [None if a is None else np.concatenate([a, b]) for a, b in zip(first, second, strict=True)]
        assert_same(type(wanted)(*joined), wanted)


def test_worker_processes_change_nothing(stream, expected, assert_same):
    workers = 2 if expected[0].support is None else 1
    loaded = list(batches(stream, BATCH, start=1, stop=6, workers=workers))
    assert len(loaded) == 5
    for got, wanted in zip(loaded, expected[1:], strict=True):
        assert_same(got, wanted)


def test_an_endless_stream_can_be_left(stream, expected, assert_same):
    loaded = batches(stream, BATCH)
    for got, wanted in zip(itertools.islice(loaded, 3), expected[:3], strict=True):
        assert_same(got, wanted)
    loaded.close()
    assert next(loaded, None) is None


def test_resumed_evaluation_ends(stills):
    episodes = EvaluationEpisodes(
        stills,
        list_tasks(stills, "class"),
        mode="interactive",
        counts=(1, 5),
        canvases=parse_canvases("64x64"),
        seed=0,
        batch_size=8,
    )
    loaded = list(batches(episodes, 8))
    assert [int(batch.real.sum()) for batch in loaded] == [8, 8, 3]
    assert loaded[0].annotation.shape == (8, 2, 1, 64, 64)
    assert len(list(batches(episodes, 8, start=2))) == 1
    assert not list(batches(episodes, 8, start=3)) and not list(batches(episodes, 8, start=9))


def test_an_error_of_an_episode_reaches_the_caller(stills):
    class Broken:
        group = 2

        def __len__(self):
            return 4

        def __getitem__(self, i):
            raise LookupError(f"episode {i} is broken")

    with pytest.raises(LookupError, match="is broken"):
        list(batches(Broken(), 2))


def test_errors(stream):
    for wrong, message in [
        ({"batch_size": 3}, "batch size 3 must divide the episodes' group of 4"),
        ({"hosts": 3}, "batch size 4 must be a multiple of the number of hosts, 3"),
        ({"hosts": 2, "host": 2}, "host is 2; it must lie between 0 and 1"),
        ({"workers": -1}, "workers is -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            batches(stream, **{"batch_size": BATCH, **wrong})


def test_no_tensorflow_and_no_device_in_a_loader_process():
    code = (
        "import sys, data_pipelines.episodes, data_pipelines.evaluation; assert 'jax' not in sys.modules;"
        "import data_pipelines.loader; assert 'tensorflow' not in sys.modules;"
        "from jax._src import xla_bridge; assert not xla_bridge.backends_are_initialized()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
