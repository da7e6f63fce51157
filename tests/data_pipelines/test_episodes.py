from collections import Counter
from functools import partial

import numpy as np
import pytest

from data_pipelines.canvas import parse_canvases
from data_pipelines.datasets.record import DatasetError, decode_image, decode_layer, to_record
from data_pipelines.episodes import EpisodeStream
from data_pipelines.points import parse_points, parse_shots
from data_pipelines.tasks import list_tasks
from guided_jax.episode import UNKNOWN

CANVASES = parse_canvases("40x64,64x40,64x64")


def make_stream(*sources, mode="interactive", shots="1", points="0-9", **options):
    options = {"canvases": CANVASES, "seed": 0, "group": 4, **options}
    return EpisodeStream(sources, mode=mode, shots=parse_shots(shots), points=parse_points(points), **options)


def identify(split, image, size):
    """The record whose image lies on a canvas, and whether it is mirrored."""
    for i in range(len(split.records)):
        record = to_record(split.records[i])
        if (record.height, record.width) == tuple(size):
            stored = decode_image(record.image)
            seen = image[: size[0], : size[1]]
            for mirrored in (False, True):
                if np.array_equal(seen, stored[:, ::-1] if mirrored else stored):
                    return record, mirrored
    raise AssertionError("no such image")


@pytest.fixture(scope="module")
def still_source(stills):
    return stills, list_tasks(stills, "class"), 1.0


@pytest.fixture(scope="module")
def clip_source(clips):
    return clips, list_tasks(clips, "instance"), 1.0


@pytest.mark.parametrize("mode", ["interactive", "semantic"])
def test_an_episode_is_a_function_of_seed_and_number(still_source, mode, assert_same):
    stream, twin = make_stream(still_source, mode=mode), make_stream(still_source, mode=mode)
    for i in (7, 3, 4_000_000_000):
        assert_same(stream[i], twin[i])
        assert stream[i].index == i
    other = make_stream(still_source, mode=mode, seed=1)
    assert any(not np.array_equal(stream[i].annotation, other[i].annotation) for i in range(4))
    assert len({stream[i].annotation.tobytes() for i in range(8)}) > 1


def test_interactive_episode(still_source, stills):
    stream = make_stream(still_source, points="3", draws=2)
    for i in range(12):
        episode = stream[i]
        canvas = episode.target.shape
        assert canvas in CANVASES
        assert episode.support is None and episode.support_size is None
        assert episode.query.shape == (*canvas, 3) and episode.annotation.shape == (2, 1, *canvas)
        dtypes = {name: field.dtype for name, field in episode._asdict().items() if field is not None}
        pixels, numbers = dict.fromkeys(["query", "target", "annotation"], np.uint8), ["query_size", "task_class"]
        assert dtypes == pixels | dict.fromkeys(numbers, np.int32) | {"index": np.uint32, "real": np.bool_}
        height, width = episode.query_size
        padding = np.ones(canvas, bool)
        padding[:height, :width] = False
        assert (episode.target[padding] == UNKNOWN).all() and (episode.query[padding] == 0).all()
        record, _ = identify(stills, episode.query, episode.query_size)
        layer = decode_layer(record.layers[0])
        expected = np.where(layer == 255, 255, layer == episode.task_class)
        np.testing.assert_array_equal(episode.target[:height, :width], expected)
        for draw in episode.annotation[:, 0]:
            marked = draw != UNKNOWN
            np.testing.assert_array_equal(draw[marked], episode.target[marked])
            assert np.bincount(draw[marked]).tolist() == [3, 3]
        assert not np.array_equal(*episode.annotation[:, 0])


