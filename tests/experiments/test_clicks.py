"""Clicks on a data set from the command line: numbers by hand, the same twice, and what is refused."""

import json
import shutil

import cv2
import numpy as np
import pytest

from data_pipelines.tasks import Tasks
from experiments.clicks import main
from experiments.evaluation.clicks import choose_tasks
from experiments.runs.load import load_model
from experiments.settings.command_line import guarded
from experiments.settings.errors import UserError
from experiments.snapshot import export_snapshot
from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.episode import UNKNOWN
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state
from guided_jax.scoring.clicks import click_iou, noc, simulate_clicks
from guided_jax.session import Session
from tests.experiments.small_data import write_pair
from tests.experiments.tiny_run import make_run

SOURCE = "--source=generated:val[-3:]:instance"


@pytest.fixture(scope="module")
def workdir(prepared, tmp_path_factory):
    """A run of random weights whose masks hold both labels (an untrained head would be all negative)."""
    fields = {"model.sharing": "shared", "model.inference": "distance"}
    return make_run(tmp_path_factory.mktemp("clicks") / "run", prepared, **fields)


def ask(workdir, *words):
    main(["clicks", f"--workdir={workdir}", SOURCE, "--clicks=4", "--limit=3", *words])


def test_the_command(workdir, tmp_path, capsys):
    ask(workdir, f"--save={tmp_path / 'masks'}", "--targets=10,90")
    shown = capsys.readouterr().out
    (path,) = workdir.glob("clicks-*.json")
    assert path.name == "clicks-generated-val-3-instance.json" and f"written to {path}" in shown
    result = json.loads(path.read_text())
    assert "3 objects, 4 clicks at most" in shown and "clicks (NoC)" in shown and "objects >= 4" in shown
    protocol, objects = result["protocol"], result["objects"]
    assert protocol["objects"] == len(objects) == 3 and protocol["clicks"] == 4 and protocol["step"] == 0
    for key in ("click_rule", "threshold", "void", "aids", "upsampling", "noc", "data_version", "seed"):
        assert protocol[key] != ""
    for percent in ("10", "90"):
        numbers = [noc(each["ious"], int(percent) / 100, 4) for each in objects]
        assert [each["noc"][percent] for each in objects] == numbers
        assert result["scores"]["noc"][percent] == pytest.approx(np.mean(numbers))
        assert result["scores"]["at_limit"][percent] == sum(number == 4 for number in numbers)
    # The two targets are not alike, neither in the file nor in the table, and the last IoU is not the best.
    assert result["scores"]["noc"]["10"] < result["scores"]["noc"]["90"] == 4
    assert result["scores"]["at_limit"]["10"] < result["scores"]["at_limit"]["90"] == 3
    rows = [line.split() for line in shown.splitlines()]
    assert [f"{np.mean([each['noc'][p] for each in objects]):.2f}" for p in ("10", "90")] == rows[2][-2:]
    assert [str(sum(each["noc"][p] == 4 for each in objects)) for p in ("10", "90")] == rows[3][-2:]
    assert any(each["ious"][-1] < max(each["ious"]) for each in objects)
    last = [each["ious"][-1] for each in objects]
    assert result["scores"]["mean_iou"][3] == pytest.approx(np.mean(last))
    assert all(each["clicks"][0][2] == 1 for each in objects)  # the object's centre, on an empty mask
    assert {"click_ms_median", "click_ms_mean_with_encoding", "encode_ms_median"} <= set(result["times"])
    # The masks that were saved are those that were scored.
    for each in objects:
        mask = cv2.imread(str(tmp_path / "masks" / each["image"] / f"{each['object']}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (96, 96) and set(np.unique(mask)) <= {0, 1}
        row, column, _ = each["clicks"][0]
        assert 0 <= row < 96 and 0 <= column < 96
        assert mask.any() and 0 < each["ious"][-1] < 1
    assert result["masks"] == str(tmp_path / "masks")

    # The same command gives the same numbers, in the same file; another protocol has a file of its own.
    ask(workdir, "--targets=10,90")
    again = json.loads(path.read_text())
    assert {key: again[key] for key in ("protocol", "scores", "objects")} == {
        key: result[key] for key in ("protocol", "scores", "objects")
    }
    assert len(list(workdir.glob("clicks-*.json"))) == 1
    ask(workdir, "--targets=10,90", "--clicks=2")
    (other,) = set(workdir.glob("clicks-*.json")) - {path}
    assert json.loads(path.read_text()) == again
    assert [each["ious"] for each in json.loads(other.read_text())["objects"]] == [e["ious"][:2] for e in objects]


def test_a_file_in_place_of_a_run_and_masks_along_edges(workdir, prepared, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_snapshot(tmp_path / "model.safetensors", workdir)
    run, out = shutil.copytree(workdir, tmp_path / "run"), tmp_path / "out"
    data = [f"--config.data.prepared={prepared}", "--config.data.buckets=96x96"]
    words, results = [SOURCE, "--clicks=2", "--limit=2"], []
    for more in ([], ["--guided_filter"]):
        for path in run.glob("clicks-*"):
            path.unlink()
        main(["clicks", f"--workdir={run}", *words, *more])
        (path,) = run.glob("clicks-*.json")
        by_run = json.loads(path.read_text())
        main(["clicks", "--model=model.safetensors", f"--workdir={out}", *words, *data, *more])
        by_file = json.loads((out / path.name).read_text())
        (out / path.name).unlink()
        assert by_file["objects"] == by_run["objects"] and by_file["protocol"] == by_run["protocol"]
        results.append(by_run)
    plain, filtered = results
    assert [each["protocol"]["upsampling"] for each in results] == ["bilinear", "guided filter"]
    assert [each["ious"] for each in plain["objects"]] != [each["ious"] for each in filtered["objects"]]
    # Without a workdir nothing is written.
    there, _ = sorted(tmp_path.rglob("*")), capsys.readouterr()
    main(["clicks", "--model=model.safetensors", *words, *data])
    assert "2 objects, 2 clicks at most" in (shown := capsys.readouterr().out) and "written" not in shown
    assert sorted(tmp_path.rglob("*")) == there


def test_objects_of_one_image_are_each_clicked_on_as_alone_and_void_is_left_out(workdir, tmp_path):
    """Two objects, and void that looks like the first of them."""
    labels = np.zeros((40, 48), np.uint8)
    labels[8:24, 4:20], labels[8:24, 28:44], labels[27:] = 1, 2, 1
    write_pair([tmp_path / "mine" / "images"], 0, labels, np.random.default_rng(0))
    labels[27:] = UNKNOWN
    (tmp_path / "mine" / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "mine" / "masks" / "0.png"), labels)
    data = [f"--config.data.{name}" for name in (f"root={tmp_path}", f"prepared={tmp_path / 'p'}", "buckets=48x48")]
    run = shutil.copytree(workdir, tmp_path / "run")
    for path in run.glob("clicks-*"):
        path.unlink()
    masks = tmp_path / "saved"
    main(["clicks", f"--workdir={run}", "--source=folder@mine:all:instance", "--clicks=4", f"--save={masks}", *data])
    (path,) = run.glob("clicks-*.json")
    result = json.loads(path.read_text())
    objects, times = result["objects"], result["times"]
    assert [each["object"] for each in objects] == ["1", "2"]
    # The image was encoded once, for the clicks on both.
    number = sum(len(each["clicks"]) for each in objects)
    shared = (times["click_ms_mean_with_encoding"] - times["click_ms_mean"]) * number
    assert shared == pytest.approx(times["encode_ms_median"])
    image = cv2.imread(str(tmp_path / "mine" / "images" / "0.png"))[..., ::-1]
    for each in objects:
        session = Session(load_model(run))
        session.add("alone", np.ascontiguousarray(image))

        def segment(clicks, session=session):
            session.click("alone", *clicks[-1])
            return session.mask("alone")

        target = np.where(labels == UNKNOWN, UNKNOWN, labels == int(each["object"])).astype(np.uint8)
        alone = simulate_clicks(segment, target, limit=4)
        assert each["clicks"] == [list(click) for click in alone.clicks]
        assert each["ious"] == pytest.approx(alone.ious)
        mask = cv2.imread(str(masks / "0" / f"{each['object']}.png"), cv2.IMREAD_UNCHANGED)
        assert click_iou(mask, target) == pytest.approx(each["ious"][-1]) and 0 < each["ious"][-1] < 1
        assert mask[target == UNKNOWN].any()  # else void would not matter


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--targets=0.8"], "--targets=0.8: expects whole per cent"),
        (["--clicks=0"], "--clicks=0: at least 1"),
        (["--clicks=1001"], "--clicks=1001: at most 1000"),
        (["--source=nowhere:val"], "no data set is called 'nowhere'"),
        (["--config.data.buckets=64x64"], "fits none of the buckets 64x64"),
        (["--config.model.stride=8"], "--config.model.stride: belongs to the trained run"),
        (
            ["--config.tune.steps=5"],
            r"its network is fine-tuned on each task \(tune.steps=5\), which this command does not",
        ),
        (["--sauce=x"], "--sauce: no such flag"),
        (["--save=."], "--save=.: is there already; give a new folder"),
        (["--source=generated:val, generated:train"], "one source was expected, not a mixture of 2"),
    ],
)
def test_what_is_refused(workdir, words, message):
    with pytest.raises(UserError, match=message):
        ask(workdir, *words)


