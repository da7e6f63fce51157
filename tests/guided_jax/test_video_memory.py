"""Guidance that follows a clip: what it gains, its order of frames, several objects, late ones, both ways."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.guided_filter import apply_filter, filter_guide, to_blocks
from guided_jax.guides.memory import Remembered
from guided_jax.model_config import ModelConfig
from guided_jax.video import ClipMemory, VideoSegmentor
from guided_jax.video.completing import complete_annotation, trunk_alone
from guided_jax.video.following import ClipGuidance, ClipState, begin, label_frame, score_both_ways
from tests.guided_jax.small_models import small_model

SIZE, FRAMES, SIDE, APART = (64, 48), 6, 14, 44
MODEL = {
    "backbone": "vgg-small",
    "inference": "distance",
    "locality": "both",
    "feature_width": 0,
    "stride": 4,
}


def truth(frame, way=2):
    """Squares that move to the right; those of all objects look the same."""
    labels = np.zeros(SIZE, np.uint8)
    for label in range(1, way):
        top = 2 + APART * (label - 1)
        labels[top : top + SIDE, 2 + 3 * frame : 2 + 3 * frame + SIDE] = label
    return labels


def clip_of(way=2, squares=3, seed=0):
    """Frames [t, h, w, 3]: squares of one colour on noise; with more squares than objects, some are background."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(60, 90, (FRAMES, *SIZE, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[truth(number, squares) > 0] = (220, 60, 40)
    return frames


@pytest.fixture(scope="module")
def model():
    network, params = small_model(**MODEL)
    return network, {**params, "head": {"log_temperature": jnp.full((2,), np.log(10), jnp.float32)}}


def segmentor(model, memory="forward", **options):
    return VideoSegmentor(*model, memory=memory, devices=jax.local_devices()[:1], **options)


def guide(video, frames, positions=(0,), way=2, annotation=None, squares=None):
    annotation = np.stack([truth(position, way) for position in positions]) if annotation is None else annotation
    return video.guide(frames[list(positions)], annotation[None], way=way, positions=positions)


def segment(video, frames, **options):
    """Label maps [t, h, w] under one annotation."""
    return np.stack(list(video.segment(guide(video, frames, **options), iter(frames))))[:, 0]


def overlap(found, label, way=2):
    wanted = np.stack([truth(frame, way) for frame in range(len(found))]) == label
    return float(((found == label) & wanted).sum() / ((found == label) | wanted).sum())


def test_place_tells_things_apart_that_look_the_same(model):
    frames = clip_of()
    alone, followed = (segment(segmentor(model, memory), frames) for memory in ("none", "forward"))
    assert overlap(alone, 1) < 0.6 < 0.75 < overlap(followed, 1)


def test_several_objects_at_once_and_as_a_union(model):
    frames = clip_of()
    for union in (False, True):
        found = segment(segmentor(model, union=union), frames, way=3)
        assert min(overlap(found, label, 3) for label in (1, 2)) > 0.7


def test_it_is_online_and_chunks_canvas_and_annotations_beside_it_change_nothing(model):
    frames = clip_of()
    expected = segment(segmentor(model), frames)
    video = segmentor(model, chunk=1)
    np.testing.assert_array_equal(segment(video, frames[:4]), expected[:4])
    read = []

    def reading():
        for number, frame in enumerate(frames):
            read.append(number)
            yield frame

    next(video.segment(guide(video, frames), reading()))
    assert len(read) <= 2
    guidance = video.guide(frames[:1], truth(0)[None, None], way=2, canvas=(96, 64))
    roomy = np.stack(list(video.segment(guidance, frames)))[:, 0]
    assert (roomy != expected).mean() < 1e-3
    other = np.where(truth(0, 3) == 2, 1, 0).astype(np.uint8)
    guidance = video.guide(frames[:1], np.stack([other, truth(0)])[:, None], way=2)
    np.testing.assert_array_equal(np.stack(list(video.segment(guidance, frames)))[:, 1], expected)


def test_devices_change_nothing(model):
    frames = clip_of()
    many = VideoSegmentor(*model, memory="forward", chunk=4)
    np.testing.assert_array_equal(segment(many, frames), segment(segmentor(model), frames))


def test_nothing_is_compiled_anew_and_nothing_learnt(model):
    before = jax.tree.map(np.array, model[1])
    video = segmentor(model)
    segment(video, clip_of())
    programs = video.compiled()
    assert programs == 4
    segment(video, clip_of(seed=1)[:3])
    assert video.compiled() == programs
    jax.tree.map(np.testing.assert_array_equal, model[1], before)


