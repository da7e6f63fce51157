import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.scoring.few_shot import ACCUMULATIONS, OUTCOMES, count_labels, count_outcomes, score_episodes
from guided_jax.scoring.positive_iu import count_positives, positive_iu

# In the order of OUTCOMES: tp, fp, fn, tn, void taken for positive, void taken for negative.
PLAIN = (6, 2, 2, 10, 0, 0)
MISSED = (0, 0, 4, 16, 0, 0)
EMPTY = (0, 5, 0, 15, 0, 0)  # the target shows no positive: all that is found is false
VOID = (8, 0, 0, 8, 4, 0)  # perfect but for the void, all of which is taken for positive
FULL = (12, 0, 8, 0, 0, 0)  # the target shows no background


def maps(*rows):
    return np.array([[255 if mark == "?" else int(mark) for mark in row] for row in rows], np.uint8)


def score(protocol, episodes, classes=None, fold=()):
    classes = [1] * len(episodes) if classes is None else classes
    return score_episodes(np.array(episodes, np.int64).reshape(-1, 6), np.array(classes, np.int64), protocol, fold)


def random_episodes(seed, n=40, side=12):
    """Maps with void, and some targets without positives or without background."""
    rng = np.random.default_rng(seed)
    prediction = (rng.random((n, side, side)) < rng.random((n, 1, 1))).astype(np.uint8)
    target = (rng.random((n, side, side)) < rng.random((n, 1, 1))).astype(np.uint8)
    target[rng.random(n) < 0.15] = 0
    target[rng.random(n) < 0.1] = 1
    target[rng.random(target.shape) < 0.1] = UNKNOWN
    classes = rng.permutation(np.arange(n) % 5) + 6
    return prediction, target, classes


def test_outcomes_by_hand():
    got = count_outcomes(maps("110010"), maps("10100?"))
    assert dict(zip(OUTCOMES, got.tolist(), strict=True)) == {
        "true_positive": 1,
        "false_positive": 2,
        "false_negative": 1,
        "true_negative": 1,
        "void_positive": 0,
        "void_negative": 1,
    }
    assert count_outcomes(maps("1?"), maps("??")).tolist() == [0, 0, 0, 0, 2, 0]


def test_padding_is_no_void():
    prediction, target = maps("11", "11"), maps("1?", "??")
    assert count_outcomes(prediction, target).tolist() == [1, 0, 0, 0, 3, 0]
    assert count_outcomes(prediction, target, np.array([1, 2])).tolist() == [1, 0, 0, 0, 1, 0]
    assert count_outcomes(prediction, target, np.array([2, 1])).tolist() == [1, 0, 0, 0, 1, 0]


def test_every_pixel_of_the_image_is_counted_once_and_canvases_do_not_matter():
    prediction, target, _ = random_episodes(0)
    wide, padded = np.ones((40, 16, 20), np.uint8), np.full((40, 16, 20), UNKNOWN, np.uint8)
    wide[:, :12, :12], padded[:, :12, :12] = prediction, target
    counts = count_outcomes(prediction, target)
    np.testing.assert_array_equal(counts.sum(-1), 144)
    np.testing.assert_array_equal(count_outcomes(wide, padded, np.full((40, 2), 12)), counts)
    assert counts.dtype == np.int32


def test_the_device_counts_the_same_and_the_first_three_are_those_of_the_positives():
    prediction, target, _ = random_episodes(1)
    counts = count_outcomes(prediction, target)
    size = np.full((40, 2), 9)
    arrays = (jnp.asarray(prediction), jnp.asarray(target))
    np.testing.assert_array_equal(jax.jit(count_outcomes)(*arrays), counts)
    np.testing.assert_array_equal(
        jax.jit(count_outcomes)(*arrays, jnp.asarray(size)), count_outcomes(prediction, target, size)
    )
    np.testing.assert_array_equal(counts[:, :3], count_positives(*arrays))
    both = jax.jit(count_labels)(*arrays, jnp.asarray(size))
    np.testing.assert_array_equal(both, count_outcomes(prediction, target, size))


def test_one_positive_taken_for_another_is_wrong_on_both_sides():
    prediction, target = (np.array([[row]], np.uint8) for row in ([1, 2, 1, 2, 0, 0, 1], [1, 1, 2, 0, 2, 0, UNKNOWN]))
    np.testing.assert_array_equal(count_labels(prediction, target), [[1, 3, 3, 1, 1, 0]])


