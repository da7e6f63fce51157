"""The whole run, from the command line to the result, with the shipped configuration shrunk to seconds."""

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import stack_episodes
from experiments import experiment as module
from experiments import run as run_module
from experiments.evaluation.tasks import report
from experiments.experiment import initial_parameters, make_scorer, open_data, open_experiment, run
from experiments.run import load_scored, run_and_draw
from experiments.runs.data import evaluation_episodes
from experiments.runs.load import load_model
from experiments.runs.metrics import read_metrics
from experiments.settings.command_line import parse, run_app
from experiments.settings.config import Config
from experiments.settings.fields import with_overrides
from guided_jax.episode import UNKNOWN
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.parallel import place
from guided_jax.learning.step import create_state
from tests.experiments.conftest import random_start
from tests.experiments.tiny_run import make_run

ALL_POINTS = {"eval.points": "1,5,dense"}


@pytest.fixture(scope="module")
def done(command, tmp_path_factory):
    """A finished run, which began at random, so that its scores are not 0."""
    workdir = tmp_path_factory.mktemp("runs") / "done"
    with random_start():
        assert run_app(run_and_draw, command(workdir, **ALL_POINTS)) == 0
    return workdir


def result_of(workdir) -> dict:
    return json.loads((workdir / "result.json").read_text())


def save_checkpoint(workdir, step: int, score: float | None) -> None:
    """Adds one to a run, with the parameters of the newest and a score of its own, where it has one."""
    trained = load_model(workdir)
    kept = Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=1)
    state = create_state(trained.params, make_optimizer(trained.config.train), "")
    metrics = None if score is None else {"pos_iu": score}
    kept.save(state._replace(step=np.array(step, np.int32)), {**trained.about, "step": step}, metrics)
    kept.close()


def test_result_names_its_protocol(done):
    result = result_of(done)
    assert result["name"] == "quickstart"
    expected = {
        "data": "generated:val[-3:]",
        "mode": "interactive",
        "shots": 1,
        "tasks": 5,
        "limit": 5,
        "episodes": "all: every task once, the annotated image is the query itself",
        "seed": 1337,
        "step": 6,
    }
    assert expected.items() <= result["protocol"].items()
    assert list(result["scores"]) == ["1", "5", "dense"]
    for scores in result["scores"].values():
        assert 0 < scores["pos_iu"] < 1 and 0 < scores["class_mean"] < 1
        assert np.mean(list(scores["classes"].values())) == pytest.approx(scores["class_mean"])
    assert result["about"]["data"].keys() == {"generated:val[:20]", "generated:val[-3:]"}
    assert result["about"]["preprocessing"]["channels"] == "rgb"
    assert result["about"]["devices"]["count"] == jax.device_count()


def test_what_is_shown(done):
    assert all((done / name).stat().st_size > 1000 for name in ("curve.png", "picture.png"))
    assert list((done / "tensorboard").glob("events.*"))


@pytest.mark.parametrize(("name", "headline", "points"), [("", "", "1"), ("x", "5", "5")])
def test_what_is_drawn_and_where(tmp_path, monkeypatch, capsys, name, headline, points):
    """By the headline's points, or the first; in files that have the result's name."""
    result = {"protocol": {"data": "d", "tasks": 2}, "scores": {p: {"pos_iu": 0.5, "class_mean": 0.25} for p in "15"}}
    config, calls = with_overrides(Config(), {"eval.name": name, "eval.headline": headline, "eval.save": "m"}), []
    for function in ("plot_results", "plot_predictions", "load_scored"):
        monkeypatch.setattr(run_module, function, lambda *words, **more: calls.append((*words, *more.values())))
    monkeypatch.setattr(run_module, "run", lambda *words: calls.append(words) or result)
    run_and_draw(config, tmp_path, "eval", "jit")
    end, model = f"-{name}" if name else "", "late global feature-fusion"
    assert calls == [
        (config, tmp_path, "eval", "jit"),
        (tmp_path / f"curve{end}.png", {model: result}),
        (config, tmp_path, "eval"),
        (tmp_path / f"picture{end}.png", {model: None}, points),
    ]
    shown = capsys.readouterr().out
    assert shown.startswith(f"d: 2 tasks, {model}\n") and shown.endswith("\nmasks written to m\n")
    assert f"{tmp_path}: result{end}.json, tasks{end}.jsonl, curve{end}.png, picture{end}.png\n" in shown
    monkeypatch.setattr(run_module, "run", lambda *_: None)  # as in mode train
    run_and_draw(config, tmp_path, "train", "jit")
    assert len(calls) == 4 and not capsys.readouterr().out


