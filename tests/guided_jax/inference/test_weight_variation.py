"""How much regressed weights vary: by hand, over devices, as the loop logs it, and of a head that collapsed."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.guides.guidance import Task
from guided_jax.inference.parameter_regression import ParameterRegression
from guided_jax.inference.weight_variation import sum_weights, weight_variation
from guided_jax.learning.loop import Window
from guided_jax.learning.step import Totals


def variation(*batches) -> float:
    return weight_variation([sum_weights(jnp.asarray(each, jnp.float32)) for each in batches])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1.0, 2.0]] * 3, 0.0),
        ([[1.0, 2.0], [-1.0, -2.0]], 1.0),
        ([[1.0, 0.0], [0.0, 1.0]], 0.5),  # at right angles: the mean (1/2, 1/2) has half of the mean square 1
        ([[1.0, 0.0], [3.0, 0.0]], 1 - 4 / 5),
        ([[1.0, 0.0], [0.0, 0.0], [3.0, 0.0], [0.0, 0.0]], 1 - 4 / 5),  # rows of zeros do not count
    ],
)
def test_by_hand(rows, expected):
    assert variation([rows]) == pytest.approx(expected, abs=1e-6)
    assert variation([[row] for row in rows]) == pytest.approx(expected, abs=1e-6)  # tasks, or cells of one
    assert variation(*([[row]] for row in rows)) == pytest.approx(expected, abs=1e-6)  # batches


@pytest.mark.parametrize("rows", [[[0.0, 0.0]] * 3, [[1.0, 2.0]], [[1.0, 2.0], [0.0, 0.0]]])
def test_no_weights_and_those_of_one_support_say_nothing(rows):
    assert math.isnan(variation([rows]))


def test_the_scale_of_the_weights_does_not_matter():
    rows = np.random.default_rng(0).normal(size=(2, 5, 7)) + 1
    assert variation(1e-4 * rows) == pytest.approx(variation(rows), rel=1e-5)
    assert 0.2 < variation(rows) < 0.8


def test_sums_add_up_over_devices():
    rows = np.random.default_rng(1).normal(size=(4, 3, 7)).astype(np.float32)
    summed = jax.pmap(lambda part: jax.lax.psum(sum_weights(part), "data"), "data", out_axes=None)(rows[:, None])
    assert weight_variation([jax.device_get(summed)]) == pytest.approx(variation(rows), rel=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_loop_logs_it_over_its_window(sign):
    window = Window()
    for step, factor in enumerate((1.0, sign)):
        regressed = sum_weights(factor * jnp.ones((1, 1, 3)))
        window.add(step, Totals(jnp.float32(1), jnp.int32(1), jnp.ones(3, jnp.int32), regressed))
    assert window.close(1)["weight_variation"] == pytest.approx((1 - sign) / 2, abs=1e-6)
    window.add(2, Totals(jnp.float32(1), jnp.int32(1), jnp.ones(3, jnp.int32)))
    assert "weight_variation" not in window.close(1)


def regress(task, *, shared=True, labels=2, kernel, bias):
    """Rows of a head of one hidden channel whose regressor is given."""
    head = ParameterRegression(2, labels, shared, 2, 1, 0.0, jax.nn.initializers.ones, jnp.dtype("float32"))
    cells = (1, 1) if task.local is None else task.local.shape[2:4]
    query = jnp.ones((task.z.shape[0], *cells, 1))
    layers = {
        "fc7": {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)},
        "regressor": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)},
    }
    return head.apply({"params": layers}, query, task, None)[1]


def tasks(*z) -> Task:
    return Task(jnp.asarray(z, jnp.float32))


def test_a_collapse_is_seen_though_the_labels_differ():
    """Positives and negatives of opposite weights, whatever the support: one and the same segmentation."""
    kernel, bias = np.array([[1.0, 2.0], [-1.0, -2.0]], np.float32), np.array([5.0, -3.0], np.float32)
    same = tasks(*[[[1.0, 0.0], [0.0, 1.0]]] * 3)
    assert variation(regress(same, kernel=kernel, bias=bias)) == pytest.approx(0, abs=1e-6)
    opposite = tasks([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    assert variation(regress(opposite, kernel=kernel, bias=bias)) == pytest.approx(1, abs=1e-6)


def test_what_all_labels_have_in_common_does_not_hide_how_they_differ():
    """The bias of one map for every label adds the same to every score."""
    opposite = tasks([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    for bias in (0.0, 100.0):
        rows = regress(opposite, kernel=np.eye(2, dtype=np.float32), bias=np.full(2, bias, np.float32))
        assert variation(rows) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("size", "expected"), [(0.0, 0.0), (1.0, 0.5), (1e3, 1.0)])
def test_a_bias_of_labels_counts_where_one_map_gives_all_their_weights(size, expected):
    """Labels' weights differ by (2, 0) from the bias, and by +-2 size from the guidance."""
    kernel = size * np.array([[0.0, 1.0, 0.0, -1.0], [0.0, -1.0, 0.0, 1.0]], np.float32)
    bias = np.array([1.0, 0.0, -1.0, 0.0], np.float32)
    rows = regress(tasks([[1.0, 0.0]], [[0.0, 1.0]]), shared=False, labels=1, kernel=kernel, bias=bias)
    assert variation(rows) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_cells_without_guidance_are_left_out_though_they_get_the_bias(shared):
    local = np.zeros((1, 2, 4, 5, 2), np.float32)
    local[0, 0, 1, 1], local[0, 1, 2, 3] = [1.0, 0.0], [0.0, 1.0]
    kernel = np.ones((2, 2) if shared else (4, 4), np.float32) * np.arange(1, 3 if shared else 5, dtype=np.float32)
    bias = np.arange(2 if shared else 4, dtype=np.float32)
    task = Task(jnp.zeros((1, 2, 2)), jnp.asarray(local))
    sums = sum_weights(regress(task, shared=shared, kernel=kernel, bias=bias))
    assert sums.rows == 2
    nothing = Task(jnp.zeros((1, 2, 2)), jnp.zeros_like(local))
    assert sum_weights(regress(nothing, shared=shared, kernel=kernel, bias=bias)).rows == 0
