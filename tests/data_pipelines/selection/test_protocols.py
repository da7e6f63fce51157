import random

import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError
from data_pipelines.selection.protocols import PROTOCOLS, plan_episodes
from data_pipelines.tasks import Tasks, select_tasks

NAMED = [name for name in PROTOCOLS if name != "all"]


@pytest.fixture
def tasks():
    """Forty images of one class each, classes 1 to 3, and an image with all three."""
    record = np.array([*range(40), 40, 40, 40], np.int32)
    class_id = np.array([*(1 + np.arange(40) % 3), 1, 2, 3], np.int32)
    return Tasks(record, class_id, *np.zeros((6, 43), np.int32))


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("shots", [1, 5])
def test_support_is_of_the_class_and_never_the_query(tasks, name, shots):
    plan = plan_episodes(name, tasks, shots)
    assert plan.query.shape == (5000 if name == "pfenet" else 1000,)
    assert plan.support.shape == (*plan.query.shape, shots)
    assert (tasks.class_id[plan.support] == tasks.class_id[plan.query][:, None]).all()
    assert (plan.support != plan.query[:, None]).all()
    distinct = np.array([len(set(row)) for row in plan.support.tolist()])
    assert (distinct == shots).all() or (PROTOCOLS[name].repeats and (distinct < shots).any())
    for class_id in (1, 2, 3):
        of_class = set(np.flatnonzero(tasks.class_id == class_id))
        assert set(plan.query[tasks.class_id[plan.query] == class_id].tolist()) == of_class
        assert set(plan.support[tasks.class_id[plan.query] == class_id].ravel().tolist()) == of_class


@pytest.mark.parametrize("name", NAMED)
def test_a_plan_follows_from_the_draw_alone(tasks, name):
    first, again, other = (plan_episodes(name, tasks, 1, draw) for draw in (0, 0, 1))
    np.testing.assert_array_equal(first.support, again.support)
    assert (first.support != other.support).any()
    same_tasks = (first.query == other.query).all()
    assert same_tasks == (name == "hsnet")


def test_queries_come_as_published(tasks):
    np.testing.assert_array_equal(plan_episodes("hsnet", tasks, 1).query, np.arange(1000) % 43)
    passes = plan_episodes("oslsm", tasks, 1).query
    assert [sorted(passes[43 * i : 43 * i + 43].tolist()) == list(range(43)) for i in range(3)] == [True] * 3
    images = tasks.record[plan_episodes("pfenet", tasks, 1).query]
    np.testing.assert_array_equal(images, np.arange(5000) % 41)


def test_panet_draws_classes_not_tasks(tasks):
    few = select_tasks(tasks, np.flatnonzero((tasks.class_id != 3) | (tasks.record < 6)).astype(np.int32))
    shares = np.bincount(few.class_id[plan_episodes("panet", few, 1).query])[1:]
    assert (np.abs(shares - 1000 / 3) < 60).all()


def test_the_streams_of_the_published_code():
    """First episodes of four tasks of one class, stepped through by hand from the published rules."""
    one = Tasks(np.arange(4, dtype=np.int32), np.ones(4, np.int32), *np.zeros((6, 4), np.int32))
    rng = random.Random(1385)
    uniform = [rng.random() for _ in range(5)]
    order = [0, 1, 2, 3]
    for i, u in zip((3, 2, 1), uniform, strict=False):
        j = int(u * (i + 1))
        order[i], order[j] = order[j], order[i]
    others = [row for row in range(4) if row != order[0]]
    for i, u in zip((2, 1), uniform[3:], strict=True):
        j = int(u * (i + 1))
        others[i], others[j] = others[j], others[i]
    plan = plan_episodes("oslsm", one, 2)
    assert (plan.query[0], plan.support[0].tolist()) == (order[0], others[:2])

    stream = np.random.RandomState(0)
    drawn = []
    while len(drawn) < 2:
        name = stream.choice(["a", "b", "c", "d"], 1, replace=False)[0]
        drawn += [name] if name != "a" else []
    assert ["abcd"[row] for row in plan_episodes("hsnet", one, 2).support[0]] == drawn


@pytest.mark.parametrize("name", NAMED)
def test_too_few_images(tasks, name):
    few = select_tasks(tasks, np.array([0, 3, 1], np.int32))
    with pytest.raises(DatasetError, match=r"needs 2 images of a class; of these there are fewer: \['2 \(1\)'\]"):
        plan_episodes(name, few, 1)