def test_metrics_of_every_update_and_of_the_evaluation(done):
    *updates, evaluation = read_metrics(done)
    assert [line["step"] for line in updates] == [1, 2, 3, 4, 5, 6]
    assert all(0 < line["pos_iu"] < 1 and line["episodes_per_second"] > 0 for line in updates)
    scores = result_of(done)["scores"]
    assert evaluation["step"] == 6
    # Of the headline's points, which are not the first.
    assert len({each[measure] for each in scores.values() for measure in ("pos_iu", "class_mean")}) == 6
    assert evaluation["eval/pos_iu"] == evaluation["eval/pos_iu@5"] == scores["5"]["pos_iu"]
    assert evaluation["eval/pos_iu@dense"] == scores["dense"]["pos_iu"]
    assert evaluation["eval/class_mean"] == scores["5"]["class_mean"]


def test_checkpoints_say_what_they_are_of(done):
    assert sorted(path.name for path in (done / "checkpoints").iterdir()) == ["4", "6"]
    about = load_model(done, step=6).about
    assert about["config"] == json.loads((done / "config.json").read_text())
    assert about["code"] and about["data"]["generated:val[-3:]"]


def test_the_command_again_only_repeats_the_result(done, command):
    before, metrics = result_of(done), (done / "metrics.jsonl").read_text()
    assert run_app(run, command(done, **ALL_POINTS)) == 0
    assert result_of(done)["scores"] == before["scores"]
    assert (done / "metrics.jsonl").read_text() == metrics


def test_a_trained_model_is_scored_on_other_tasks(done, command, tmp_path):
    workdir = shutil.copytree(done, tmp_path / "copy")
    save_checkpoint(workdir, 7, None)  # newer than the best
    fields = {"eval.source": "generated:val[:5]:instance", "eval.limit": 7, "eval.points": "2", "eval.headline": ""}
    words = ["--mode=eval", "--parallel=jit"]
    assert run_app(run, command(workdir, *words, **fields, **{"eval.checkpoint": "best"})) == 0
    protocol = result_of(workdir)["protocol"]
    assert (protocol["data"], protocol["tasks"], protocol["step"]) == ("generated:val[:5]", 7, 6)
    assert 0 < result_of(workdir)["scores"]["2"]["pos_iu"] < 1
    assert (workdir / "config.json").read_text() == (done / "config.json").read_text()


def test_what_is_configured_reaches_the_update(command, tmp_path, monkeypatch):
    """A seed that did not reach it would understate how far the runs of a sweep lie apart."""

    class Built(Exception):
        pass

    def build(step, mode, devices):
        raise Built(mode, {name: value for name, value in step.keywords.items() if name not in ("model", "optimizer")})

    monkeypatch.setattr(module, "parallel_train_step", build)
    fields = {"seed": 77, "train.accumulation": 2, "train.batch_size": 8, "train.corrections": 3}
    fields |= {"train.correction_stride": 4, "train.dice": 0.5, "train.balance": True}
    with pytest.raises(Built) as found:
        run(parse(command(tmp_path, **fields)).config, tmp_path, parallel="jit")
    expected = {"seed": 77, "accumulation": 2, "corrections": 3, "correction_stride": 4, "dice": 0.5, "balance": True}
    assert found.value.args == ("jit", expected)


def test_another_seed_begins_with_other_parameters(command, tmp_path):
    starts = [initial_parameters(parse(command(tmp_path, seed=seed)).config)[1] for seed in (1, 1, 2)]
    first, again, other = (each["head"]["fc7"]["kernel"] for each in starts)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_training_alone_then_the_scores_and_no_updates_at_all(command, tmp_path):
    words = command(tmp_path, **{"train.steps": 0})
    assert run_app(run, [*words, "--mode=train"]) == 0
    assert (tmp_path / "checkpoints" / "0").is_dir() and not (tmp_path / "result.json").exists()
    assert run_app(run, words) == 0
    assert result_of(tmp_path)["protocol"]["step"] == 0
    assert result_of(tmp_path)["scores"]["5"]["pos_iu"] == 0  # the score layer begins with zeros