def test_a_group_shares_a_canvas_and_the_mixture_is_met(still_source, clip_source):
    group, episodes = 5, 6000
    sources = (*still_source[:2], 3.0), (*clip_source[:2], 1.0)
    stream = make_stream(*sources, group=group)
    chosen = [stream.choose(i) for i in range(episodes)]
    for i, choice in enumerate(chosen):
        tasks = sources[choice.source][1]
        assert choice.canvas == chosen[i - i % group].canvas
        assert choice.canvas == ((40, 64) if tasks.height[choice.row] == 40 else (64, 40))
    drawn = Counter((choice.source, choice.row) for choice in chosen)
    expected = {(0, row): 0.75 / 19 for row in range(19)} | {(1, row): 0.25 / 19 for row in range(19)}
    seen = np.array([drawn[key] for key in expected]) / episodes
    expected = np.array(list(expected.values()))
    # 37 degrees of freedom; that of the canvases counts `group` times over, as a group shares its draw.
    assert ((seen - expected) ** 2 / expected).sum() * episodes < 80
    assert seen[:19].sum() == pytest.approx(0.75, abs=0.02)


def test_semantic_support_shows_the_class_in_other_images(still_source, stills, classes):
    stream = make_stream(still_source, mode="semantic", shots="2", points="dense")
    for i in range(15):
        episode = stream[i]
        assert episode.query.shape == (64, 64, 3)
        assert episode.support.shape == (2, 64, 64, 3) and episode.annotation.shape == (1, 2, 64, 64)
        assert episode.task_class != classes.rare
        query, _ = identify(stills, episode.query, episode.query_size)
        shown = set()
        for image, size, annotation in zip(episode.support, episode.support_size, episode.annotation[0], strict=True):
            record, _ = identify(stills, image, size)
            shown.add(record.image_id)
            layer = decode_layer(record.layers[0])
            expected = np.full((64, 64), UNKNOWN, np.uint8)
            expected[: size[0], : size[1]] = np.where(layer == 255, 255, layer == episode.task_class)
            np.testing.assert_array_equal(annotation, expected)
        assert len(shown) == 2 and query.image_id not in shown


def test_classes_of_one_image_are_left_out_and_counted(still_source, caplog):
    with caplog.at_level("INFO", logger="data_pipelines"):
        make_stream(still_source, mode="semantic")
    assert "stills/train: without support, and left out: 1 class with a single image (rare)" in caplog.text


def test_mixed_shots_and_points(still_source):
    stream = make_stream(still_source, mode="semantic", shots="1-3", points="2*0.5,5*0.5")
    shots, points = Counter(), Counter()
    for i in range(60):
        episode = stream[i]
        assert episode.support.shape[0] == 3
        per_shot = (episode.annotation[0] == 1).sum((1, 2)).tolist()
        used = sum(count > 0 for count in per_shot)
        assert not any(per_shot[used:])
        assert (episode.annotation[0, used:] == UNKNOWN).all()
        assert (episode.support[used:] == 0).all() and (episode.support_size[used:] == 64).all()
        shots[used] += 1
        points.update(per_shot[:used])
    assert set(shots) == {1, 2, 3} and set(points) == {2, 5}


@pytest.mark.parametrize("allow_self", [False, True])
def test_video_support_is_of_the_clip_and_silent_on_other_objects(clip_source, clips, allow_self):
    stream = make_stream(clip_source, mode="video", shots="2", points="dense", allow_self=allow_self)
    among, objects = set(), set()
    for i in range(40):
        episode = stream[i]
        query, _ = identify(clips, episode.query, episode.query_size)
        layer = decode_layer(query.layers[0])
        height, width = layer.shape
        target = episode.target[:height, :width]
        (value,) = np.unique(layer[target == 1])
        np.testing.assert_array_equal(target, layer == value)
        objects.add((query.video, int(value)))
        for image, size, annotation in zip(episode.support, episode.support_size, episode.annotation[0], strict=True):
            record, _ = identify(clips, image, size)
            assert record.video == query.video
            among.add(record.image_id == query.image_id)
            layer = decode_layer(record.layers[0])
            expected = np.where(layer == value, 1, np.where(layer == 0, 0, UNKNOWN))
            np.testing.assert_array_equal(annotation[:height, :width], expected)
    assert among == ({False, True} if allow_self else {False})
    assert (("wide", 3) in objects) == allow_self  # seen in one frame only
    assert {("wide", 1), ("wide", 2), ("tall", 1), ("tall", 2)} <= objects


