import numpy as np
import pytest

from data_pipelines.canvas import parse_canvases
from data_pipelines.datasets.record import DatasetError, decode_image, decode_layer, to_record
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import stack_episodes
from data_pipelines.points import DENSE
from data_pipelines.selection.classes import select_classes
from data_pipelines.selection.protocols import Plan, plan_episodes
from data_pipelines.tasks import list_tasks
from guided_jax.episode import UNKNOWN

CANVASES = parse_canvases("40x64,64x40,64x64")


def make(split, unit="class", mode="interactive", tasks=None, **options):
    options = {"counts": (1, 5, DENSE), "canvases": CANVASES, "seed": 0, "batch_size": 4, **options}
    return EvaluationEpisodes(split, tasks or list_tasks(split, unit), mode=mode, **options)


def _real(episodes):
    found = {}
    for i in range(len(episodes)):
        episode = episodes[i]
        if episode.real:
            assert int(episode.index) not in found
            found[int(episode.index)] = episode
    return found


def test_every_task_once_in_batches_of_one_canvas(stills):
    tasks = list_tasks(stills, "class")
    episodes = make(stills)
    assert (episodes.tasks_total, len(episodes)) == (19, 16 + 8)  # 13 tasks in wide images, 6 in tall ones
    found = _real(episodes)
    assert sorted(found) == list(range(19))
    for row, episode in found.items():
        assert episode.task_class == tasks.class_id[row]
        assert (episode.target == 1).sum() == tasks.area[row]
    for first in range(0, len(episodes), 4):
        stack_episodes([episodes[i] for i in range(first, first + 4)])


def test_fillers_do_not_count(stills):
    episodes = make(stills, batch_size=16)
    real = np.array([episodes[i].real for i in range(len(episodes))])
    assert (len(real), real.sum()) == (32, 19)
    for i in np.flatnonzero(~real):
        assert (episodes[int(i)].target == UNKNOWN).all()
        assert episodes.task(int(i)) == episodes.task(int(i) - 1)


@pytest.mark.parametrize(("mode", "unit"), [("interactive", "class"), ("semantic", "class"), ("video", "instance")])
def test_batch_size_order_and_limit_change_no_episode(stills, clips, mode, unit, assert_same):
    split = clips if mode == "video" else stills
    options = {} if mode == "interactive" else {"shots": 2}
    one, other = (_real(make(split, unit, mode, batch_size=size, **options)) for size in (1, 5))
    assert list(one) == list(other) and one
    for row, episode in one.items():
        assert_same(episode, other[row])
    some = _real(make(split, unit, mode, limit=3, **options))
    assert len(some) == 3
    assert some.keys() == _real(make(split, unit, mode, limit=3, batch_size=5, **options)).keys()
    for row, episode in some.items():
        assert_same(episode, one[row])
    seeded = _real(make(split, unit, mode, seed=1, **options))
    assert any(not np.array_equal(seeded[row].annotation, episode.annotation) for row, episode in one.items())


def test_a_limit_takes_tasks_from_all_over_by_the_seed_alone(stills):
    """Not the first ones, which are of few images and classes; whatever the number, the draw, the shots."""
    chosen = {seed: set(_real(make(stills, limit=4, seed=seed))) for seed in range(12)}
    assert set().union(*chosen.values()) == set(range(19))
    assert len({tuple(sorted(each)) for each in chosen.values()}) > 10
    assert set(_real(make(stills, limit=4, seed=0, draw=2, counts=(3,)))) == chosen[0]
    assert chosen[0] < set(_real(make(stills, limit=7, seed=0)))


def test_draws_pose_the_same_tasks_with_other_support_and_points(stills, assert_same):
    first, zeroth, second = (_real(make(stills, mode="semantic", draw=draw)) for draw in (1, 0, 2))
    plain = _real(make(stills, mode="semantic"))
    assert list(first) == list(zeroth) == list(second)
    for row, episode in zeroth.items():
        assert_same(episode, plain[row])
        np.testing.assert_array_equal(episode.target, first[row].target)
    for field in ("support", "annotation"):
        for one, other in ((zeroth, first), (first, second)):
            assert any(not np.array_equal(getattr(one[row], field), getattr(other[row], field)) for row in one)
    for row, episode in _real(make(stills, mode="semantic", draw=1, batch_size=7)).items():
        assert_same(episode, first[row])


def test_a_plan_is_followed(stills, assert_same):
    tasks = select_classes(list_tasks(stills, "class"), frozenset({1, 2}))
    plan = plan_episodes("hsnet", tasks, 2)
    plan = plan._replace(query=plan.query[:30], support=plan.support[:30])
    episodes = make(stills, mode="semantic", tasks=tasks, shots=2, plan=plan)
    assert (episodes.tasks_total, len(episodes)) == (30, 32)
    images = [decode_image(to_record(stills.records[i]).image) for i in range(len(stills.records))]
    for i in range(30):
        episode = episodes[i]
        assert episode.real and episode.index == i
        for row, image, size in (
            (plan.query[i], episode.query, episode.query_size),
            (plan.support[i, 0], episode.support[0], episode.support_size[0]),
            (plan.support[i, 1], episode.support[1], episode.support_size[1]),
        ):
            np.testing.assert_array_equal(image[: size[0], : size[1]], images[tasks.record[row]])
        assert episodes.task(i).class_name == ("circle", "square")[episode.task_class - 1]
    single = make(stills, mode="semantic", tasks=tasks, shots=2, plan=plan, batch_size=1)
    assert_same(single[29], episodes[29])


