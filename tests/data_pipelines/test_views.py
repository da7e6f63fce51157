"""Views of a stored image, and episodes between two views of one image."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_pipelines import views
from data_pipelines.canvas import parse_canvases
from data_pipelines.compose import Shown, compose_episode
from data_pipelines.datasets.record import decode_image, to_record
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.points import parse_points, parse_shots
from data_pipelines.pools import TRAINING_MODES
from data_pipelines.tasks import get_task, list_tasks, task_target
from data_pipelines.views import (
    CROP_AREA,
    CROP_ASPECT,
    View,
    Window,
    crop_of,
    cut,
    draw_window,
    view_image,
    view_key,
    view_labels,
)
from guided_jax.episode import UNKNOWN

CANVASES = parse_canvases("40x64,64x40")
CROPS = range(1, 200)


@pytest.fixture
def record(stills):
    return to_record(stills.records[1])


def make_stream(split, **options):
    options = {"shots": "1", "points": "2", "crops": 3, "seed": 0, "group": 2, **options}
    options |= {"shots": parse_shots(options["shots"]), "points": parse_points(options["points"])}
    return EpisodeStream([(split, list_tasks(split, "class"), 1.0)], mode="views", canvases=CANVASES, **options)


def test_the_whole_is_the_stored_image_and_its_mirror_image(record):
    stored = decode_image(record.image)
    np.testing.assert_array_equal(view_image(record, View()), stored)
    np.testing.assert_array_equal(view_image(record, View(mirrored=True)), stored[:, ::-1])


def test_a_crop_is_that_part_of_the_image_in_the_size_of_the_whole(record):
    stored = decode_image(record.image)
    for number in (1, 2, 3, 4, 5):
        crop = crop_of(record, View(crop=number))
        part = stored[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        part = part[:, ::-1] if crop.mirrored else part
        shown = view_image(record, View(crop=number))
        assert shown.shape == stored.shape
        difference = cv2.resize(np.ascontiguousarray(part), stored.shape[1::-1]).astype(int) - shown
        assert np.abs(difference).max() <= 1  # resizing commutes with mirroring but for rounding
        mirrored = view_image(record, View(mirrored=True, crop=number))
        np.testing.assert_array_equal(mirrored, shown[:, ::-1])


def test_labels_stay_on_their_pixels(record):
    """A label map made of the image itself must be cropped as the image is."""
    height, width = record.height, record.width
    ramp = np.repeat(np.arange(width, dtype=np.uint8)[None], height, 0)
    as_image = replace(record, image=cv2.imencode(".png", np.stack([ramp] * 3, 2))[1].tobytes())
    for number in (1, 2, 3):
        view = View(crop=number)
        shown = view_image(as_image, view)[..., 0].astype(int)
        assert np.abs(shown - view_labels(ramp, as_image, view)).max() <= 1


def test_a_crop_mixes_no_labels(record):
    labels = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (record.height, record.width))
    labels = np.kron(labels[::4, ::4], np.ones((4, 4), np.uint8))[: record.height, : record.width]
    for number in (1, 2, 3):
        view = View(crop=number)
        crop, shown = crop_of(record, view), view_labels(labels, record, view)
        assert set(np.unique(shown)) == {0, 1, 255}
        # The nearest pixel by hand: the one that a cell of the resized crop has its centre in.
        rows, columns = (
            ((2 * np.arange(size) + 1) * part // (2 * size) + first)
            for size, part, first in zip(labels.shape, crop[2:4], crop[:2], strict=True)
        )
        expected = labels[rows[:, None], columns[None]]
        np.testing.assert_array_equal(shown, expected[:, ::-1] if crop.mirrored else expected)


def test_the_key_of_a_crop_names_how_crops_are_drawn(record, monkeypatch):
    whole, crop = view_key(record, View()), view_key(record, View(crop=1))
    for name, value in (("CROP_AREA", (0.3, 1.0)), ("CROP_ASPECT", (1 / 2, 2.0))):
        with monkeypatch.context() as changed:
            changed.setattr(views, name, value)
            assert view_key(record, View(crop=1)) != crop and view_key(record, View()) == whole
    assert view_key(record, View(crop=1)) == crop != view_key(record, View(crop=2))


def test_crops_are_as_wide_as_they_should_be(record):
    crops = [crop_of(record, View(crop=number)) for number in CROPS]
    area = np.array([crop.height * crop.width for crop in crops]) / (record.height * record.width)
    aspect = np.array([crop.width / record.width * record.height / crop.height for crop in crops])
    assert (CROP_AREA, CROP_ASPECT) == ((1 / 4, 1), (3 / 4, 4 / 3))
    assert CROP_AREA[0] * 0.9 < area.min() < 0.35 and 0.85 < area.max() <= CROP_AREA[1]
    assert CROP_ASPECT[0] * 0.9 < aspect.min() and aspect.max() < CROP_ASPECT[1] * 1.1
    assert all(crop.top + crop.height <= record.height and crop.left + crop.width <= record.width for crop in crops)
    assert 0.35 < np.mean([crop.mirrored for crop in crops]) < 0.65
    assert len(set(crops)) > 190


def test_a_crop_is_of_the_image_alone(record):
    assert crop_of(record, View(crop=2)) == crop_of(replace(record, image_id="renamed"), View(crop=2))
    assert crop_of(record, View(crop=2)) != crop_of(replace(record, image=b"another"), View(crop=2))


def test_a_view_of_a_scaled_image(record):
    """Scaled first, then cropped: both have the scaled size."""
    for view in (View(28), View(28, crop=1)):
        assert max(view_image(record, view).shape) == 28
        assert view_labels(np.zeros((record.height, record.width), np.uint8), record, view).shape == (20, 28)


def test_key_names_all_that_the_features_depend_on(record):
    views = [View(), View(9), View(mirrored=True), View(crop=1), View(crop=2), View(9, crop=1)]
    keys = [view_key(record, view) for view in views] + [view_key(replace(record, image=b"another"), View())]
    assert len(set(keys)) == len(keys)
    assert view_key(record, View()) == keys[0]
    assert view_key(record, View(56)) == keys[0]  # an image that fits is not scaled


def test_support_and_query_are_two_views_of_one_image(stills):
    stream = make_stream(stills)
    for i in range(12):
        episode = stream[i]
        assert episode.support.shape == (1, *episode.query.shape) and (episode.query_size == episode.support_size).all()
        known = {
            view_image(to_record(stills.records[row]), View(crop=number)).tobytes(): (row, number)
            for row in range(12)
            for number in range(4)
        }
        height, width = episode.query_size
        (query, one), (support, two) = (
            known[image[:height, :width].tobytes()] for image in (episode.query, episode.support[0])
        )
        assert query == support
        assert one != two or one == 0  # the whole stands in where a crop shows none of the task
        record = to_record(stills.records[query])
        labels = view_labels(task_target(record, _task(stills, query, episode)), record, View(crop=two))
        annotation = episode.annotation[0, 0, :height, :width]
        marked = annotation != UNKNOWN
        assert marked.any()
        np.testing.assert_array_equal(annotation[marked], labels[marked])


def _task(split, row, episode):
    tasks = list_tasks(split, "class")
    (number,) = np.flatnonzero((tasks.record == row) & (tasks.class_id == episode.task_class))
    return get_task(tasks, int(number))


def test_every_view_comes_up_on_either_side(stills):
    seen = {"query": set(), "support": set()}
    known = {
        view_image(to_record(stills.records[row]), View(crop=number)).tobytes(): number
        for row in range(12)
        for number in range(4)
    }
    stream = make_stream(stills)
    for i in range(60):
        episode = stream[i]
        height, width = episode.query_size
        seen["query"].add(known[episode.query[:height, :width].tobytes()])
        seen["support"].add(known[episode.support[0][:height, :width].tobytes()])
    assert seen == {"query": {0, 1, 2, 3}, "support": {0, 1, 2, 3}}


def test_shots_are_different_views(stills):
    stream, tasks = make_stream(stills, shots="3"), list_tasks(stills, "class")
    numbers = set()
    for i in range(6):
        episode, task = stream[i], get_task(tasks, stream.choose(i).row)
        record = to_record(stills.records[task.record])
        views = [View(crop=number) for number in range(4)]  # the whole and its three crops
        holds = [(view_labels(task_target(record, task), record, view) == 1).any() for view in views]
        shown = [view_image(record, view if held else View()) for view, held in zip(views, holds, strict=True)]
        height, width = episode.query_size
        pictures = [each[:height, :width].tobytes() for each in (*episode.support, episode.query)]
        assert sorted(pictures) == sorted(each.tobytes() for each in shown)
        numbers.add(len(set(pictures)))
    assert 4 in numbers


def test_a_crop_that_misses_the_task_gives_way_to_the_whole(stills):
    tasks = list_tasks(stills, "class")
    rare = next(get_task(tasks, row) for row in range(len(tasks.record)) if tasks.class_id[row] == 3)
    record = to_record(stills.records[rare.record])
    target = task_target(record, rare)
    others = task_target(record, rare, others=UNKNOWN)
    shown_of = {n: view_labels(others, record, View(crop=n)) for n in CROPS}
    missing = next(n for n, labels in shown_of.items() if (labels == UNKNOWN).any() and not (labels == 1).any())
    holding = next(n for n in CROPS if (view_labels(target, record, View(crop=n)) == 1).any())
    for number, shown in (missing, 0), (holding, holding):
        episode = compose_episode(
            stills,
            Shown(rare, View()),
            [Shown(rare, View(crop=number))],
            canvas=(64, 64),
            annotate=lambda labels: labels[None],
            others=UNKNOWN,  # which a crop is full of, and shows none of the task for all that
        )
        height, width = episode.support_size[0]
        expected = view_image(record, View(crop=shown))
        np.testing.assert_array_equal(episode.support[0][:height, :width], expected)
        assert (episode.annotation == 1).any()


def test_too_few_crops_for_the_shots(stills):
    with pytest.raises(ValueError, match="crops is 2, shots go up to 3; mode views needs a crop for each shot"):
        make_stream(stills, crops=2, shots="1-3")


def test_views_are_no_evaluation(stills):
    assert "views" in TRAINING_MODES
    with pytest.raises(ValueError, match="mode is 'views'; it must be one of interactive, semantic, video"):
        EvaluationEpisodes(
            stills, list_tasks(stills, "class"), mode="views", counts=(1,), canvases=CANVASES, seed=0, batch_size=1
        )


def test_a_window_shows_the_task_and_begins_where_cells_do():
    """Every place that shows the pixel comes up; none lies beyond what is needed to see the last row and column."""
    target = np.zeros((150, 100), np.uint8)
    target[70, 90] = 1
    rng = np.random.default_rng(0)
    drawn = {draw_window(rng, target, 64) for _ in range(200)}
    assert drawn == {Window(top, left, 64) for top in (32, 64) for left in (32, 64)}
    assert all((cut(target, window) == 1).any() for window in drawn)
    assert cut(target, Window(96, 64, 64)).shape == (54, 36)
    assert {draw_window(rng, np.ones((40, 30), np.uint8), 64) for _ in range(20)} == {Window(0, 0, 64)}
    assert {draw_window(rng, np.zeros((70, 30), np.uint8), 64).top for _ in range(50)} == {0, 32}


def test_windows_of_episodes(stills):
    """Image, target and annotation are cut alike, and lie on the canvas of the window."""
    tasks = list_tasks(stills, "class")
    options = {"canvases": ((32, 32), (64, 64)), "seed": 0, "group": 2, "window": 32}
    counts = {"shots": parse_shots("1"), "points": parse_points("1-3")}
    stream = EpisodeStream([(stills, tasks, 1.0)], mode="interactive", **options, **counts)
    seen = set()
    for i in range(40):
        episode, choice = stream[i], stream.choose(i)
        record = to_record(stills.records[int(tasks.record[choice.row])])
        image, target = decode_image(record.image), task_target(record, get_task(tasks, choice.row))
        h, w = episode.query_size.tolist()
        assert choice.canvas == (32, 32) and max(h, w) <= 32 and (episode.target == 1).any()
        places = [(top, left) for top in (0, 32) for left in (0, 32)]
        places = [at for at in places if image[at[0] :, at[1] :][:32, :32].shape[:2] == (h, w)]
        (top, left), *rest = [
            at for at in places if np.array_equal(image[at[0] :, at[1] :][:32, :32], episode.query[:h, :w])
        ]
        assert not rest
        seen.add((top, left))
        np.testing.assert_array_equal(target[top : top + 32, left : left + 32], episode.target[:h, :w])
        marked = episode.annotation[0, 0] != 255
        np.testing.assert_array_equal(episode.annotation[0, 0][marked], episode.target[marked])
        assert marked.any()
    assert len(seen) > 1