def test_no_run_and_help(tmp_path, capsys):
    assert guarded(lambda: main(["clicks", f"--workdir={tmp_path}"])) == 2
    assert "is not the workdir of a run" in capsys.readouterr().err
    assert guarded(lambda: main(["clicks", "--help"])) == 0
    assert "usage: guided_jax clicks" in capsys.readouterr().out


def test_masks_in_the_workdir_are_found_from_it(workdir):
    ask(workdir, f"--save={workdir / 'masks'}", "--targets=55", "--clicks=1")
    (result,) = (
        each
        for path in workdir.glob("clicks-*.json")
        if "55" in (each := json.loads(path.read_text()))["scores"]["noc"]
    )
    assert result["masks"] == "masks" and len(list((workdir / "masks").glob("*/*.png"))) == 3


@pytest.fixture(scope="module")
def learnt(workdir, prepared, tmp_path_factory):
    """A run whose newest checkpoint learnt buses, and the data: a bus (of fold 1) and a dog (of fold 2)."""
    folder = tmp_path_factory.mktemp("learnt")
    mask = np.zeros((40, 48), np.uint8)
    mask[8:24, 4:20] = 1
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    for name in ("bus", "dog"):
        for kind, values in {"images": image, "masks": mask}.items():
            path = folder / "mine" / name / kind / "0.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), values)
    run = make_run(folder / "run", prepared)
    trained = load_model(run)
    kept = Checkpoints(run / "checkpoints", keep_last=1, keep_best=0)
    state = create_state(trained.params, make_optimizer(trained.config.train), "")._replace(step=np.array(1, np.int32))
    about = {"trained_classes": ["bus"], "trained_on": {"mode": "interactive"}}
    kept.save(state, {"preprocessing": TORCHVISION.to_dict(), **about}, None)
    kept.close()
    return run