@pytest.mark.parametrize(
    ("episodes", "iou"),
    [
        # TP / (TP + FP + FN) of the sums, by hand.
        ([PLAIN], {"oslsm": 0.6, "panet": 0.6, "hsnet": 0.6, "pfenet": 0.6, "reference": 0.6}),
        ([PLAIN, MISSED], dict.fromkeys(ACCUMULATIONS, 6 / 14)),
        # On a target without positives the false positives vanish from PANet's.
        ([PLAIN, EMPTY], {"oslsm": 0.4, "panet": 0.6, "hsnet": 0.4, "pfenet": 0.4, "reference": 0.4}),
        # Void taken for positive is false for OSLSM, nothing for the others.
        ([VOID], {"oslsm": 8 / 12, "panet": 1.0, "hsnet": 1.0, "pfenet": 1.0, "reference": 1.0}),
    ],
)
def test_iou_by_hand(episodes, iou):
    for protocol, value in iou.items():
        got = score(protocol, episodes)
        assert got.iou == pytest.approx(value), protocol
        assert got.by_class == {1: pytest.approx(value)}
        assert got.protocol == protocol and got.episodes == len(episodes)


def test_the_four_published_accumulations_differ_on_the_same_episodes():
    """Class 1: 14 of 14 + 2 + 2 + 4 void; class 2: 6 of 10, and 5 false on a target without positives."""
    episodes, classes = [PLAIN, VOID, PLAIN, EMPTY], [1, 1, 2, 2]
    got = {p: score(p, episodes, classes).iou for p in ACCUMULATIONS}
    assert got == {
        "oslsm": pytest.approx((14 / 22 + 6 / 15) / 2),
        "panet": pytest.approx((14 / 18 + 6 / 10) / 2),
        "hsnet": pytest.approx((14 / 18 + 6 / 15) / 2),
        "pfenet": pytest.approx((14 / 18 + 6 / 15) / 2),
        "reference": pytest.approx(20 / 33),
    }
    assert len({round(value, 6) for value in got.values()}) == 4


def test_both_forms_of_fb_iou_by_hand():
    # Foreground: 18 of 18 + 7 + 10. Background: 25 of 25 + 10 + 7.
    pooled = (18 / 35 + 25 / 42) / 2
    # PANet leaves the 5 false positives of EMPTY out of the foreground, the 8 misses of FULL out of the background.
    present = (18 / 30 + 25 / 34) / 2
    episodes = [PLAIN, EMPTY, FULL]
    assert score("hsnet", episodes).fb_iou == score("pfenet", episodes).fb_iou == pytest.approx(pooled)
    assert score("panet", episodes).fb_iou == pytest.approx(present)
    assert score("oslsm", episodes).fb_iou is None and score("reference", episodes).fb_iou is None


def test_fb_iou_pools_the_classes():
    episodes = [(1, 0, 0, 9, 0, 0), (0, 0, 9, 1, 0, 0)]
    assert score("hsnet", episodes, [1, 2]).fb_iou == pytest.approx((1 / 10 + 10 / 19) / 2)
    assert score("hsnet", episodes, [1, 2]).iou == 0.5


def test_a_class_of_the_fold_without_an_episode():
    for protocol in ("oslsm", "hsnet", "pfenet"):
        got = score(protocol, [PLAIN], fold=(1, 2))
        assert got.iou == pytest.approx(0.3) and got.by_class == {1: pytest.approx(0.6), 2: 0.0}
    got = score("panet", [PLAIN], fold=(1, 2))
    assert np.isnan(got.iou) and np.isnan(got.by_class[2])
    got = score("reference", [PLAIN], fold=(1, 2))
    assert got.iou == pytest.approx(0.6) and np.isnan(got.by_class[2])


@pytest.mark.parametrize("protocol", ACCUMULATIONS)
def test_no_episode_at_all(protocol):
    got = score(protocol, [])
    assert np.isnan(got.iou) and got.by_class == {} and got.episodes == 0


@pytest.mark.parametrize("protocol", ACCUMULATIONS)
def test_order_does_not_matter_and_counts_do_not_overflow(protocol):
    prediction, target, classes = random_episodes(2)
    counts = count_outcomes(prediction, target)
    order = np.random.default_rng(0).permutation(len(counts))
    assert score_episodes(counts[order], classes[order], protocol) == score_episodes(counts, classes, protocol)
    large = np.full((3, 6), 2**31 - 1, np.int32) * np.array([1, 1, 1, 1, 0, 0], np.int32)
    assert score_episodes(large, np.ones(3, np.int64), protocol).iou == pytest.approx(1 / 3)


def test_the_references_is_the_pooled_positive_iu():
    prediction, target, classes = random_episodes(3)
    counts = count_outcomes(prediction, target)
    assert score_episodes(counts, classes, "reference").iou == positive_iu(counts[:, :3], classes).pooled
    assert score_episodes(counts, classes, "hsnet").iou == pytest.approx(positive_iu(counts[:, :3], classes).class_mean)


def test_wrong_use():
    with pytest.raises(ValueError, match="protocol is 'canet'; it must be one of oslsm, panet, hsnet, pfenet"):
        score("canet", [PLAIN])
    with pytest.raises(ValueError, match=r"classes \[7\], which are not of the fold \[1, 2\]"):
        score("hsnet", [PLAIN, PLAIN], [1, 7], fold=(2, 1))