MISTAKES = [
    ({"train.batch_size": 6}, r"train.batch_size=6 does not divide over 4 device(s)"),
    ({"data.train": "voc:train:class", "data.root": "nowhere"}, "VOCdevkit"),
    ({"data.train": "generated:val:instanse"}, "data.train: "),
    ({"eval.source": "generated:vol:instance"}, "'vol'"),
    ({"data.buckets": "64x64"}, "fits none of the buckets 64x64"),
    ({"data.points": "0-"}, "data.points: "),
    ({"eval.headline": "7"}, "eval.headline='7' is not one of"),
    ({"eval.shots": 2}, "eval.shots=2: interactive mode has one"),
    ({"train.freeze": "trunc"}, "train.freeze: 'trunc' matches no parameter"),
    ({"train.learning_rat": 1}, "--config.train.learning_rat: no such field"),
    ({"train.steps": "many"}, "train.steps=many: expects an int"),
    ({"weights": "no.npz"}, "weights=no.npz: there is no such file"),
    ({"weights": "vgg19"}, "weights=vgg19: there is no such file of weights"),  # none are published for this backbone
    (
        {"weights": "vgg19", "model.backbone": "vgg16"},
        "weights=vgg19: there is no such file of weights; --config.weights=vgg16 downloads",
    ),
    ({"weights_preprocessing": "tf", "weights": "vgg16"}, "weights_preprocessing='tf' is not one of caffe"),
    ({"train.cache_features": "true", "train.freeze": "trunk"}, "features of an untrained trunk"),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES, ids=[next(iter(fields)) for fields, _ in MISTAKES])
def test_a_mistake_is_one_line(command, tmp_path, capfd, fields, message):
    capfd.readouterr()
    assert run_app(run, command(tmp_path / "run", **fields)) == 2
    (line,) = [each for each in capfd.readouterr().err.splitlines() if "tasks in" not in each]
    assert line.startswith("error: ") and message in line
    assert not list(tmp_path.glob("run/[!.]*"))


