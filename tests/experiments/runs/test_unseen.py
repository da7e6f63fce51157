"""Which classes are learnt and which are evaluated, from the command line to the result, on a folder per class."""

import cv2
import numpy as np
import pytest

from data_pipelines.datasets.record import DatasetError
from experiments.evaluation.tasks import make_scores, report
from experiments.experiment import run
from experiments.run import run_and_draw
from experiments.runs.data import count_draws, evaluation_episodes, open_evaluation, open_sources, task_classes
from experiments.runs.unseen import check_evaluation, check_unseen, seen_classes, trained_classes
from experiments.settings.checks import check_config
from experiments.settings.command_line import parse, run_app
from experiments.settings.config import Config, EvalConfig
from experiments.settings.errors import UserError
from tests.experiments.conftest import random_start

CLASSES = {"airplane": 2, "bus": 4, "dog": 5, "horse": 4, "sheep": 5, "sofa": 1}
"""Images of each class; by VOC's names these are of the folds 0, 1, 2, 2, 3 and 3."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder `mine` with `CLASS/images` and `CLASS/masks`, and one `plain` without classes."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for group, number in {**{f"mine/{name}": count for name, count in CLASSES.items()}, "plain": 3}.items():
        for folder in ("images", "masks"):
            (root / group / folder).mkdir(parents=True)
        for i in range(number):
            mask = np.zeros((40, 48), np.uint8)
            mask[8:24, 4 * i + 4 : 4 * i + 20] = 1
            image = rng.integers(0, 256, (40, 48, 3), np.uint8)
            for folder, values in {"images": image, "masks": mask}.items():
                cv2.imwrite(str(root / group / folder / f"{i}.png"), values)
    return root


@pytest.fixture
def config(root):
    config = Config()
    config.data.root, config.data.prepared = str(root), str(root / "prepared")
    config.data.mode, config.data.buckets = "semantic", "48x48"
    config.data.train = config.eval.source = "folder@mine:all:class"
    config.model.grid = "taps"
    return config


def test_a_folder_per_class_in_semantic_mode(config):
    (opened,) = open_sources(config, "eval")
    assert task_classes(opened) == ["airplane", "bus", "dog", "horse", "sheep"]
    assert opened.left_out == ("sofa",)
    episodes = evaluation_episodes(config, opened, None, limit=0, devices=1)
    assert episodes.tasks_total == 20
    for i in range(20):
        assert (episodes[i].target == 1).sum() == 16 * 16
        assert not np.array_equal(episodes[i].support[0], episodes[i].query)


def test_the_classes_that_are_chosen(config):
    config.data.classes, config.eval.classes = "not fold:2, fold:3", "dog, horse"
    assert task_classes(open_sources(config, "data")[0]) == ["airplane", "bus"]
    assert task_classes(open_sources(config, "eval")[0]) == ["dog", "horse"]
    config.data.balance = True
    (opened,) = open_sources(config, "data")
    assert np.unique(opened.tasks.class_id, return_counts=True)[1].tolist() == [2, 2]


def test_which_classes_a_model_has_learnt(config):
    config.data.classes = "dog, horse"
    sources = open_sources(config, "data")
    assert trained_classes(config, sources) == ["dog", "horse"]
    config.data.train, config.data.classes = "folder@mine:all:class, folder@plain:all", ""
    assert trained_classes(config, open_sources(config, "data")) is None
    config.train.steps = 0
    assert trained_classes(config, sources) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": "hors"}, r"eval.classes: no class is called 'hors'; did you mean 'horse'\?"),
        ({"classes": "fold:3"}, r"needs 2 images, .* there are fewer of sofa \(1\); lower eval.shots, or leave these"),
        ({"classes": "dog, airplane", "shots": 2}, r"needs 3 images, for eval.shots=2 .* fewer of airplane \(2\)"),
        ({"shots": 5}, r"fewer of airplane \(2\), bus \(4\), dog \(5\), horse \(4\), sheep \(5\), sofa \(1\)"),
        ({"source": "folder@plain:all", "classes": "not fold:0"}, r"no class is called 'fold:0'"),
    ],
)
def test_classes_that_cannot_be_evaluated(config, fields, message):
    for name, value in fields.items():
        setattr(config.eval, name, value)
    with pytest.raises(DatasetError, match=message):
        open_sources(config, "eval")


def test_a_source_without_classes_beside_a_choice(config):
    config.data.train, config.data.classes = "folder@mine:all:class, folder@plain:all", "not dog"
    with pytest.raises(DatasetError, match=r"data.classes: folder@plain:all has no classes to choose among"):
        open_sources(config, "data")
    config.data.classes, config.data.balance = "", True
    with pytest.raises(DatasetError, match=r"data.balance: folder@plain:all has no classes"):
        open_sources(config, "data")


def test_classes_with_too_few_images_are_told(config, caplog):
    config.eval.classes, config.eval.shots = "not dog", 4
    opened = open_evaluation(config)
    assert task_classes(opened) == ["sheep"]
    assert opened.left_out == ("airplane", "bus", "horse", "sofa")
    assert "fewer of airplane (2), bus (4), horse (4), sofa (1); they are left out" in caplog.text
    caplog.clear()
    assert open_sources(config, "eval")[0].left_out and not caplog.text  # again, for pictures
    config.eval.protocol = "hsnet"  # may draw an image twice
    assert task_classes(open_sources(config, "eval")[0]) == ["airplane", "bus", "horse", "sheep"]


def test_lists_choose_tasks(config, tmp_path, caplog):
    listing = tmp_path / "list.txt"
    listing.write_text("horse/1__04\ndog/0__03\nhorse/0__04\ndog/4__03\ndog/9__03\nbus/1__03\nbus/1__02\n")
    config.eval.lists, config.eval.classes = str(listing), "dog, horse"
    opened = open_evaluation(config)
    episodes = evaluation_episodes(config, opened, None, limit=0, devices=1)
    assert [episodes.task(i).image_id for i in range(4)] == ["horse/1", "dog/0", "horse/0", "dog/4"]
    assert opened.lines == 6
    config.eval.protocol = "hsnet"  # its tasks in the order of the list, too
    (planned,) = open_sources(config, "eval")
    assert planned.tasks.record.tolist() == opened.tasks.record.tolist()
    assert "has 4 of the 6 tasks that eval.lists asks for" in caplog.text
    caplog.clear()
    assert open_sources(config, "eval")[0].lines == 6 and not caplog.text  # again, for pictures
    listing.write_text("elsewhere__01\n")
    with pytest.raises(DatasetError, match=r"eval.lists: folder@mine:all has none of the tasks; it has 21 others"):
        open_sources(config, "eval")


def test_published_episodes_take_tasks_by_image(config):
    config.eval.classes, config.eval.protocol = "dog, horse", "hsnet"
    (opened,) = open_sources(config, "eval")
    episodes = evaluation_episodes(config, opened, None, limit=0, devices=1)
    assert episodes.tasks_total == 1000
    expected = [f"dog/{i}" for i in range(5)] + [f"horse/{i}" for i in range(4)]
    assert [episodes.task(i).image_id for i in range(18)] == expected * 2
    again = evaluation_episodes(config, opened, None, limit=0, devices=1, draw=1)
    assert any(not np.array_equal(again[i].support, episodes[i].support) for i in range(9))


@pytest.mark.parametrize(("protocol", "draws"), [("all", 1), ("oslsm", 1), ("panet", 5), ("hsnet", 1), ("pfenet", 1)])
def test_how_often_a_protocol_draws(protocol, draws):
    assert count_draws(EvalConfig(protocol=protocol)) == draws
    assert count_draws(EvalConfig(protocol=protocol, draws=3)) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": "fold:9"}, "eval.classes: classes: 'fold:9' is no fold"),
        ({"protocol": "osl"}, "eval.protocol='osl' is not one of all, oslsm, panet, hsnet, pfenet"),
        ({"protocol": "oslsm", "mode": "interactive"}, "eval.protocol=oslsm is of semantic mode, not of interactive"),
        ({"mode": "views"}, "eval.mode='views' is not one of interactive, semantic, video"),
        ({"draws": -1}, "eval.draws=-1: must be at least 0"),
        ({"lists": "nowhere.txt"}, "eval.lists: nowhere.txt is missing"),
    ],
)
def test_fields_are_checked_before_anything_is_opened(config, fields, message):
    for name, value in fields.items():
        setattr(config.eval, name, value)
    with pytest.raises(ValueError, match=message):
        check_config(config, training=False)


def test_what_a_model_has_seen():
    assert seen_classes(["airplane", "bus"], ["aeroplane", "boat", "bus"]) == ["aeroplane", "bus"]
    assert seen_classes(None, ["bus"]) is None
    assert check_unseen(["cat"], ["dog"], False) == []
    assert check_unseen([], ["dog"], False) == []


@pytest.mark.parametrize(("trained", "reason"), [(["tv", "dog"], "trained on tvmonitor"), (None, "it is not known")])
def test_a_fold_that_was_learnt_is_refused_or_marked(trained, reason, caplog):
    with pytest.raises(ValueError, match=f"{reason}.*data.classes='not fold:K'.*eval.force_seen"):
        check_unseen(trained, ["sofa", "tvmonitor"], False)
    assert not caplog.records
    assert check_unseen(trained, ["sofa", "tvmonitor"], True) == (["tvmonitor"] if trained else None)
    assert reason in caplog.text


def test_all_classes_but_a_fold_promise_nothing(config):
    """`not fold:2` names no classes that must be new: a model may have been trained on some of them."""
    config.eval.classes = "not fold:2"
    (opened,) = open_sources(config, "eval")
    assert task_classes(opened) == ["airplane", "bus", "sheep"]
    assert check_evaluation(config, opened, ["bus", "dog"]) == ["bus"]
    assert check_evaluation(config, opened, None) is None
    config.eval.classes = "fold:2"
    (opened,) = open_sources(config, "eval")
    with pytest.raises(ValueError, match="the model was trained on dog; train with"):
        check_evaluation(config, opened, ["bus", "dog"])


@pytest.mark.parametrize(("protocol", "seed"), [("all", 7), ("hsnet", 0), ("panet", 1234)])
def test_a_result_tells_the_seed_of_its_episodes(config, protocol, seed):
    config.seed, config.eval.classes, config.eval.protocol = 7, "dog, horse", protocol
    (opened,) = open_sources(config, "eval")
    scores = make_scores(np.array([[[2, 1, 1, 6, 0, 0]]]), np.unique(opened.tasks.class_id)[:1], ["dense"])
    assert report(config, opened, scores, step=1, limit=0, about={})["protocol"]["episode_seed"] == seed


@pytest.fixture(scope="module")
def line(command, root):
    """A command line on the folder: learns all but fold 2, that is all but dog and horse, and evaluates these."""

    def make(workdir, *words, **fields):
        fields = {
            "data__root": root,
            "data__prepared": root / "prepared",
            "data__mode": "semantic",
            "data__buckets": "48x48",
            "data__train": "folder@mine:all:class",
            "data__classes": "not fold:2",
            "eval__source": "folder@mine:all:class",
            "eval__classes": "fold:2",
            "eval__limit": 0,
            "eval__during": 3,
            "eval__draws": 2,
            "train__steps": 2,
            **fields,
        }
        return command(workdir, *words, **fields)

    return make


def test_a_run_with_a_fold_held_out(line, tmp_path):
    def run_line(mode="eval", **fields):
        return run(parse(line(tmp_path, **fields)).config, tmp_path, mode)

    with random_start():
        result = run_line("train_and_eval")
    expected = {"classes": ["dog", "horse"], "seen_in_training": [], "forced": False, "draws": 2, "tasks": 9}
    assert expected.items() <= result["protocol"].items()
    assert result["about"]["trained_classes"] == ["airplane", "bus", "sheep", "sofa"]
    (scores,) = result["scores"].values()
    for name in ("pos_iu", "class_mean"):
        assert scores[name] == pytest.approx(np.mean(scores["draws"][name]))
        assert scores["deviation"][name] == pytest.approx(np.std(scores["draws"][name], ddof=1))
        assert len(set(scores["draws"][name])) == 2 and 0 < scores[name] < 1
    again = run_line(eval__batch_size=8, eval__force_seen=True)  # there is nothing to force
    assert again["scores"] == result["scores"] and again["protocol"]["forced"] is False

    with pytest.raises(UserError, match=r"eval.classes names a fold.* the model was trained on bus; train with"):
        run_line(eval__classes="fold:1")
    one = {"eval__draws": 1, "eval__limit": 2}
    forced = run_line(eval__classes="fold:1", eval__force_seen=True, **one)["protocol"]
    assert {"seen_in_training": ["bus"], "forced": True}.items() <= forced.items()
    named = run_line(eval__classes="bus", **one)["protocol"]
    assert {"seen_in_training": ["bus"], "forced": False}.items() <= named.items()


def test_a_run_that_would_learn_what_it_evaluates(line, tmp_path, capsys):
    assert run_app(run_and_draw, line(tmp_path / "run", data__classes="all")) == 2
    told = capsys.readouterr().err
    assert "the model was trained on dog, horse; train with the fold held out" in told
    assert not (tmp_path / "run" / "config.json").exists()