def test_backward_is_forward_of_the_clip_turned_round(model):
    frames, last = clip_of(), FRAMES - 1
    found = segment(segmentor(model, "both"), frames, positions=(last,))
    turned = segmentor(model)
    guidance = turned.guide(frames[last:], truth(last)[None, None], way=2)
    expected = np.stack(list(turned.segment(guidance, frames[::-1])))[::-1, 0]
    np.testing.assert_array_equal(found, expected)
    first = segment(segmentor(model, "both"), frames)
    np.testing.assert_array_equal(first, segment(segmentor(model), frames))


def test_frames_before_the_first_annotated_one_follow_nothing_online(model):
    frames = clip_of()
    online, both = (segment(segmentor(model, memory), frames, positions=(3,)) for memory in ("forward", "both"))
    np.testing.assert_array_equal(online[3:], both[3:])
    assert overlap(both[:3], 1) > overlap(online[:3], 1)


def test_between_annotated_frames_both_ways_count(model):
    frames, video = clip_of(), segmentor(model, "both")
    found = segment(video, frames, positions=(0, 5))
    assert overlap(found, 1) > 0.75
    # The order in which they are given does not matter.
    annotation = np.stack([truth(5), truth(0)])
    np.testing.assert_array_equal(segment(video, frames, positions=(5, 0), annotation=annotation), found)


def test_the_nearer_annotated_frame_counts_more():
    """Scores that are 1 forward and 0 backward, annotated frames 2 and 6: backward before, between in proportion."""
    remembered = Remembered(jnp.ones((1, 1, 1, 1)), jnp.ones((1, 1, 1, 1, 1)))
    state = ClipState(remembered, remembered.certainty)
    scores, _ = score_both_ways(
        lambda number, state: (state.previous.features, state), range(9), [2, 6], state, goes_on=False
    )
    assert [float(each.squeeze()) for each in scores] == [0, 0, 1, 0.75, 0.5, 0.25, 1, 1, 1]


def remembers(frames, annotated, *, goes_on):
    """What each frame is told to be the one before it, counted from 1 and joined; 100 is that of an earlier go."""

    def score(number, state):
        before = state.previous.features
        return before, state._replace(previous=state.previous._replace(features=jnp.full_like(before, number + 1)))

    earlier = Remembered(jnp.full((1, 1, 1, 1), 100.0), jnp.ones((1, 1, 1, 1, 1)))
    state = ClipState(earlier, earlier.certainty)
    scores, after = score_both_ways(score, frames, annotated, state, goes_on=goes_on)
    return [float(each.squeeze()) for each in scores], float(after.previous.features.squeeze())


def test_the_order_of_frames_both_ways():
    """Forward a frame follows the one before it (n), backward the one behind it (n + 2), and nothing (0) at first."""
    between = [100, 0.75 * 3 + 0.25 * 5, 0.5 * 4 + 0.5 * 6, 0.25 * 5 + 0.75 * 7]
    found, last = remembers(range(9), [2, 6], goes_on=False)
    assert found == [2, 3, *between, 6, 7, 8] and last == 9
    # A go that follows another one begins where that has ended, not where it is annotated.
    found, _ = remembers(range(9), [2, 6], goes_on=True)
    assert found[:3] == [100, 0.5 * 1 + 0.5 * 3, 2]
    assert remembers(range(4, 9), [6], goes_on=True) == ([100, 0.5 * 5 + 0.5 * 7, 6, 7, 8], 9)
    assert remembers(range(4, 7), [], goes_on=True) == remembers(range(4, 7), [], goes_on=False) == ([100, 5, 6], 7)


@pytest.mark.parametrize(("tasks", "before", "now"), [(1, (2, 2, 1), (2, 3, 2)), (2, (3, 2, 1), (6, 2, 3))])
def test_what_a_go_begins_with(tasks, before, now):
    """More labels (all at once), or more tasks (of a union) of each annotation, and more annotated frames: what was
    remembered of the old ones stays, what is annotated is known of the new ones, and nothing is of the frame before."""
    old = -np.arange(1.0, 1 + np.prod(before)).reshape(*before, 1, 1).astype(np.float32)
    new = np.arange(1.0, 1 + np.prod(now)).reshape(*now, 1, 1).astype(np.float32)
    features = jnp.arange(1.0, 1 + now[2]).reshape(-1, 1, 1, 1)
    guidance = ClipGuidance(jnp.ones((*now[:2], 1)), Remembered(features, jnp.asarray(new)))
    first = jax.jit(partial(begin, before=None, tasks=tasks))(guidance)
    np.testing.assert_array_equal(first.annotated, new)
    assert not np.asarray(first.previous.features).any() and first.previous.features.shape == (1, 1, 1, 1)
    assert not np.asarray(first.previous.certainty).any() and first.previous.certainty.shape == (*now[:2], 1, 1, 1)
    previous = Remembered(jnp.full((1, 1, 1, 1), 7.0), jnp.asarray(old[:, :, :1]))
    later = jax.jit(partial(begin, tasks=tasks))(guidance, ClipState(previous, jnp.asarray(old)))
    assert float(later.previous.features.squeeze()) == 7
    every = now[0] // before[0]
    np.testing.assert_array_equal(later.annotated[::every, : before[1], : before[2]], old)
    np.testing.assert_array_equal(later.previous.certainty[::every, : before[1]], old[:, :, :1])
    rest = np.ones(now, bool)
    rest[::every, : before[1], : before[2]] = False
    np.testing.assert_array_equal(np.asarray(later.annotated)[rest], new[rest])
    assert not np.asarray(later.previous.certainty)[rest[:, :, :1]].any()


