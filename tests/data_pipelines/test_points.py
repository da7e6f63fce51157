import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.points import (
    DENSE,
    CountDistribution,
    draw_count,
    draw_points,
    most,
    name_count,
    nested_points,
    parse_counts,
    parse_points,
    parse_shots,
)

TARGET = np.zeros((30, 40), np.uint8)
TARGET[5:8, 5:9] = 1  # 12 pixels
TARGET[20:22, 10:30] = 2  # 40 pixels
TARGET[0] = 255


def _rng(seed=0):
    return np.random.default_rng(seed)


def _counts(annotation):
    return {label: int((annotation == label).sum()) for label in np.unique(annotation) if label != 255}


@pytest.mark.parametrize("points", [1, 5, 12])
def test_same_number_of_points_for_every_label_that_is_there(points):
    annotation = draw_points(_rng(), TARGET, points)
    assert _counts(annotation) == {0: points, 1: points, 2: points}
    marked = annotation != 255
    np.testing.assert_array_equal(annotation[marked], TARGET[marked])
    assert (annotation[TARGET == 255] == 255).all()


def test_short_label():
    assert _counts(draw_points(_rng(), TARGET, 13)) == {0: 13, 2: 13}
    assert _counts(draw_points(_rng(), TARGET, 13, short="all")) == {0: 13, 1: 12, 2: 13}
    with pytest.raises(ValueError, match="short is 'some'; it must be one of skip, all"):
        draw_points(_rng(), TARGET, 13, short="some")


def test_no_points_and_nothing_to_annotate():
    assert (draw_points(_rng(), TARGET, 0) == 255).all()
    assert (draw_points(_rng(), np.full((4, 4), 255, np.uint8), 3) == 255).all()


def test_dense_is_the_target_void_and_all():
    annotation = draw_points(_rng(), TARGET, DENSE)
    np.testing.assert_array_equal(annotation, TARGET)
    assert annotation is not TARGET


def test_points_are_uniform():
    hits = sum((draw_points(_rng(i), TARGET, 3) == 1).astype(int) for i in range(2000))[TARGET == 1]
    expected = 2000 * 3 / 12
    assert ((hits - expected) ** 2 / expected).sum() < 31  # chi-square with 11 degrees of freedom, p = 0.001


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 60), min_size=2, max_size=5, unique=True))
def test_nested_points_grow_with_the_count(seed, counts):
    counts = sorted(counts)
    annotations = nested_points(_rng(seed), TARGET, (*counts, DENSE))
    for smaller, larger in itertools.pairwise(annotations):
        marked = smaller != 255
        np.testing.assert_array_equal(larger[marked], smaller[marked])
    for count, annotation in zip(counts, annotations[:-1], strict=True):
        expected = {0: count, 1: min(count, 12), 2: min(count, 40)} if count else {}
        assert _counts(annotation) == expected
    np.testing.assert_array_equal(annotations[-1], TARGET)


def test_nested_points_do_not_depend_on_the_order_of_counts():
    up, down = nested_points(_rng(), TARGET, (1, 5)), nested_points(_rng(), TARGET, (5, 1))
    np.testing.assert_array_equal(up, down[::-1])


def test_a_smaller_count_of_the_nest_is_spread_over_the_label():
    hits = sum((nested_points(_rng(i), TARGET, (1, 10))[0] == 1).astype(int) for i in range(1200))[TARGET == 1]
    assert ((hits - 100.0) ** 2 / 100).sum() < 31


@pytest.mark.parametrize(
    ("text", "ranges", "weights"),
    [
        ("5", [(5, 5)], [1.0]),
        ("0-99", [(0, 99)], [1.0]),
        ("dense", [(DENSE, DENSE)], [1.0]),
        ("0-99*0.9, dense*0.1", [(0, 99), (DENSE, DENSE)], [0.9, 0.1]),
        ("1*3,5", [(1, 1), (5, 5)], [0.75, 0.25]),
    ],
)
def test_parse_points(text, ranges, weights):
    distribution = parse_points(text)
    assert distribution.ranges == tuple(ranges)
    assert distribution.weights == pytest.approx(weights)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a count; write 5, 0-99, dense or clicks"),
        ("five", "'five' is not a count"),
        ("-3", "'-3' is not a count"),
        ("9-2", "'9-2' runs backwards"),
        ("5*0", "a weight must be above 0, '0' is not"),
        ("5*x", "the weight 'x' is not a number"),
        ("5*nan", "a weight must be above 0, 'nan' is not"),
    ],
)
def test_parse_points_errors(text, message):
    with pytest.raises(ValueError, match="points '") as error:
        parse_points(text)
    assert message in str(error.value)


def test_parse_shots():
    assert parse_shots("1-5").ranges == ((1, 5),)
    assert most(parse_shots("1, 5, 3")) == 5
    with pytest.raises(ValueError, match="shots '0-2': '0-2' is below 1"):
        parse_shots("0-2")
    with pytest.raises(ValueError, match="shots 'dense': 'dense' is not a count; write 1 or 1-5"):
        parse_shots("dense")


def test_parse_counts():
    assert parse_counts("1, 5,20,dense") == (1, 5, 20, DENSE)
    assert [name_count(count) for count in (5, DENSE)] == ["5", "dense"]
    with pytest.raises(ValueError, match="points '1,x': 'x' is neither a whole number nor dense"):
        parse_counts("1,x")
    with pytest.raises(ValueError, match="points '1,1': a count occurs twice"):
        parse_counts("1,1")


def test_draw_count_follows_the_weights_and_reaches_both_ends():
    rng = _rng()
    drawn = [draw_count(rng, parse_points("0-3*3, dense")) for _ in range(4000)]
    share = np.bincount(np.array(drawn) + 1, minlength=5) / 4000
    np.testing.assert_allclose(share, [0.25, 0.1875, 0.1875, 0.1875, 0.1875], atol=0.025)
    assert draw_count(rng, CountDistribution(((7, 7),), (1.0,))) == 7
