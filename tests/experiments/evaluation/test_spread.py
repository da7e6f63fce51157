"""Means and deviations by hand, and what a score that is not defined does to them."""

import math

import pytest

from experiments.drawing.pictures import as_points
from experiments.evaluation.spread import defined, mean, percent, spread
from experiments.run import table_of

NAN = float("nan")


def test_means_and_deviations():
    assert spread([0.25]) == (0.25, None, 1)
    assert spread([0.1, 0.2, 0.6]) == pytest.approx((0.3, 0.07**0.5, 3))
    assert mean([0.1, 0.2, 0.6]) == pytest.approx(0.3)


def test_a_score_that_is_not_defined_leaves_no_mean():
    for undefined in (None, NAN):
        assert spread([undefined]) == (None, None, 1)
        assert spread([0.5, undefined, 0.25]) == (None, None, 3)
        assert mean([undefined, 0.5]) is None
        assert defined(undefined) is None
    assert defined(0.0) == 0.0


def test_scores_in_print():
    assert percent(0.3, 0.07**0.5) == "30.0 ± 26.5"
    assert (percent(None), percent(NAN), percent(0.0)) == ("-", "-", "0.0")


def test_a_result_without_a_score_is_printed_and_plotted():
    """As where no target shows a positive and none was found."""
    scores = {"1": {"pos_iu": None, "class_mean": None}, "dense": {"pos_iu": 0.5, "class_mean": 0.25, "small": 0.125}}
    *_, one, dense = table_of({"protocol": {"data": "d", "tasks": 1}, "scores": scores}, "x").splitlines()
    assert one.split() == ["1", "-", "-", "-"] and dense.split() == ["dense", "50.0", "25.0", "12.5"]
    points = as_points({name: each["pos_iu"] for name, each in scores.items()})
    assert math.isnan(points[1]) and points["dense"] == 0.5
