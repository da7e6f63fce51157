"""Videos against single episodes: the same labels, whatever the chunks, the canvas and the devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN, Episode
from guided_jax.inference.union import binary_tasks, union_logits
from guided_jax.video import VideoSegmentor
from tests.guided_jax.small_models import small_model

SIZE = (21, 26)
PROTOTYPES = {"inference": "distance"}


def make_frames(number=7):
    """Noise under stripes of a colour each, which move down."""
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 200, (4, 3))
    stripes = (np.arange(SIZE[0])[None] + np.arange(number)[:, None]) // 6 % 4
    noise = rng.integers(0, 56, (number, *SIZE, 3))
    return (colours[stripes][:, :, None] + noise).astype(np.uint8), stripes


FRAMES, STRIPES = make_frames()
EARLY = {"sharing": "unshared", "fusion": "stack"}
GUIDED = {
    "late": {},
    "both": {"locality": "both"},
    "dilated": {"grid": "exact", "stride": 8, "support_grid": "dilated", "support_stride": 4},
    "neighbours": {**PROTOTYPES, "locality": "local"},
    "early": EARLY,
    "early-mask": {**EARLY, "fusion": "mask"},
    "unguided": {"fusion": "none", "inference": "direct"},
}


def annotate(shots=1, way=2, draws=1, points=4, seed=0):
    """Some points of each label, on its stripe of the first frames."""
    rng = np.random.default_rng(seed)
    annotation = np.full((draws, shots, *SIZE), UNKNOWN, np.uint8)
    for draw in annotation:
        for shot, plane in enumerate(draw):
            for label in range(way):
                rows = rng.choice(np.flatnonzero(STRIPES[shot] == label), points)
                plane[rows, rng.integers(0, SIZE[1], points)] = label
    return annotation


def one_device(model, params, **options):
    return VideoSegmentor(model, params, devices=jax.local_devices()[:1], **options)


def segment(video, annotation, way=2, frames=FRAMES, images=None, **options):
    """Label maps [t, a, h, w], guided by the first frames."""
    images = FRAMES[: annotation.shape[1]] if images is None else images
    return np.stack(list(video.segment(video.guide(images, annotation, way=way, **options), iter(frames))))


def episode_logits(model, params, frame, annotation, **options):
    """Logits [a, k, h, w] of the model called on the one frame as an episode."""
    sizes = np.array([SIZE], np.int32)
    shots = annotation.shape[1]
    episode = Episode(
        query=frame[None],
        query_size=sizes,
        target=np.zeros((1, *SIZE), np.uint8),
        support=FRAMES[None, :shots],
        support_size=np.tile(sizes[:, None], (1, shots, 1)),
        annotation=annotation[None],
        task_class=np.zeros(1, np.int32),
        index=np.zeros(1, np.uint32),
        real=np.ones(1, bool),
    )
    return np.asarray(jax.jit(partial(model.apply, **options))({"params": params}, episode))[:, 0]


def check_labels(found, logits):
    """The labels are those of the greatest logit, but where the two greatest agree to rounding."""
    assert found.dtype == np.uint8
    first, second = np.sort(logits, -3)[..., -1, :, :], np.sort(logits, -3)[..., -2, :, :]
    sure = first - second > 1e-4
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(found[sure], logits.argmax(-3)[sure])


@pytest.mark.parametrize("fields", GUIDED.values(), ids=GUIDED.keys())
def test_frames_are_single_episodes(fields):
    model, params = small_model(**fields)
    annotation = annotate(draws=2)
    found = segment(one_device(model, params, chunk=3), annotation, frames=FRAMES[:5])
    assert found.shape == (5, 2, *SIZE)
    logits = episode_logits(model, params, FRAMES[4], annotation)
    check_labels(found[4], logits)


def test_several_objects_at_once_and_as_a_union():
    model, params = small_model(**PROTOTYPES)
    annotation = annotate(way=4, draws=2)
    softmax = segment(one_device(model, params), annotation, 4)
    union = segment(one_device(model, params, union=True), annotation, 4)
    check_labels(softmax[5], episode_logits(model, params, FRAMES[5], annotation, way=4))
    check_labels(union[5], episode_logits(model, params, FRAMES[5], annotation, way=4, union=True))
    for found in (softmax, union):
        assert set(np.unique(found)) == {0, 1, 2, 3}
    assert (softmax != union).any()


@pytest.mark.parametrize("fields", [{"sharing": "unshared"}, EARLY], ids=["late", "early"])
def test_a_head_on_two_labels_takes_objects_as_a_union_of_binary_tasks(fields):
    model, params = small_model(**fields)
    annotation = annotate(way=3)
    found = segment(one_device(model, params, union=True), annotation, 3)
    binary = [
        episode_logits(model, params, FRAMES[2], np.asarray(task)) for task in binary_tasks(jnp.asarray(annotation), 3)
    ]
    check_labels(found[2], np.asarray(union_logits(jnp.stack(binary))))
    with pytest.raises(ValueError, match=r"one head on 2 labels, and takes no 3 labels; a union of binary tasks"):
        VideoSegmentor(model, params).guide(FRAMES[:1], annotation, way=3)


def test_a_head_on_three_labels():
    model, params = small_model(sharing="unshared", way=3)
    annotation = annotate(way=3)
    found = segment(one_device(model, params), annotation, 3)
    check_labels(found[1], episode_logits(model, params, FRAMES[1], annotation))
    with pytest.raises(ValueError, match="one head on 3 labels, and takes no binary tasks"):
        VideoSegmentor(model, params, union=True).guide(FRAMES[:1], annotation, way=3)


def test_one_object_is_the_same_either_way():
    model, params = small_model(**PROTOTYPES)
    annotation = annotate()
    both = [segment(one_device(model, params, union=union), annotation) for union in (False, True)]
    np.testing.assert_array_equal(*both)
    assert set(np.unique(both[0])) == {0, 1}


def test_two_annotated_frames_guide_together_in_any_order():
    model, params = small_model(**PROTOTYPES)
    video = one_device(model, params)
    annotation = annotate(shots=2)
    found = segment(video, annotation)
    check_labels(found[6], episode_logits(model, params, FRAMES[6], annotation))
    np.testing.assert_array_equal(found, segment(video, annotation[:, ::-1], images=FRAMES[1::-1]))
    assert (found != segment(video, annotation[:, :1])).any()


def test_chunks_devices_and_canvas_do_not_change_the_labels():
    model, params = small_model(**PROTOTYPES)
    annotation = annotate(way=3, shots=2)
    expected = segment(one_device(model, params, chunk=1), annotation, 3)
    for video in (one_device(model, params, chunk=3), VideoSegmentor(model, params, chunk=5)):
        np.testing.assert_array_equal(segment(video, annotation, 3), expected)
    assert video.chunk == 8  # 5 on 4 devices
    roomy = segment(one_device(model, params, chunk=4), annotation, 3, canvas=(48, 64))
    assert (roomy != expected).mean() < 1e-3  # ties, by rounding


def test_no_more_frames_are_read_than_are_under_way():
    model, params = small_model(**PROTOTYPES)
    video, read = one_device(model, params, chunk=2), []

    def frames():
        for i in range(100):
            read.append(i)
            yield FRAMES[i % 7]

    maps = video.segment(video.guide(FRAMES[:1], annotate(), way=2), frames())
    for _ in range(5):
        next(maps)
    assert len(read) <= 8
    assert list(video.segment(video.guide(FRAMES[:1], annotate(), way=2), [])) == []


def test_guiding_anew_leaves_the_parameters_and_compiles_nothing():
    model, params = small_model(**PROTOTYPES)
    before = jax.tree.map(np.array, params)
    video = one_device(model, params, chunk=4)
    first = segment(video, annotate(seed=1))
    assert video.compiled() == 3
    other = segment(video, annotate(seed=2), frames=FRAMES[:3])
    smaller = FRAMES[:, :18, :20]
    annotation = annotate()[..., :18, :20]
    assert next(video.segment(video.guide(smaller[:1], annotation, way=2), smaller)).shape == (1, 18, 20)
    assert video.compiled() == 3
    assert (first[:3] != other).any()
    np.testing.assert_array_equal(segment(video, annotate(seed=1)), first)
    jax.tree.map(np.testing.assert_array_equal, params, before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"locality": "local"}, "mode=video: model.locality=local keeps the positions of the support"),
        (
            {"fusion": "stack", "inference": "direct", "sharing": "unshared"},
            "mode=video: .* segments the annotated image itself",
        ),
    ],
)
def test_a_model_of_the_annotated_image_alone_is_refused(fields, message):
    model, params = small_model(**fields)
    with pytest.raises(ValueError, match=message):
        VideoSegmentor(model, params)


def test_what_does_not_fit_is_refused():
    model, params = small_model()
    video = VideoSegmentor(model, params)
    with pytest.raises(ValueError, match=r"annotations of shape \(1, 1, 21, 26\) do not fit frames of shape \(2, 21,"):
        video.guide(FRAMES[:2], annotate(), way=2)
    with pytest.raises(ValueError, match=r"the annotation has the label 2; the labels are 0 \(the negative\) to 1"):
        video.guide(FRAMES[:1], annotate(way=3), way=2)
    with pytest.raises(ValueError, match=r"a canvas of \(16, 32\) does not hold frames of \(21, 26\)"):
        video.guide(FRAMES[:1], annotate(), way=2, canvas=(16, 32))
    with pytest.raises(ValueError, match=r"frame 1 has 20x26 pixels \(height x width\), the annotated frames 21x26"):
        list(video.segment(video.guide(FRAMES[:1], annotate(), way=2), [FRAMES[0], FRAMES[1, :20]]))
    with pytest.raises(ValueError, match="chunk is 0"):
        VideoSegmentor(model, params, chunk=0)
    model, params = small_model(grid="exact", stride=8)
    with pytest.raises(ValueError, match=r"frames of 8x26 pixels; the model's grid needs sides of 9 or more"):
        VideoSegmentor(model, params).guide(FRAMES[:1, :8], annotate()[:, :, :8], way=2)
