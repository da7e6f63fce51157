"""Clicks as DIOS imagines a user's: where they lie, how many, how far apart."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from data_pipelines.selection.user_clicks import AROUND, BAND, IN_BAND, MARGIN, ON_OBJECT, POSITIVES, STEP, draw_clicks
from guided_jax.episode import UNKNOWN


@pytest.fixture(scope="module")
def scene():
    """An object of 60 x 60 pixels with a void rim, and two others, one of them far off."""
    target, objects = np.zeros((200, 260), np.uint8), np.zeros((200, 260), np.uint8)
    target[59:121, 79:141] = UNKNOWN
    target[60:120, 80:140] = 1
    objects[60:100, 150:190], objects[150:190, 10:60] = 1, 2
    return target, objects


@pytest.fixture(scope="module")
def draws(scene):
    return [draw_clicks(np.random.default_rng(seed), *scene) for seed in range(150)]


def places(annotation, label):
    return np.argwhere(annotation == label)


def apart(points) -> float:
    return min((np.hypot(*(a - b)) for a, b in itertools.combinations(points, 2)), default=np.inf)


def test_positive_clicks_lie_deep_in_the_object_and_apart(scene, draws):
    depth = distance_transform_edt(scene[0] == 1)
    numbers = set()
    for each in draws:
        clicks = places(each, 1)
        assert all(depth[tuple(click)] > MARGIN for click in clicks) and apart(clicks) > STEP
        numbers.add(len(clicks))
    assert numbers == set(range(1, POSITIVES + 1))


def test_negative_clicks_follow_one_of_three_strategies(scene, draws):
    target, objects = scene
    around = distance_transform_edt(target != 1)
    inside = distance_transform_edt(objects > 0)
    found = {"none": 0, "band": 0, "objects": 0, "around": 0}
    for each in draws:
        clicks = places(each, 0)
        assert all(target[tuple(click)] == 0 for click in clicks)
        in_band = [MARGIN < around[tuple(click)] <= BAND for click in clicks]
        on_object = [inside[tuple(click)] > MARGIN for click in clicks]
        if not len(clicks):
            found["none"] += 1
        elif all(in_band) and len(clicks) == AROUND and {int(np.sign(r - 90)) for r, _ in clicks} == {-1, 1}:
            found["around"] += 1
        elif all(on_object):
            found["objects"] += 1
            for number in (1, 2):
                own = [click for click in clicks if objects[tuple(click)] == number]
                assert len(own) <= ON_OBJECT and apart(own) > STEP
        else:
            found["band"] += 1
            assert all(in_band) and len(clicks) <= IN_BAND and apart(clicks) > STEP
    assert all(found[name] > 20 for name in ("band", "objects", "around")), found
    assert any(objects[tuple(click)] == 2 for each in draws for click in places(each, 0))


def test_clicks_around_the_object_take_the_farthest_place(scene):
    """Each but the first is where the distance to the object and to the clicks before is greatest in the band."""
    target, objects = scene
    around = distance_transform_edt(target != 1)
    band = (target == 0) & (around > MARGIN) & (around <= BAND)
    drawn = [draw_clicks(np.random.default_rng(seed), target, np.zeros_like(objects)) for seed in range(60)]
    spread = [clicks for each in drawn if len(clicks := places(each, 0)) == AROUND]
    clicks = max(spread, key=apart)  # at random ten clicks do not lie so far apart
    assert apart(clicks) > BAND / 2
    free = around.copy()
    for click in clicks:
        rows, columns = np.indices(target.shape)
        free = np.minimum(free, np.hypot(rows - click[0], columns - click[1]))
    # The next one would lie no farther away than the nearest two of these.
    assert free[band].max() <= apart(clicks) + 1


def test_nothing_else_is_annotated_and_a_seed_repeats(scene, draws):
    assert all(set(np.unique(each)) <= {0, 1, UNKNOWN} for each in draws)
    np.testing.assert_array_equal(draw_clicks(np.random.default_rng(7), *scene), draws[7])
    assert len({each.tobytes() for each in draws}) == len(draws)


@pytest.mark.parametrize(
    ("rows", "columns"), [((10, 13), (20, 24)), ((0, 40), (0, 50)), ((0, 1), (0, 50)), ((5, 5), (5, 5))]
)
def test_small_objects_whole_images_and_none(rows, columns):
    target = np.zeros((40, 50), np.uint8)
    target[slice(*rows), slice(*columns)] = 1
    for seed in range(12):
        each = draw_clicks(np.random.default_rng(seed), target, np.zeros_like(target))
        assert (places(each, 1).size > 0) == (target == 1).any()
        assert all(target[tuple(click)] == label for label in (0, 1) for click in places(each, label))
