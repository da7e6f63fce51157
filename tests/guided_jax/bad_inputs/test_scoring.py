"""What the scores are given by mistake, a line each: nothing is broadcast, no type is guessed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.scoring import clicks, davis, few_shot, positive_iu
from tests.guided_jax.bad_inputs.refusals import check_refused

MASK = np.zeros((4, 6), np.uint8)
MASK[1:3, 2:5] = 1
OBJECT = MASK > 0
PAIRS = {
    "next_click": clicks.next_click,
    "click_iou": clicks.click_iou,
    "score_frame": lambda one, other: davis.score_frame(one, other, 1),
    "count_positives": positive_iu.count_positives,
    "count_outcomes": few_shot.count_outcomes,
    "count_labels": few_shot.count_labels,
    "simulate_clicks": lambda one, other: clicks.simulate_clicks(lambda _: one, other),
}
BOOLS = {
    "region_similarity": davis.region_similarity,
    "boundary_accuracy": lambda one, other: davis.boundary_accuracy(one, other, 1),
}
WRONG_PREDICTIONS = {
    "float": (MASK / 2, "is float64 (4, 6); it must be "),
    "int": (MASK.astype(np.int64), "is int64 (4, 6); it must be "),
    "list": (MASK.tolist(), "is a list; it must be "),
    "none": (None, "is None; it must be "),
    "row": (MASK[0], "is uint8 (6,); it must be "),
}


@pytest.mark.parametrize("function", {**PAIRS, **BOOLS}.values(), ids={**PAIRS, **BOOLS})
@pytest.mark.parametrize(("mask", "message"), WRONG_PREDICTIONS.values(), ids=WRONG_PREDICTIONS)
def test_what_is_no_mask(function, mask, message):
    check_refused(lambda: function(mask, MASK), message)


@pytest.mark.parametrize("function", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("target", [MASK / 1.0, MASK.astype(np.int8), None], ids=["float", "int8", "none"])
def test_what_is_no_truth(function, target):
    check_refused(lambda: function(MASK, target), "; it must be uint8 or bool ")


@pytest.mark.parametrize("shape", [(4, 1), (1, 6), (1, 1), (6, 4), (4, 5)])
def test_masks_of_two_sizes(shape):
    for function in PAIRS.values():
        check_refused(lambda function=function: function(np.ones(shape, np.uint8), MASK), f"is {shape}, the ")
    for function in BOOLS.values():
        check_refused(lambda function=function: function(np.ones(shape, bool), OBJECT), f"is {shape}, the truth (4, 6)")


@pytest.mark.parametrize("function", BOOLS.values(), ids=BOOLS)
def test_labels_where_a_single_object_is_wanted(function):
    check_refused(lambda: function(MASK, OBJECT), "the prediction is uint8 (4, 6); it must be bool [height, width]")
    check_refused(lambda: function(OBJECT, 255 * MASK), "the truth is uint8 (4, 6); it must be bool")


def test_a_bool_mask_is_the_label_1_on_the_host_and_on_the_device():
    other = np.roll(MASK, 1, 1)
    for function in PAIRS.values():
        np.testing.assert_equal(function(OBJECT, other), function(MASK, other))
        np.testing.assert_equal(function(MASK, other > 0), function(MASK, other))
    for function in BOOLS.values():
        assert function(jnp.asarray(OBJECT), jnp.asarray(other > 0)) == function(OBJECT, other > 0)
    for name in ("count_positives", "count_outcomes", "count_labels"):
        on_device = jax.jit(PAIRS[name])(jnp.asarray(MASK), jnp.asarray(other))
        np.testing.assert_array_equal(on_device, PAIRS[name](MASK, other))


IOUS = [0.5, 0.9]
COUNTS = np.ones((2, 3), np.int64)
OUTCOMES = np.ones((2, 6), np.int64)
BATCH = np.zeros((2, 4, 6), np.uint8)
WRONG = {
    "per cent": (lambda: clicks.noc([50, 90], 0.9), "ious has values from 50 to 90; it must be numbers [n] in [0, 1]"),
    "nan": (lambda: clicks.noc([np.nan], 0.9), "ious has values from nan to nan; it must be numbers [n] in [0, 1]"),
    "a target in per cent": (
        lambda: clicks.noc(IOUS, 90),
        "target is 90; it must be a share in [0, 1], not a per cent",
    ),
    "a target of nan": (lambda: clicks.noc(IOUS, float("nan")), "target is nan; it must be a share"),
    "a target of text": (lambda: clicks.noc(IOUS, "0.9"), "target is '0.9'; it must be a share"),
    "limit of a float": (lambda: clicks.noc(IOUS, 0.9, 2.0), "limit is 2.0; it must be a whole number"),
    "limit of 0": (lambda: clicks.extend(IOUS, 0), "limit is 0; it must be 1 or more"),
    "nothing to extend": (lambda: clicks.extend([]), "ious is empty; it needs the IoU after at least one click"),
    "table": (lambda: clicks.extend([IOUS]), "ious is float64 (1, 2); it must be numbers [n]"),
    "ragged": (lambda: clicks.noc([[0.1], IOUS], 0.9), "ious is a list; it must be numbers [n]"),
    "an object in per cent": (lambda: clicks.click_score([IOUS, [50.0]]), "ious of object 1 has values from 50.0 to"),
    "one curve": (lambda: clicks.click_score(IOUS), "ious of object 0 is float64 (); it must be"),
    "stop at 90": (lambda: clicks.simulate_clicks(lambda _: MASK, MASK, stop_at=90), "stop_at is 90; it must be a sh"),
    "no function": (lambda: clicks.simulate_clicks(MASK, MASK), "segment is uint8 (4, 6); it must be a function"),
    "float counts": (lambda: positive_iu.positive_iu(COUNTS / 2, [1, 2]), "counts is float64 (2, 3); it must be whole"),
    "negative counts": (lambda: positive_iu.positive_iu(-COUNTS, [1, 2]), "counts has the number -1; it must be whole"),
    "counts of six": (lambda: positive_iu.positive_iu(OUTCOMES, [1, 2]), "counts is int64 (2, 6); it must be whole n"),
    "one class": (lambda: positive_iu.positive_iu(COUNTS, [1]), "classes is int64 (1,); it must be whole numbers [2]"),
    "a class": (lambda: positive_iu.positive_iu(COUNTS, 1), "classes is int64 (); it must be whole numbers [2]"),
    "classes by name": (lambda: positive_iu.positive_iu(COUNTS, ["a", "b"]), "it must be whole numbers [2], one for"),
    "outcomes of three": (lambda: few_shot.score_episodes(COUNTS, [1, 2], "hsnet"), "outcomes is int64 (2, 3); it mu"),
    "float classes": (lambda: few_shot.score_episodes(OUTCOMES, [1.0, 2.0], "hsnet"), "classes is float64 (2,)"),
    "a fold by name": (lambda: few_shot.score_episodes(OUTCOMES, [1, 2], "hsnet", "12"), "a class of the fold is '1'"),
    "one size": (
        lambda: few_shot.count_outcomes(BATCH, BATCH, np.array([4, 6])),
        "the size is int64 (2,); it must be ",
    ),
    "float size": (lambda: few_shot.count_outcomes(MASK, MASK, np.array([4.0, 6.0])), "it must be whole numbers (2,)"),
    "a list of maps": (lambda: davis.score_video([MASK], [MASK], 3), "predicted is a list; it must be a function"),
    "float frames": (lambda: davis.score_video(lambda _: MASK, lambda _: MASK, 3.0), "frames is 3.0; it must be a wh"),
    "a float map": (
        lambda: davis.score_video(lambda _: MASK / 1.0, lambda _: MASK, 3),
        "frame 1: the prediction is fl",
    ),
    "float objects": (lambda: davis.score_frame(MASK, MASK, 1.0), "objects is 1.0; it must be a whole number"),
    "a float truth": (lambda: davis.count_objects(MASK / 1.0), "the truth is float64 (4, 6); it must be uint8 or bool"),
    "a map's boundary": (lambda: davis.find_boundary(MASK), "the mask is uint8 (4, 6); it must be bool"),
    "no radius": (lambda: davis.boundary_accuracy(OBJECT, OBJECT, 0.8), "radius is 0.8; it must be a whole number"),
    "a radius below 0": (lambda: davis.boundary_accuracy(OBJECT, OBJECT, -1), "radius is -1; it must be 0 or more"),
    "no shape": (lambda: davis.boundary_radius((480, 854, 3)), "the shape of a frame is (480, 854, 3); it must be (h"),
    "a tolerance of nan": (lambda: davis.boundary_radius((4, 6), float("nan")), "tolerance is nan; it must be a share"),
    "no frames": (lambda: davis.summarize(np.zeros(0)), "the values are float64 (0,); they must be those of one or"),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_what_is_refused(call, message):
    check_refused(call, message)


def test_lists_and_jax_arrays_are_taken_where_nothing_is_guessed():
    assert clicks.noc(jnp.asarray(IOUS), 0.8) == clicks.noc(np.array(IOUS, np.float32), np.float32(0.8)) == 2
    assert positive_iu.positive_iu(jnp.asarray(COUNTS), [1, 2]) == positive_iu.positive_iu(COUNTS.tolist(), (1, 2))
    fold = np.array([1, 2])
    assert few_shot.score_episodes(OUTCOMES.tolist(), [1, 2], "hsnet", fold).iou == pytest.approx(1 / 3)
