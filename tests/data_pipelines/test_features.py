import pickle
import re

import numpy as np
import pytest
from safetensors.numpy import save

from data_pipelines.canvas import parse_canvases
from data_pipelines.compose import CachedFeatures
from data_pipelines.datasets.record import DatasetError, to_record
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.features.missing import count_images, images_without_features
from data_pipelines.features.store import FeatureStore
from data_pipelines.loader import stack_episodes
from data_pipelines.points import parse_points, parse_shots
from data_pipelines.tasks import list_tasks, select_tasks
from data_pipelines.views import View, view_image, view_key

CANVASES = parse_canvases("40x64,64x40,64x64")
SHAPES = {(h, w): ((h // 4, w // 4, 3), (h // 8, w // 8, 1)) for h, w in CANVASES}
VIEWS = [View(0, mirrored, crop) for mirrored in (False, True) for crop in (0, 1, 2)]
MAPS = np.arange(12, dtype=np.float16).reshape(2, 3, 2), np.ones((1, 1, 5), np.float16)


def _trunk(image):
    """A stand-in for a trunk that can be checked: every fourth and every eighth pixel."""
    height, width = image.shape[0] // 4 * 4, image.shape[1] // 4 * 4
    return image[:height:4, :width:4], image[: height // 8 * 8 : 8, : width // 8 * 8 : 8, :1]


def test_written_maps_come_back(tmp_path):
    store = FeatureStore(tmp_path / "new")
    store.write("abcd", MAPS)
    for store_again in store, pickle.loads(pickle.dumps(store)):
        maps = store_again.read("abcd")
        assert [each.dtype for each in maps] == [np.float16] * 2
        for got, wanted in zip(maps, MAPS, strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert (tmp_path / "new" / "ab" / "abcd.safetensors").is_file()
    store.write("abcd", MAPS[:1])
    assert len(store.read("abcd")) == 1


def test_more_than_nine_maps_keep_their_order(tmp_path):
    store = FeatureStore(tmp_path)
    store.write("many", [np.full((1, 1, 1), i) for i in range(12)])
    assert [each.item() for each in store.read("many")] == list(range(12))


def test_missing_keeps_order_and_forgets_repeats(tmp_path):
    store = FeatureStore(tmp_path)
    store.write("bb", MAPS)
    assert store.missing(["cc", "bb", "aa", "cc"]) == ["cc", "aa"]


def test_absent_and_damaged_entries(tmp_path):
    store = FeatureStore(tmp_path)
    with pytest.raises(DatasetError, match=r"abcd.safetensors is not there: compute the features of this image"):
        store.read("abcd")
    store.write("abcd", MAPS)
    path = tmp_path / "ab" / "abcd.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DatasetError, match=r"abcd.safetensors cannot be read .*; delete it"):
        store.read("abcd")
    path.unlink()
    path.mkdir()
    with pytest.raises(DatasetError, match=r"abcd.safetensors cannot be read .*; delete it"):
        store.read("abcd")


@pytest.mark.parametrize("value", [1e6, -np.inf, np.nan])
def test_a_failed_write_leaves_nothing(tmp_path, value):
    store = FeatureStore(tmp_path)
    with pytest.raises(DatasetError, match="features of abcd: map 1 has values that float16 cannot hold"):
        store.write("abcd", [np.ones((1, 1, 1)), np.full((1, 1, 1), value)])
    assert not list(tmp_path.rglob("*.*"))


def test_any_finite_values_and_any_order_in_memory_come_back(tmp_path):
    maps = [np.array([[[-65504.0, 65504, 0]]]), np.arange(6.0).reshape(2, 3, 1).transpose(1, 0, 2), np.ones((0, 3, 2))]
    store = FeatureStore(tmp_path)
    store.write("abcd", maps)
    for got, wanted in zip(store.read("abcd"), maps, strict=True):
        np.testing.assert_array_equal(got, wanted)


HALF = np.ones((1, 2, 3), np.float16)
NO_MAPS = {
    "another type": ({"0": HALF, "1": HALF.astype(np.float32)}, "does not hold float16 maps 0, 1, ...; delete it"),
    "a gap": ({"0": HALF, "2": HALF}, "does not hold float16 maps 0, 1, ...; delete it"),
    **{
        str(value): (
            {"0": HALF, "1": np.full((1, 1, 1), value, np.float16)},
            "holds values that are not finite; delete",
        )
        for value in (np.inf, -np.inf, np.nan)
    },
}


@pytest.mark.parametrize(("stored", "message"), NO_MAPS.values(), ids=NO_MAPS)
def test_files_that_hold_no_maps(tmp_path, stored, message):
    store = FeatureStore(tmp_path)
    path = store.path("abcd")
    path.parent.mkdir()
    path.write_bytes(save(stored))
    with pytest.raises(DatasetError, match=f"abcd.safetensors {re.escape(message)}"):
        store.read("abcd")


@pytest.fixture
def filled(tmp_path, stills):
    store = FeatureStore(tmp_path)
    sources = [(stills, list_tasks(stills, "class"))]
    for key, image in images_without_features(store, sources, VIEWS):
        store.write(key, _trunk(image))
    return store


def test_images_without_features(stills, tmp_path):
    store = FeatureStore(tmp_path)
    tasks = list_tasks(stills, "class")
    sources = [(stills, tasks), (stills, list_tasks(stills, "instance"))]
    found = dict(images_without_features(store, sources, [View(28), View(28, True)]))
    assert len(found) == 2 * 12 and count_images(sources[:1], [View(28), View(28, True)]) == 24
    record = to_record(stills.records[0])
    plain, mirrored = (found[view_key(record, View(28, flip))] for flip in (False, True))
    np.testing.assert_array_equal(plain[:, ::-1], mirrored)
    assert max(plain.shape) == 28
    store.write(view_key(record, View(28)), MAPS)
    assert len(list(images_without_features(store, sources, [View(28)]))) == 11
    one = select_tasks(tasks, tasks.record == 3)
    assert len(list(images_without_features(store, [(stills, one)], [View(28)]))) == 1


def test_features_of_a_crop_are_of_the_crop(stills, tmp_path):
    tasks = list_tasks(stills, "class")
    views = [View(), View(crop=1), View(crop=2), View(28, True, 1)]
    found = dict(images_without_features(FeatureStore(tmp_path), [(stills, tasks)], views))
    for row in (0, 4):
        record = to_record(stills.records[row])
        shown = [found[view_key(record, view)] for view in views]
        for image, view in zip(shown, views, strict=True):
            np.testing.assert_array_equal(image, view_image(record, view))
        assert (shown[0] != shown[1]).any() and (shown[1] != shown[2]).any()


@pytest.mark.parametrize("mode", ["interactive", "semantic", "views"])
def test_features_take_the_place_of_images_and_change_nothing_else(filled, stills, mode, assert_same, monkeypatch):
    def make(features):
        return EpisodeStream(
            [(stills, list_tasks(stills, "class"), 1.0)],
            mode=mode,
            shots=parse_shots({"interactive": "1", "semantic": "1-3", "views": "2"}[mode]),
            points=parse_points("0-9"),
            canvases=CANVASES,
            seed=0,
            group=2,
            flip=True,
            crops=2,
            features=features,
        )

    images, maps = make(None), make(CachedFeatures(filled, SHAPES))
    wanted = [images[i] for i in range(8)]
    monkeypatch.setattr("data_pipelines.views.decode_image", None)  # no image is decoded
    for i, image_episode in enumerate(wanted):
        episode = maps[i]
        assert_same(episode, image_episode, but=("query", "support"))
        canvas = image_episode.target.shape
        assert tuple(each.shape for each in episode.query) == SHAPES[canvas]
        assert all(each.dtype == np.float16 for each in episode.query)
        for got, expected in zip(episode.query, _trunk(image_episode.query), strict=True):
            np.testing.assert_array_equal(got, expected)  # a canvas is a multiple of 8 here, and its padding black
        if mode != "interactive":
            shots = len(image_episode.support)
            assert [each.shape for each in episode.support] == [(shots, *shape) for shape in SHAPES[canvas]]
            np.testing.assert_array_equal(episode.support[0], image_episode.support[:, ::4, ::4])
    assert [each.shape[0] for each in stack_episodes([maps[0], maps[1]]).query] == [2, 2]


def test_windows_of_maps_are_the_maps_of_windows(filled, stills, assert_same):
    """Here a cell sees its own pixels alone, so the two are equal; a window begins where a cell of every map does."""

    def make(features):
        sources = [(stills, list_tasks(stills, "class"), 1.0)]
        counts = {"shots": parse_shots("1"), "points": parse_points("2")}
        return EpisodeStream(
            sources, mode="interactive", canvases=((32, 32),), seed=0, group=2, window=32, features=features, **counts
        )

    shapes = {(32, 32): ((8, 8, 3), (4, 4, 1))}
    images, maps = make(None), make(CachedFeatures(filled, shapes, lambda pixels: (-(-pixels // 4), -(-pixels // 8))))
    for i in range(12):
        assert_same(maps[i], images[i], but=("query",))
        for got, expected in zip(maps[i].query, _trunk(images[i].query), strict=True):
            np.testing.assert_array_equal(got, expected)
    assert len({images[i].query_size.tobytes() for i in range(60)}) > 1


def test_evaluation_reads_features_too(filled, stills):
    episodes = EvaluationEpisodes(
        stills,
        list_tasks(stills, "class"),
        mode="interactive",
        counts=(1,),
        canvases=CANVASES,
        seed=0,
        batch_size=2,
        features=CachedFeatures(filled, SHAPES),
    )
    assert tuple(each.shape for each in episodes[0].query) == SHAPES[episodes[0].target.shape]


def test_features_of_another_trunk(filled, stills):
    shapes = dict.fromkeys(CANVASES, ((2, 2, 3), (1, 1, 1)))
    stream = EpisodeStream(
        [(stills, list_tasks(stills, "class"), 1.0)],
        mode="interactive",
        shots=parse_shots("1"),
        points=parse_points("1"),
        canvases=CANVASES,
        seed=0,
        group=1,
        features=CachedFeatures(filled, shapes),
    )
    with pytest.raises(DatasetError, match=r"features of image 'still\d\d' .* do not fit the maps .* of another trunk"):
        stream[0]