@pytest.mark.parametrize("union", [False, True])
def test_labels_of_pixels_follow_the_edges_of_the_frame(model, union):
    """Of two annotations: the greatest of the positive labels' filtered lead over the negative, or the negative."""
    bound, rng = model[0].bind({"params": model[1]}), np.random.default_rng(0)
    shape = (4, 2) if union else (2, 3)  # two tasks of one label each, or one task of both
    scores = rng.normal(size=(*shape, 16, 12)).astype(np.float32)
    image, size = jnp.asarray(clip_of()[:1]), jnp.array([SIZE], jnp.int32)
    label = jax.jit(partial(label_frame, bound, canvas=SIZE, tasks=2 if union else 1))
    found = label(scores, image, size)

    @jax.jit
    def filtered_lead(planes):
        blocks = to_blocks(planes, bound.geometry, SIZE, size)
        return apply_filter(filter_guide(image, size, radius=8), blocks, radius=8)

    planes = filtered_lead((scores[:, 1:] - scores[:, :1]).reshape(1, 4, 16, 12))
    for labels, filtered in zip(np.asarray(found), np.asarray(planes).reshape(2, 2, *SIZE), strict=True):
        np.testing.assert_array_equal(labels, np.where(filtered.max(0) > 0, filtered.argmax(0) + 1, 0))
        assert {0, 1, 2} == set(np.unique(labels))


@pytest.mark.parametrize("memory", ["forward", "both"])
@pytest.mark.parametrize("union", [False, True])
def test_a_late_object_joins_and_the_others_go_on(model, memory, union):
    frames, video, start = clip_of(), segmentor(model, memory, union=union), 3
    clip = ClipMemory()
    found = list(video.segment(guide(video, frames), frames[:start], clip))
    late = np.where(truth(start, 3) == 2, 2, UNKNOWN).astype(np.uint8)
    annotation = np.stack([truth(0), late])
    guidance = guide(video, frames, positions=(0, start), way=3, annotation=annotation)
    found += list(video.segment(guidance, frames[start:], clip))
    assert clip.frame == FRAMES
    found = np.stack(found)[:, 0]
    alone = segment(segmentor(model, memory, union=union), frames)
    np.testing.assert_array_equal(found[:start], alone[:start])
    assert overlap(found, 1) > 0.7
    wanted = np.stack([truth(frame, 3) == 2 for frame in range(start, FRAMES)])
    assert ((found[start:] == 2) & wanted).sum() / ((found[start:] == 2) | wanted).sum() > 0.7


def test_a_few_points_are_completed_by_the_first_frames_own_prediction(model):
    frames, video = clip_of(), segmentor(model)
    points = np.full(SIZE, UNKNOWN, np.uint8)
    points[[4, 12], [4, 12]] = 1
    points[[30, 20, 40], [6, 30, 35]] = 0
    found = segment(video, frames, annotation=points[None])
    alone = segment(segmentor(model, "none"), frames, annotation=points[None])
    assert overlap(found, 1) > overlap(alone, 1) + 0.1
    clip, guidance = ClipMemory(), guide(video, frames, annotation=points[None])
    list(video.segment(guidance, frames[:1], clip))
    completed = np.asarray(clip.state.annotated)
    np.testing.assert_array_equal(completed, clip.state.previous.certainty)
    assert (completed > 0).sum() > 4 * (np.asarray(guidance.tasks.annotated.certainty) > 0).sum()
    list(video.segment(guidance, frames[1:], clip))
    np.testing.assert_array_equal(clip.state.annotated, completed)  # once, not by each frame that follows


