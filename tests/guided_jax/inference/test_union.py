"""Higher-way tasks as a union of binary ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.inference.union import binary_tasks, union_logits
from tests.guided_jax.small_models import make_batch, make_model

SIZES = (21, 26), (24, 32)


def annotated(way, seed=0):
    """Episodes whose points are of all labels."""
    batch = make_batch(*SIZES, count=2, draws=2)
    rng = np.random.default_rng(seed)
    for plane in batch.annotation.reshape(-1, *SIZES[1]):
        plane[:] = UNKNOWN
        for label in [*range(way)] * 2:
            plane[rng.integers(21), rng.integers(26)] = label
    return batch


def with_labels(batch, annotation):
    return batch._replace(annotation=np.asarray(annotation))


def logits_of(model, params, batch, **options):
    apply = jax.jit(model.apply, static_argnames=("way", "union"))
    return np.asarray(apply({"params": params}, batch, **options))


def test_binary_tasks_by_hand():
    annotation = jnp.array([[0, 1, 2], [UNKNOWN, 2, 3]], jnp.uint8)
    tasks = binary_tasks(annotation, 4)
    assert [task.tolist() for task in tasks] == [
        [[0, 1, 0], [UNKNOWN, 0, 0]],
        [[0, 0, 1], [UNKNOWN, 1, 0]],
        [[0, 0, 0], [UNKNOWN, 0, 1]],
    ]
    assert binary_tasks(jnp.array([[0, 1, UNKNOWN]], jnp.uint8), 2)[0].tolist() == [[0, 1, UNKNOWN]]


def test_union_by_hand():
    """Four pixels: of no task, of the first, of both (the second surer), of the second."""
    logits = jnp.array([[[[0.0, -1.0, 0.0, 3.0]], [[-2.0, 1.0, 1.0, 1.0]]], [[[1.0, 9.0, -3.0, 0.0]], [[0.0] * 4]]])
    joined = union_logits(logits)
    assert joined.tolist() == [[[0.0] * 4], [[-2.0, 2.0, 1.0, -2.0]], [[-1.0, -9.0, 3.0, 0.0]]]
    assert jnp.argmax(joined, 0).tolist() == [[0, 1, 2, 0]]  # on a tie the negative


def test_the_union_of_one_task_is_that_task():
    logits = jax.random.normal(jax.random.key(0), (1, 3, 2, 4, 5))
    joined = union_logits(logits)
    np.testing.assert_allclose(jax.nn.softmax(joined, 1), jax.nn.softmax(logits[0], 1), rtol=1e-5)


def test_a_shared_head_takes_more_labels_than_it_was_made_for():
    """Natively the scores of a label depend on its own guidance alone; a network made for four has the same."""
    model, params = make_model()
    batch = annotated(4)
    native = logits_of(model, params, batch, way=4)
    assert native.shape == (2, 2, 4, *SIZES[1])
    made_for_four, others = make_model(way=4)
    assert jax.tree.map(jnp.shape, others) == jax.tree.map(jnp.shape, params)
    np.testing.assert_allclose(native, logits_of(made_for_four, params, batch), rtol=1e-6)
    exchanged = np.array([0, 3, 2, 1] + [UNKNOWN] * 252, np.uint8)[batch.annotation]
    np.testing.assert_allclose(
        logits_of(model, params, with_labels(batch, exchanged), way=4), native[:, :, [0, 3, 2, 1]], rtol=1e-5
    )
    pair = np.where(batch.annotation > 1, np.uint8(UNKNOWN), batch.annotation)
    np.testing.assert_allclose(logits_of(model, params, with_labels(batch, pair)), native[:, :, :2], rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "union"),
    [
        ({}, True),  # asked for
        ({"sharing": "unshared"}, False),  # of need
        ({"fusion": "stack", "sharing": "unshared"}, False),
        ({"fusion": "stack", "inference": "direct"}, False),
    ],
)
def test_a_union_is_each_positive_label_against_the_rest(fields, union):
    model, params = make_model(**fields)
    batch = annotated(3)
    joined = logits_of(model, params, batch, way=3, union=union)
    odds = []
    for task in binary_tasks(jnp.asarray(batch.annotation), 3):
        binary = logits_of(model, params, with_labels(batch, task))
        odds.append(binary[:, :, 1] - binary[:, :, 0])
    assert np.abs(odds[0] - odds[1]).max() > 1e-3
    assert not joined[:, :, 0].any()
    np.testing.assert_allclose(joined[:, :, 1:], np.stack(odds, 2), atol=1e-5 * np.abs(odds).max())


def test_two_labels_are_no_union():
    model, params = make_model()
    batch = annotated(2)
    np.testing.assert_array_equal(logits_of(model, params, batch, union=True), logits_of(model, params, batch))


@pytest.mark.parametrize(("way", "union"), [(2, False), (4, False), (3, True)])
def test_a_head_on_three_labels_at_once_takes_no_others(way, union):
    model, params = make_model(way=3, sharing="unshared")
    with pytest.raises(ValueError, match=rf"^{way} labels: a head of 3 labels takes neither them nor a binary task"):
        jax.eval_shape(partial(model.apply, way=way, union=union), {"params": params}, annotated(3))