# Restatements of the published codes, pixel by pixel, episode by episode.


def restate_oslsm(prediction, target, classes, fold):
    totals = {c: [0, 0, 0] for c in fold}
    for p, t, c in zip(prediction, target, classes, strict=True):
        for taken, label in zip(p.flat, t.flat, strict=True):
            wanted = label == 1  # 255 is background
            totals[c][0] += bool(taken and wanted)
            totals[c][1] += bool(taken and not wanted)
            totals[c][2] += bool(not taken and wanted)
    return np.mean([tp / float(max(tp + fp + fn, 1)) for tp, fp, fn in totals.values()]), None


def restate_panet(prediction, target, classes, fold):
    """Sets of pixels for each label of an episode: 0 the background, else the class; absent labels are not recorded."""
    sums = {label: np.zeros(3) for label in [0, *fold]}
    for p, t, c in zip(prediction, target, classes, strict=True):
        for value, label in ((0, 0), (1, c)):
            taken = {(y, x) for y, x in np.ndindex(t.shape) if p[y, x] == value and t[y, x] != 255}
            wanted = {(y, x) for y, x in np.ndindex(t.shape) if t[y, x] == value}
            if wanted:
                sums[label] += [len(taken & wanted), len(taken - wanted), len(wanted - taken)]
    ious = [sums[c][0] / sums[c].sum() for c in fold]
    positives = sum(sums[c] for c in fold)
    return np.mean(ious), np.mean([sums[0][0] / sums[0].sum(), positives[0] / positives.sum()])


def restate_hsnet(prediction, target, classes, fold):
    """Areas of intersection and union of background and foreground, in a buffer of two rows, a column a class."""
    inter, union = np.zeros((2, 20)), np.zeros((2, 20))
    for p, t, c in zip(prediction, target, classes, strict=True):
        p = np.where(t == 255, 255, p)
        for side in (0, 1):
            same = p[p == t]
            area = (same == side).sum()
            inter[side, c] += area
            union[side, c] += (p == side).sum() + (t == side).sum() - area
    iou = inter / np.maximum(union, 1)
    fold = list(fold)
    return iou[1, fold].mean(), (inter[:, fold].sum(1) / union[:, fold].sum(1)).mean()


def restate_pfenet(prediction, target, classes, fold):
    totals, both = {c: [0, 0] for c in fold}, np.zeros((2, 2))
    for p, t, c in zip(prediction, target, classes, strict=True):
        output, label = p.ravel().copy(), t.ravel()
        output[label == 255] = 255
        for side in (0, 1):
            hits = sum(1 for a, b in zip(output, label, strict=True) if a == b == side)
            area = np.count_nonzero(output == side) + np.count_nonzero(label == side) - hits
            both[side] += [hits, area]
            if side:
                totals[c][0] += hits
                totals[c][1] += area
    ious = [hits / (area + 1e-10) for hits, area in totals.values()]
    return sum(ious) / len(ious), np.mean(both[:, 0] / (both[:, 1] + 1e-10))


def restate_reference(prediction, target, classes, fold):
    """A histogram of labels over the whole set, the positive label rewritten to the class on both sides."""
    table = np.zeros((21, 21))
    for p, t, c in zip(prediction, target, classes, strict=True):
        for truth, output in zip(t.flat, p.flat, strict=True):
            if truth < 21:
                table[c if truth == 1 else truth, c if output == 1 else output] += 1
    hits = table[1:, 1:].sum()
    return hits / (hits + table[0, 1:].sum() + table[1:, 0].sum()), None


@pytest.mark.parametrize(
    ("protocol", "restated"),
    [
        ("oslsm", restate_oslsm),
        ("panet", restate_panet),
        ("hsnet", restate_hsnet),
        ("pfenet", restate_pfenet),
        ("reference", restate_reference),
    ],
)
@pytest.mark.parametrize("seed", [4, 5])
def test_agrees_with_the_published_code_restated(protocol, restated, seed):
    prediction, target, classes = random_episodes(seed)
    fold = (6, 7, 8, 9, 10)
    iou, fb_iou = restated(prediction, target, classes.tolist(), fold)
    got = score_episodes(count_outcomes(prediction, target), classes, protocol, fold)
    assert got.iou == pytest.approx(iou, abs=1e-9)
    assert (got.fb_iou is None and fb_iou is None) or got.fb_iou == pytest.approx(fb_iou, abs=1e-9)


def test_the_random_episodes_tell_the_accumulations_apart():
    prediction, target, classes = random_episodes(4)
    counts = count_outcomes(prediction, target)
    got = {p: score_episodes(counts, classes, p) for p in ACCUMULATIONS}
    assert len({round(each.iou, 4) for each in got.values()}) == 4
    assert got["panet"].iou > got["hsnet"].iou > got["oslsm"].iou
    assert abs(got["panet"].fb_iou - got["hsnet"].fb_iou) > 1e-4