def of_fold(run, fold, *words):
    data = [f"--config.data.{name}" for name in (f"root={run.parent}", f"prepared={run.parent / 'p'}", "buckets=48x48")]
    given = ["--source=folder@mine:all:class", "--clicks=2", *data, f"--config.eval.classes={fold}", *words]
    main(["clicks", f"--workdir={run}", *given])
    newest = max(run.glob("clicks-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(newest.read_text())


def test_which_objects_are_clicked_on_follows_from_the_seed():
    tasks = Tasks(*np.tile(np.arange(19, -1, -1, dtype=np.int32), (len(Tasks._fields), 1)))
    chosen = {seed: [task.record for task in choose_tasks(tasks, 5, seed)] for seed in (0, 1, 2)}
    assert all(len(set(each)) == 5 and each == sorted(each) for each in chosen.values())
    assert len(set(map(tuple, chosen.values()))) == 3
    assert [task.record for task in choose_tasks(tasks, 0, 1)] == list(range(20))


def test_a_fold_that_was_learnt_is_refused_or_marked(learnt, caplog):
    with pytest.raises(UserError, match=r"eval.classes names a fold.* the model was trained on bus; train with"):
        of_fold(learnt, "fold:1")
    assert not list(learnt.glob("clicks-*.json"))
    forced = of_fold(learnt, "fold:1", "--config.eval.force_seen=True")
    assert {"seen_in_training": ["bus"], "forced": True, "objects": 1}.items() <= forced["protocol"].items()
    assert "eval.force_seen: the model was trained on bus" in caplog.text
    assert forced["about"]["trained_on"] == {"mode": "interactive"} and forced["about"]["trained_classes"] == ["bus"]
    new = of_fold(learnt, "fold:2")["protocol"]
    assert {"seen_in_training": [], "forced": False, "objects": 1}.items() <= new.items()
    named = of_fold(learnt, "bus")["protocol"]
    assert {"seen_in_training": ["bus"], "forced": False}.items() <= named.items()


def test_a_fold_is_refused_where_nobody_knows_what_was_learnt(workdir, learnt):
    data = ["--source=folder@mine:all:class", f"--config.data.root={learnt.parent}", "--config.data.buckets=48x48"]
    words = [*data, f"--config.data.prepared={learnt.parent / 'p'}", "--config.eval.classes=fold:2"]
    with pytest.raises(UserError, match="it is not known which classes the model was trained on"):
        main(["clicks", f"--workdir={workdir}", *words])