@pytest.fixture(scope="module")
def decoder():
    """Untrained: it starts from the similarities along its principal directions."""
    widths = {"feature_width": 8, "fc6_kernel": 1, "embedding": 4, "head_width": 4, "principal": 16}
    return small_model(**{**MODEL, "inference": "decoder", **widths})


def test_the_trunk_alone_is_the_models_own(decoder):
    """Its size, stride, labels, preprocessing and type; similarities without training, ten times a cosine each."""
    network, params = decoder
    changed = dataclasses.replace(network.config, way=3, dtype="bfloat16", preprocessing="torchvision")
    alone, kept = trunk_alone(dataclasses.replace(network, config=changed), params)
    assert alone.config == ModelConfig(
        backbone="vgg-small", grid="taps", stride=4, feature_width=0, locality="both", inference="distance", way=3,
        dtype="bfloat16", preprocessing="torchvision",
    )  # fmt: skip
    assert alone.preprocessing == network.preprocessing and kept["trunk"] is params["trunk"] and len(kept) == 2
    np.testing.assert_allclose(np.exp(kept["head"]["log_temperature"]), [10, 10], rtol=1e-6)


def points_on(labels, every=6):
    points = np.full(labels.shape, UNKNOWN, np.uint8)
    points[2::every, 3::every] = labels[2::every, 3::every]
    return points


def complete(decoder, frames, annotation, way=2):
    network, params = decoder
    arrays = frames, annotation[None], np.tile(np.array(SIZE, np.int32), (len(frames), 1))
    arrays = (jnp.asarray(each) for each in arrays)
    found = network.apply({"params": params}, *arrays, canvas=SIZE, way=way, method=complete_annotation)
    return np.asarray(found)[0]


def test_a_decoder_completes_the_annotated_frames(decoder):
    frames, points = clip_of()[:1], points_on(truth(0))[None]
    filled = complete(decoder, frames, points)
    np.testing.assert_array_equal(filled[points != UNKNOWN], points[points != UNKNOWN])
    assert (filled != UNKNOWN).all()
    assert ((filled[0] == 1) & (truth(0) == 1)).sum() > (points == 1).sum() * 4
    # A positive that a frame does not show is none of its business; the negative is, where any label is annotated.
    positives = np.where(points == 1, 1, UNKNOWN).astype(np.uint8)
    network, params = decoder
    head = {**params["head"], "last": {**params["head"]["last"], "bias": jnp.array([-18.0])}}
    wary = network, {**params, "head": head}  # of what is not much like the points
    both = np.stack([positives[0], np.where(points[0] == 1, 2, UNKNOWN).astype(np.uint8)])
    two = complete(wary, clip_of()[:2], both, 3)
    assert [set(np.unique(each)) - {UNKNOWN} for each in two] == [{0, 1}, {0, 2}]
    assert ((two[0] == 0) & (truth(0) == 0)).sum() > ((two[0] == 0) & (truth(0) == 1)).sum()
    blank = np.full_like(positives[0], UNKNOWN)
    assert (complete(wary, clip_of()[:2], np.stack([positives[0], blank]), 3)[1] == UNKNOWN).all()


@pytest.mark.parametrize("union", [False, True])
def test_with_a_decoder_the_trunk_follows_from_whole_masks(decoder, union):
    frames, points = clip_of(), points_on(truth(0, 3))[None]
    found = segment(segmentor(decoder, union=union), frames, way=3, annotation=points)
    alone = segmentor(trunk_alone(*decoder), union=union)
    filled = complete(decoder, frames[:1], points, 3)
    np.testing.assert_array_equal(found, segment(alone, frames, way=3, annotation=filled))
    assert (found != segment(alone, frames, way=3, annotation=points)).any()
    dense = truth(0, 3)[None]
    np.testing.assert_array_equal(
        segment(segmentor(decoder, union=union), frames, way=3, annotation=dense),
        segment(alone, frames, way=3, annotation=dense),
    )


def test_what_cannot_be_is_refused(model):
    with pytest.raises(ValueError, match="memory='back' is not one of none, forward, both"):
        segmentor(model, "back")
    with pytest.raises(ValueError, match=r"memory=forward: .* the model has model.inference=feature-fusion, not dist"):
        segmentor(small_model())
    with pytest.raises(ValueError, match=r"memory=forward: .* the model has model.metric=euclidean, not cosine"):
        segmentor(small_model(**MODEL, metric="euclidean"))
    video, frames = segmentor(model), clip_of()
    for positions in ((0, 1), (-1,), (0, 0)):
        with pytest.raises(ValueError, match=r"must be 1 numbers from 0 on, one an annotated frame"):
            video.guide(frames[:1], truth(0)[None, None], way=2, positions=positions)