def test_a_folder_that_cannot_be_written_is_one_line(command, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    capfd.readouterr()
    assert run_app(run, command(tmp_path / "file" / "run")) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: --workdir=") and "cannot be written" in line


def test_a_workdir_of_another_config_is_refused(done, command, capfd):
    capfd.readouterr()
    assert run_app(run, command(done, **ALL_POINTS, **{"train.learning_rate": 0.5})) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "is of another config: train.learning_rate: 0.003 (workdir) != 0.5 (now)" in line


DAMAGES = {
    "empty": lambda folder: (folder / "99").mkdir(),
    "cut": lambda folder: [path.write_bytes(path.read_bytes()[:99]) for path in (folder / "6/state").rglob("d/*")],
    "no state": lambda folder: shutil.rmtree(folder / "6" / "state"),
    "no scores": lambda folder: (folder / "6/metrics/metrics").write_text(""),
}


@pytest.mark.parametrize("mode", ["train_and_eval", "eval"])
@pytest.mark.parametrize(("name", "harm"), DAMAGES.items(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_one_line(done, command, tmp_path, capfd, name, harm, mode):
    workdir = shutil.copytree(done, tmp_path / "copy")
    harm(workdir / "checkpoints")
    step, before = (99, 6) if name == "empty" else (6, 4)
    capfd.readouterr()
    assert run_app(run, command(workdir, f"--mode={mode}", **ALL_POINTS)) == 2
    told = [each for each in capfd.readouterr().err.splitlines() if "tasks in" not in each]
    *_, line = lines = [each for each in told if "Metadata file does not exist" not in each]  # a warning of Orbax
    assert line.startswith(f"error: {workdir}/checkpoints/{step}: checkpoint {step} is damaged (")
    assert line.endswith(f"delete it to go on from {before}, or pass it over: --config.train.skip_damaged=True")
    assert len(lines) == 1


def test_the_command_itself(command, tmp_path):
    words = command(tmp_path / "run", **{"train.batch_sise": 4})
    ended = subprocess.run(
        [sys.executable, "-m", "experiments.run", *words[1:]], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: --config.train.batch_sise: no such field; did you mean train.batch_size")


def test_a_loss_that_is_not_finite_ends_the_run(command, tmp_path, capfd):
    fields = {"train.learning_rate": 1e30, "train.clip_norm": 0, "train.schedule": "constant", "train.warmup": 0}
    capfd.readouterr()
    assert run_app(run, command(tmp_path, **{**fields, "train.checkpoint_every": 1, "train.keep_last": 9})) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("error: the ") and "lower train.learning_rate" in line
    update = int(line.split("update ")[1].split(":")[0])
    assert max(int(path.name) for path in tmp_path.glob("checkpoints/[0-9]*")) == update - 1


@pytest.fixture(scope="module")
def untrained(command, tmp_path_factory):
    """An experiment whose network answers at random, and its parameters."""
    config = parse(command(tmp_path_factory.mktemp("x"), **ALL_POINTS)).config
    experiment, params = open_experiment(config, "pmap", *open_data(config, training=False))
    kernel = params["head"]["score"]["kernel"]
    params["head"]["score"]["kernel"] = jax.random.normal(jax.random.key(5), kernel.shape)
    return experiment, params


def tasks_in_batches_of(size: int, config: Config, experiment) -> EvaluationEpisodes:
    config = dataclasses.replace(config, eval=dataclasses.replace(config.eval, batch_size=size))
    return evaluation_episodes(config, experiment.eval_source, None, limit=5, devices=len(jax.local_devices()))


@pytest.fixture(scope="module")
def by_hand(untrained):
    """Counts of each task under each draw, one episode at a time, with NumPy."""
    experiment, params = untrained
    apply = jax.jit(experiment.model.apply)
    rows = []
    for i in range(len(experiment.tasks)):
        episode = stack_episodes([experiment.tasks[i]])
        if not experiment.tasks.is_real(i):
            continue
        found = np.asarray(apply({"params": params}, episode)).argmax(2)[:, 0]
        target = episode.target[0]
        known = target != UNKNOWN
        taken, wanted = found == 1, known & (target == 1)
        void = ~known & (np.indices(target.shape) < episode.query_size[0][:, None, None]).all(0)
        parts = (wanted & taken, (target == 0) & taken, wanted & ~taken, (target == 0) & ~taken, void & taken)
        rows.append(np.stack([part.sum((1, 2)) for part in (*parts, void & ~taken)], 1))
    return np.array(rows)


@pytest.mark.parametrize(
    ("size", "devices", "mode"),
    [(1, 1, "pmap"), (3, 1, "jit"), (3, 4, "pmap"), (4, 4, "jit"), (8, 4, "pmap"), (4, 4, "fsdp")],
)
def test_every_task_counts_once_whatever_the_batch(untrained, by_hand, monkeypatch, size, devices, mode):
    experiment, params = untrained
    local = jax.local_devices()[:devices]
    monkeypatch.setattr(jax, "local_devices", lambda *args, **kwargs: local)
    tasks = tasks_in_batches_of(size, experiment.config, experiment)
    assert len(tasks) == -(-5 // tasks.group) * tasks.group
    scores = make_scorer(experiment._replace(parallel=mode), tasks)(place(params, mode, local))
    assert scores.counts.shape == by_hand.shape == (5, 3, 6)
    np.testing.assert_allclose(scores.counts, by_hand, atol=2)  # ties fall on either side
    assert (scores.counts[..., 0] + scores.counts[..., 2] == by_hand[..., 0] + by_hand[..., 2]).all()
    pooled = by_hand.sum(0)
    for a, each in enumerate(scores.by_points.values()):
        assert each.tasks == 5
        assert each.pooled == pytest.approx(pooled[a, 0] / pooled[a, :3].sum(), abs=1e-3)


def test_report_is_what_was_scored(untrained):
    experiment, params = untrained
    scores = make_scorer(experiment, experiment.tasks)(params)
    config = experiment.config
    result = report(config, experiment.eval_source, scores, step=3, limit=5, about={"a": 1})
    assert result == json.loads(json.dumps(result))
    assert {name: each["pos_iu"] for name, each in result["scores"].items()} == {
        name: each.pooled for name, each in scores.by_points.items()
    }
    names = experiment.eval_source.split.class_names
    present = {names[c - 1] for c in scores.classes}
    assert result["scores"]["1"]["classes"].keys() == present and len(present) > 1
    assert result["about"] == {"a": 1}


@pytest.fixture(scope="module")
def best_then_newest(prepared, tmp_path_factory):
    """A run whose best checkpoint is of step 1, and its newest of step 2."""
    workdir = make_run(tmp_path_factory.mktemp("runs") / "two", prepared)
    for step, score in ((1, 0.9), (2, 0.1)):
        save_checkpoint(workdir, step, score)
    return workdir


@pytest.mark.parametrize(
    ("mode", "checkpoint", "step"), [("eval", "best", 1), ("eval", "last", 2), ("train_and_eval", "best", 2)]
)
def test_the_picture_shows_the_checkpoint_that_was_scored(best_then_newest, mode, checkpoint, step):
    config = with_overrides(load_model(best_then_newest).config, {"eval.checkpoint": checkpoint})
    shown = load_scored(config, best_then_newest, mode)
    assert shown.step == step and shown.config == config
    if mode == "eval":
        assert run(config, best_then_newest, mode)["protocol"]["step"] == step
