"""Videos: which frames are annotated and scored, and objects that come late."""

import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError
from data_pipelines.points import DENSE
from data_pipelines.videos import (
    annotate_video,
    list_phases,
    list_videos,
    of_phase,
    read_truth,
    scored_frames,
)
from guided_jax.episode import UNKNOWN
from tests.data_pipelines.bad_inputs.originals import disc, make_davis, open_text, photo, save


def test_an_object_starts_where_it_first_shows(clips):
    """Object 2 comes in frame 1 of 5, object 3 in the last frame of `wide`."""
    wide, tall = list_videos(clips)
    assert (wide.objects, wide.starts, wide.support, wide.scored) == ((1, 2, 3), (0, 1, 4), (0, 1, 4), (1, 2, 3))
    assert (tall.objects, tall.starts, tall.support, tall.scored) == ((1, 2), (0, 1), (0, 1), (1, 2, 3))
    assert [scored_frames(wide, label) for label in (1, 2, 3)] == [(1, 2, 3), (2, 3), ()]
    assert [tuple(phase) for phase in list_phases(wide)] == [
        (range(0, 1), 2, 1),
        (range(1, 4), 3, 2),
        (range(4, 5), 4, 3),
    ]


def test_only_what_has_started_is_annotated(clips):
    wide, _ = list_videos(clips)
    dense = annotate_video(clips, wide, (DENSE,), seed=0)
    first, second, last = (read_truth(clips, wide, position) for position in wide.support)
    np.testing.assert_array_equal(dense[0, 0], first)
    np.testing.assert_array_equal(dense[0, 1], np.where(second == 2, 2, UNKNOWN))
    np.testing.assert_array_equal(dense[0, 2], np.where(last == 3, 3, UNKNOWN))
    shapes = [of_phase(dense, phase).shape[1] for phase in list_phases(wide)]
    assert shapes == [1, 2, 3]
    np.testing.assert_array_equal(of_phase(dense, list_phases(wide)[1]), dense[:, :2])


def test_with_several_shots_an_object_within_them_is_unknown_until_it_starts(clips):
    wide, _ = list_videos(clips, 2)
    assert (wide.starts, wide.shots, wide.support, wide.scored) == ((0, 1, 4), 2, (0, 1, 4), (2, 3))
    dense = annotate_video(clips, wide, (DENSE,), seed=0)
    second = read_truth(clips, wide, 1)
    before, after, _ = list_phases(wide)
    assert (before.way, before.annotated, after.way, after.annotated) == (2, 2, 3, 2)
    np.testing.assert_array_equal(of_phase(dense, before)[0, 1], np.where(second == 2, UNKNOWN, second))
    np.testing.assert_array_equal(of_phase(dense, after)[0, 1], second)


def test_without_late_objects_there_is_one_phase(tmp_path):
    make_davis(tmp_path, {"bear": 4})
    (video,) = list_videos(open_text("davis:val", tmp_path))
    assert (video.starts, video.support, video.scored) == ((0,), (0,), (1, 2))
    assert list_phases(video) == [(range(4), 2, 1)]


def test_points_are_seeded_by_frame_draw_seed_and_name(tmp_path):
    """All frames and clips have the same mask: whatever the points did not depend on would leave them alike."""
    make_davis(tmp_path, {"bear": 4, "cow": 4})
    split = open_text("davis:val", tmp_path)
    bear, cow = list_videos(split, 2)
    points = annotate_video(split, bear, (3,), seed=1, draws=2)
    assert (points[0, 0] != points[0, 1]).any() and (points[0] != points[1]).any()
    assert (points != annotate_video(split, cow, (3,), seed=1, draws=2)).any()
    assert (points != annotate_video(split, bear, (3,), seed=2, draws=2)).any()
    np.testing.assert_array_equal(points, annotate_video(split, bear, (3,), seed=1, draws=2))


def test_a_clip_whose_first_frame_alone_is_annotated_has_none_to_score(tmp_path):
    davis = make_davis(tmp_path, {"bear": 4})
    for frame in (1, 2, 3):
        (davis / "Annotations" / "480p" / "bear" / f"{frame:05d}.png").unlink()
    (video,) = list_videos(open_text("davis:val", tmp_path))
    assert (video.objects, video.support, video.scored, len(video.rows)) == ((1,), (0,), (), 4)


def test_own_clips_of_which_one_frame_is_annotated_have_none_to_score(tmp_path):
    for frame in range(4):
        save(photo(seed=frame), tmp_path / "mine" / "frames" / f"{frame}.jpg")
    save(disc(), tmp_path / "mine" / "masks" / "1.png")
    split = open_text("frames@mine:all", tmp_path)
    (video,) = list_videos(split)
    assert (video.support, video.scored, list_phases(video)) == ((1,), (), [(range(4), 2, 1)])
    with pytest.raises(DatasetError, match="shows an object in 1 frames, not in 2"):
        list_videos(split, 2)
