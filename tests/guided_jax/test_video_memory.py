"""Guidance that follows a clip: what it gains, its order of frames, several objects, late ones, both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN
from guided_jax.guides.memory import Remembered
from guided_jax.video import ClipMemory, VideoSegmentor
from guided_jax.video.completing import complete_annotation, trunk_alone
from guided_jax.video.following import ClipState, score_both_ways
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
    # A label that a frame does not show is none of its business, and neither is the negative where none is annotated.
    positives = np.where(points == 1, 1, UNKNOWN).astype(np.uint8)
    assert set(np.unique(complete(decoder, frames, positives))) <= {1, UNKNOWN}
    two = complete(
        decoder, clip_of()[:2], np.stack([positives[0], np.where(points[0] == 1, 2, UNKNOWN).astype(np.uint8)]), 3
    )
    assert [set(np.unique(each)) - {UNKNOWN} for each in two] == [{1}, {2}]


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
