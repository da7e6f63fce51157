import random

import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError
from data_pipelines.selection.protocols import PROTOCOLS, Protocol, plan_episodes
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


def test_the_constants_of_the_published_code():
    """Episodes, draws, seed, and whether support repeats: of PANet's config.py, HSNet's and PFENet's test.py, ..."""
    assert {name: each[:4] for name, each in PROTOCOLS.items()} == {
        "all": (0, 1, None, False),
        "oslsm": (1000, 1, 1385, False),
        "panet": (1000, 5, 1234, False),
        "hsnet": (1000, 1, 0, True),
        "pfenet": (5000, 1, 321, False),
    }
    assert Protocol._fields[:4] == ("episodes", "draws", "seed", "repeats")


LISTED = "bc dba cda b acd ba dac cb da bdc a cdb"
"""Twelve images in the order of a list, each by its classes in the order of their lines."""


@pytest.fixture
def listed():
    pairs = [(row, 1 + "abcd".index(letter)) for row, word in enumerate(LISTED.split()) for letter in sorted(word)]
    return Tasks(*np.array(pairs, np.int32).T, *np.zeros((6, len(pairs)), np.int32))


def spell(tasks, plan):
    """Episodes as `class: query < support ...`, images counted from 0."""
    rows = zip(plan.query.tolist(), plan.support.tolist(), strict=True)
    return [
        f"{tasks.class_id[query]}: {tasks.record[query]} < {' '.join(str(tasks.record[row]) for row in support)}"
        for query, support in rows
    ]


def panet(images_of, shots, run):
    """`voc_fewshot` after `set_seed(seed + run)`: the way of the query, then of each episode a class, then its images.

    `fewShot` takes the first of the images for the support, and the last for the query.
    """
    stream = random.Random(1234 + run)
    labels = sorted(images_of)
    stream.choices(population=range(1), k=1)
    for _ in range(50):
        way = stream.sample(range(len(labels)), k=1)[0]
        images = images_of[labels[way]]
        drawn = [images[i] for i in stream.sample(range(len(images)), k=shots + 1)]
        yield f"{labels[way]}: {drawn[-1]} < {' '.join(map(str, drawn[:-1]))}"


def hsnet(images_of, shots, run):
    """`sample_episode` of line i: names drawn until there are enough that are not the query's."""
    stream = np.random.RandomState(run)
    lines = sorted((image, label) for label, images in images_of.items() for image in images)
    for i in range(50):
        query, label = lines[i % len(lines)]
        support = []
        while len(support) < shots:
            name = stream.choice([f"2007_{image}" for image in images_of[label]], 1, replace=False)[0]
            support += [name] if name != f"2007_{query}" else []
        yield f"{label}: {query} < {' '.join(name.removeprefix('2007_') for name in support)}"


@pytest.mark.parametrize("published", [panet, hsnet])
@pytest.mark.parametrize(("shots", "draw"), [(1, 0), (3, 0), (3, 2)])
def test_fifty_episodes_as_the_published_code_draws_them(listed, published, shots, draw):
    """Written down from their rules, with streams like the global ones that they draw from."""
    images_of = {
        label: listed.record[listed.class_id == label].tolist() for label in np.unique(listed.class_id).tolist()
    }
    plan = plan_episodes(published.__name__, listed, shots, draw)
    assert spell(listed, plan)[:50] == list(published(images_of, shots, draw))


GOLDEN = {
    "oslsm": "egl cah laj bha haf gla alb cie iej efc kbc elg fic ief beg lba fjl hca jbg jgh jhl lbj ahe dbh glb "
    "gbi cgf blj lci ghl fbd ifc ige hba hgj gel kie bjd ecg chg cbe ahg ckb fbk dlh bgj lea jdf lab jah",
    "panet": "jbl bik cke ebk cig bci cgf fig bgi beg jge fjb igb gcj jcb icb dba egc ebg kce glc egf gei ibg hfj "
    "bel afl ikf ejc cik ecj ljb ecb bcg aeg gla baf eic fhj dhb gke lfh acl abh jca ikc efk flj ehj iej",
    "hsnet": "alb alj beg bad bje cgi cea clg djh ebc eaa ecj fbc flj gfe gha gej hbb hca ibb igg jfd jga jgb kbf "
    "lab lch lge abj agc beg bal bcg cib cal cej dlb ekf ehl ejl fci fbl gie gaj gbi hbb hag ikf igj jda",
    "pfenet": "ahe bjh cle dhl eca fha gjh hab ief jie kef lec aej bfe cgj dfl ega fbc gjh hdl igb jlh kgf lig agl "
    "bjg ceg daj efg fab glc hjl igk jah kcb ljh agj bad cag dhf eic fkc gbe hjl ige jge kcb lce abl bfc",
}


@pytest.mark.parametrize("name", NAMED)
def test_fifty_episodes_are_what_they_were(listed, name):
    """Whatever Python's and numpy's streams become: queries and supports, images as letters."""
    plan = plan_episodes(name, listed, 2)
    rows = np.stack([plan.query, *plan.support.T], 1)[:50]
    letters = np.array(list("abcdefghijkl"))[listed.record[rows]]
    assert " ".join("".join(row) for row in letters.tolist()) == GOLDEN[name]


@pytest.mark.parametrize("name", NAMED)
def test_too_few_images(tasks, name):
    few = select_tasks(tasks, np.array([0, 3, 1], np.int32))
    with pytest.raises(DatasetError, match=r"needs 2 images of a class; of these there are fewer: \['2 \(1\)'\]"):
        plan_episodes(name, few, 1)