def test_a_plan_poses_a_task_more_than_once_with_other_points(stills):
    row = int(np.flatnonzero(list_tasks(stills, "class").class_id == 1)[0])
    plan = Plan(np.array([row, row], np.int32), np.array([[row + 2], [row + 2]], np.int32))
    one, other = (make(stills, mode="semantic", plan=plan)[i] for i in (0, 1))
    np.testing.assert_array_equal(one.target, other.target)
    np.testing.assert_array_equal(one.support, other.support)
    assert (one.annotation[0] != other.annotation[0]).any()


def test_annotations_are_nested_and_end_dense(stills):
    for episode in _real(make(stills)).values():
        few, more, dense = episode.annotation[:, 0]
        assert [(each == 1).sum() for each in (few, more)] == [1, 5]
        assert (more[few != UNKNOWN] == few[few != UNKNOWN]).all()
        np.testing.assert_array_equal(dense, episode.target)


def test_semantic_leaves_the_query_and_lone_classes_out(stills, classes):
    found = _real(make(stills, mode="semantic", shots=3))
    assert len(found) == 18 and classes.rare not in {int(e.task_class) for e in found.values()}
    for episode in found.values():
        assert episode.support.shape == (3, 64, 64, 3)
        assert not any(np.array_equal(image, episode.query) for image in episode.support)
    itself = _real(make(stills, mode="semantic", allow_self=True))
    assert len(itself) == 19
    assert any(np.array_equal(episode.query, episode.support[0]) for episode in itself.values())


@pytest.mark.parametrize("shots", [1, 2])
def test_video_is_guided_by_the_first_frames_of_the_object(clips, shots):
    episodes = make(clips, "instance", "video", shots=shots)
    named = {episodes.task(i): episodes[i] for i in range(len(episodes)) if episodes[i].real}
    frames = {1: range(shots, 5), 2: range(1 + shots, 5)}
    expected = {(video, value, frame) for video in ("wide", "tall") for value in frames for frame in frames[value]}
    assert {(name.video, name.instance, name.frame) for name in named} == expected
    records = {r.image_id: r for r in map(to_record, (clips.records[i] for i in range(len(clips.records))))}
    for name, episode in named.items():
        height, width = episode.query_size
        for shot in range(shots):
            layer = decode_layer(records[f"{name.video}/{name.instance - 1 + shot}"].layers[0])
            expected = np.where(layer == name.instance, 1, np.where(layer == 0, 0, UNKNOWN))
            np.testing.assert_array_equal(episode.annotation[-1, shot, :height, :width], expected)
        assert (episode.target[:height, :width] != UNKNOWN).all()


def test_names(stills, clips, classes):
    episodes = make(stills)
    names = {episodes.task(i) for i in range(len(episodes))}
    assert len(names) == 19
    assert ("stills/train", "still05", "rare", 0, "", 0) in names
    episodes = make(clips, "instance")
    assert ("clips/val", "wide/2", "", 2, "wide", 2) in {episodes.task(i) for i in range(len(episodes))}


def test_errors(stills, clips):
    with pytest.raises(ValueError, match="shots is 2; it must be 1 in interactive mode"):
        make(stills, shots=2)
    with pytest.raises(ValueError, match=r"batch_size is 0 \(1 or more\)"):
        make(stills, batch_size=0)
    with pytest.raises(ValueError, match=r"counts \(\) \(one or more\)"):
        make(stills, counts=())
    with pytest.raises(ValueError, match="short is 'none'"):
        make(stills, short="none")
    with pytest.raises(ValueError, match="draw is -1"):
        make(stills, draw=-1)
    plan = Plan(np.zeros(3, np.int32), np.ones((3, 2), np.int32))
    with pytest.raises(ValueError, match=r"a plan is for semantic mode and as many shots \(1\)"):
        make(stills, mode="semantic", plan=plan)
    with pytest.raises(DatasetError, match="no object is seen in more than 5 frames, the support; lower shots"):
        make(clips, "instance", "video", shots=5)
    with pytest.raises(IndexError):
        make(stills)[1000]


@pytest.mark.parametrize(("mode", "max_side"), [("interactive", 0), ("semantic", 0), ("semantic", 30)])
def test_what_is_known_of_a_task_without_its_episode(stills, mode, max_side):
    episodes = make(stills, mode=mode, max_side=max_side, batch_size=5)
    for i in range(len(episodes)):
        episode, size = episodes[i], episodes.size(i)
        assert (episodes.number(i), episodes.class_id(i)) == (episode.index, episode.task_class)
        assert size == tuple(episode.query_size) and not episodes.planned
        if episodes.is_real(i):
            np.testing.assert_array_equal(episodes.truth(i), episode.target[: size[0], : size[1]])


def test_the_truth_of_a_plan(stills):
    tasks = select_classes(list_tasks(stills, "class"), frozenset({1}))
    plan = Plan(np.array([1, 0, 1], np.int32), np.array([[0], [1], [0]], np.int32))
    episodes = make(stills, mode="semantic", tasks=tasks, plan=plan)
    assert episodes.planned and [episodes.number(i) for i in range(3)] == [0, 1, 2]
    for i in range(3):
        size = episodes.size(i)
        np.testing.assert_array_equal(episodes.truth(i), episodes[i].target[: size[0], : size[1]])
