"""Times of videos."""

from experiments.evaluation.video_timer import Timer


def test_frames_per_second_leave_guiding_out():
    timer = Timer()
    timer.rows = [{"seconds": 3.0, "guide_seconds": 1.0}, {"seconds": 2.0, "guide_seconds": 0.0}]
    found = timer.summary(8, 1, 4)
    assert (found["seconds_per_video"], found["frames_per_second"]) == (2.5, 2.0)
