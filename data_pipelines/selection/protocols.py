"""The episodes of few-shot segmentation as published evaluations draw them, by name."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from data_pipelines.datasets.record import DatasetError
from data_pipelines.tasks import Tasks, count_tasks


class Protocol(NamedTuple):
    """What a named protocol draws.

    Attributes:
        episodes: their number in a draw; 0: every task once.
        draws: how often the episodes are drawn, each time with another seed.
        seed: of the first draw, and the next number for each further one; None: the experiment's seed.
        repeats: whether a support image may come twice in an episode.
        about: the rule in words, for results.
    """

    episodes: int
    draws: int
    seed: int | None
    repeats: bool
    about: str


PROTOCOLS = {
    "all": Protocol(0, 1, None, False, "every task once"),
    "oslsm": Protocol(1000, 1, 1385, False, "OSLSM: tasks in shuffled passes, support from the others of the class"),
    "panet": Protocol(1000, 5, 1234, False, "PANet: a class, then support and query among its images, all uniformly"),
    "hsnet": Protocol(1000, 1, 0, True, "HSNet: tasks in order, round and round; support may repeat an image"),
    "pfenet": Protocol(5000, 1, 321, False, "PFENet: images in order, round and round; one of the image's classes"),
}
"""Rules and counts of the published code; none of them draws a query as its own support.

Where the tasks come in the order of the community's list of the fold (by image, then class), the episodes are those of
the published code, one by one:

- `oslsm` (Shaban et al., BMVC 2017): the stream of Python 2's `random` with seed 1385.
- `hsnet` (Min et al., ICCV 2021): numpy's global stream with seed 0, one process, as its test.py has it.
- `panet` (Wang et al., ICCV 2019), if the tasks are those of its lists of trainaug by class: Python's stream.

`pfenet` (Tian et al., TPAMI 2020) draws in several worker processes: the rule and the count are the same, the random
numbers our own; and where an image holds a class both large and small enough to be left out, only the large is posed.

All of them resize: OSLSM the support to 224 x 224 and the query to 500 x 500, PANet all to 417 x 417, HSNet to
400 x 400, PFENet to 473 x 473 by its longer side. Here images keep their size unless `data.max_side` says otherwise.
"""


class Plan(NamedTuple):
    """Episodes drawn beforehand, as rows of the tasks.

    Attributes:
        query: the task of each episode.
        support: the tasks of its support, S of them.
    """

    query: Int32[np.ndarray, " n"]
    support: Int32[np.ndarray, "n s"]


def plan_episodes(name: str, tasks: Tasks, shots: int, draw: int = 0) -> Plan:
    """Draws the episodes of a protocol other than `all`.

    Args:
        name: of the protocol.
        tasks: of the classes to evaluate, one for an image and class, in the order of the published list.
        shots: support images S.
        draw: which of several draws; a plan is a function of it and of the tasks alone.

    Raises:
        DatasetError: a class has too few images.
    """
    protocol = PROTOCOLS[name]
    classes = np.unique(tasks.class_id).tolist()
    pools = {class_id: np.flatnonzero(tasks.class_id == class_id).tolist() for class_id in classes}
    least = 2 if protocol.repeats else shots + 1
    short = [f"{class_id} ({len(pool)})" for class_id, pool in pools.items() if len(pool) < least]
    if short:
        raise DatasetError(
            f"{name} with {shots} shots needs {least} images of a class; of these there are fewer: {short}"
        )
    rules = {"oslsm": _oslsm, "panet": _panet, "hsnet": _hsnet, "pfenet": _pfenet}
    episodes = rules[name](tasks, pools, shots, protocol.seed + draw)
    queries, supports = zip(*(next(episodes) for _ in range(protocol.episodes)), strict=True)
    return Plan(np.array(queries, np.int32), np.array(supports, np.int32).reshape(-1, shots))


Pools = dict[int, list[int]]
"""The rows of each class."""

Episodes = Iterator[tuple[int, list[int]]]
"""Query and support, without end."""


def _oslsm(tasks: Tasks, pools: Pools, shots: int, seed: int) -> Episodes:
    rng = random.Random(seed)
    while True:
        order = list(range(count_tasks(tasks)))
        _shuffle(rng, order)
        for row in order:
            others = [other for other in pools[int(tasks.class_id[row])] if other != row]
            _shuffle(rng, others)
            yield row, others[:shots]


def _shuffle(rng: random.Random, items: list[int]) -> None:
    """Python 2's `random.shuffle`; Python 3's draws its indices in another way."""
    for i in range(len(items) - 1, 0, -1):
        j = int(rng.random() * (i + 1))
        items[i], items[j] = items[j], items[i]


def _panet(tasks: Tasks, pools: Pools, shots: int, seed: int) -> Episodes:
    del tasks
    rng, classes = random.Random(seed), sorted(pools)
    rng.choices(range(1), k=1)  # of the query's way, of which there is one
    while True:
        (number,) = rng.sample(range(len(classes)), k=1)
        pool = pools[classes[number]]
        *support, query = (pool[i] for i in rng.sample(range(len(pool)), k=shots + 1))
        yield query, support


def _hsnet(tasks: Tasks, pools: Pools, shots: int, seed: int) -> Episodes:
    rng = np.random.RandomState(seed)
    while True:
        for row in range(count_tasks(tasks)):
            pool, support = pools[int(tasks.class_id[row])], []
            while len(support) < shots:
                drawn = pool[rng.choice(len(pool), 1, replace=False)[0]]
                support += [drawn] if drawn != row else []
            yield row, support


def _pfenet(tasks: Tasks, pools: Pools, shots: int, seed: int) -> Episodes:
    rng = random.Random(seed)
    of_image = {
        record: np.flatnonzero(tasks.record == record).tolist() for record in dict.fromkeys(tasks.record.tolist())
    }
    while True:
        for rows in of_image.values():
            row = rng.choice(rows)
            yield row, rng.sample([other for other in pools[int(tasks.class_id[row])] if other != row], k=shots)