def test_flip_mirrors_the_whole_episode(clip_source, clips):
    stream = make_stream(clip_source, mode="video", points="dense", flip=True, shots="2")
    seen = Counter()
    for i in range(20):
        episode = stream[i]
        (height, width) = episode.query_size
        query, mirrored = identify(clips, episode.query, episode.query_size)
        (support, *_), also = zip(*map(partial(identify, clips), episode.support, episode.support_size), strict=True)
        assert also == (mirrored, mirrored)
        seen[mirrored] += 1
        layers = [decode_layer(each.layers[0])[:, :: -1 if mirrored else 1] for each in (query, support)]
        target = episode.target[:height, :width] == 1
        value = layers[0][target][0]
        np.testing.assert_array_equal(target, layers[0] == value)
        np.testing.assert_array_equal(episode.annotation[0, 0, :height, :width] == 1, layers[1] == value)
    assert seen[False] > 3 and seen[True] > 3


def test_max_side(still_source):
    canvases = parse_canvases("28x28")
    stream = make_stream(still_source, max_side=28, canvases=canvases)
    assert {tuple(stream[i].query_size.tolist()) for i in range(20)} == {(20, 28), (28, 20)}


def test_errors(still_source, clip_source):
    with pytest.raises(ValueError, match="mode is 'sematic'; it must be one of interactive, semantic, video"):
        make_stream(still_source, mode="sematic")
    with pytest.raises(ValueError, match="shots go up to 5; interactive mode has one"):
        make_stream(still_source, shots="1-5")
    with pytest.raises(ValueError, match=r"weights of the sources are \[0.0\]"):
        make_stream((*still_source[:2], 0.0))
    with pytest.raises(ValueError, match="weights of the sources are"):
        make_stream()
    with pytest.raises(ValueError, match="group is 0 and draws 1"):
        make_stream(still_source, group=0)
    with pytest.raises(ValueError, match="short is 'no'"):
        make_stream(still_source, short="no")
    with pytest.raises(DatasetError, match="clips/val has no classes, which semantic mode needs"):
        make_stream(clip_source, mode="semantic")
    with pytest.raises(DatasetError, match="stills/train holds stills, and video mode needs clips"):
        make_stream(still_source, mode="video")
    with pytest.raises(DatasetError, match=r"train: image 'still00' of 56x40 pixels .* add one .* data\.max_side"):
        make_stream(still_source, canvases=parse_canvases("40x64"))
    with pytest.raises(DatasetError, match="semantic mode: a canvas for every image of 56x56 pixels"):
        make_stream(still_source, mode="semantic", canvases=parse_canvases("40x64,64x40"))
    with pytest.raises(IndexError):
        make_stream(still_source)[-1]


def test_evenness_draws_classes_alike(still_source, stills):
    """At 1 every class as often as another, at 0 every task, at 1/2 a class as the root of its number of tasks."""
    tasks = still_source[1]
    _, counts = np.unique(tasks.class_id, return_counts=True)
    assert len(set(counts.tolist())) > 1
    shares = {}
    for evenness in (0.0, 0.5, 1.0):
        stream = make_stream(still_source, evenness=evenness, group=1)
        drawn = Counter(int(tasks.class_id[stream.choose(i).row]) for i in range(4000))
        shares[evenness] = np.array([drawn[number] for number in sorted(drawn)]) / 4000
    np.testing.assert_allclose(shares[0.0], counts / counts.sum(), atol=0.03)
    np.testing.assert_allclose(shares[0.5], np.sqrt(counts) / np.sqrt(counts).sum(), atol=0.03)
    np.testing.assert_allclose(shares[1.0], 1 / len(counts), atol=0.03)
