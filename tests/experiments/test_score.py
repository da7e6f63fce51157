"""Masks that a run has saved, and someone else's, scored without the model."""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from experiments import score as module
from experiments.evaluation import predictions
from experiments.evaluation.predictions import INDEX, read_index
from experiments.evaluation.task_rows import read_rows
from experiments.experiment import run
from experiments.settings.command_line import guarded, run_app
from experiments.settings.errors import UserError
from guided_jax.masks.palette import davis_palette
from guided_jax.scoring.few_shot import score_episodes
from guided_jax.scoring.positive_iu import positive_iu

CLASSES = ("airplane", "dog", "horse")


@pytest.fixture(scope="module")
def saved(command, run_at_random, tmp_path_factory):
    """An interactive run that saved its masks: the workdir, the masks."""
    folder = tmp_path_factory.mktemp("interactive")
    run_at_random(command(folder / "run", **{"eval.points": "1,5,dense", "eval.save": folder / "masks"}))
    return folder / "run", folder / "masks"


@pytest.fixture(scope="module")
def semantic(command, run_at_random, tmp_path_factory):
    """A semantic run on a folder per class under two draws that saved its masks, and the words of its command."""
    root = tmp_path_factory.mktemp("semantic")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for folder in ("images", "masks"):
            (root / "mine" / name / folder).mkdir(parents=True)
        for i in range(3):
            mask = np.zeros((40, 48), np.uint8)
            mask[8:24, 4 * i + 4 : 4 * i + 20] = 1
            mask[0, :5] = 255
            image = rng.integers(0, 256, (40, 48, 3), np.uint8)
            cv2.imwrite(str(root / "mine" / name / "images" / f"{i}.png"), image)
            cv2.imwrite(str(root / "mine" / name / "masks" / f"{i}.png"), mask)
    fields = {
        "data.root": root,
        "data.prepared": root / "prepared",
        "data.mode": "semantic",
        "data.buckets": "48x48",
        "data.train": "folder@mine:all:class",
        "eval.source": "folder@mine:all:class",
        "eval.classes": "dog, horse",
        "eval.limit": 0,
        "eval.during": 0,
        "eval.draws": 2,
    }
    run_at_random(command(root / "run", **fields, **{"eval.save": root / "masks"}))
    return root, command(root / "run", **fields)


def scored(folder, out, *words) -> dict:
    module.main(["score", str(folder), f"--out={out}", *map(str, words)])
    return json.loads((out / "result.json").read_text())


def result_of(workdir) -> dict:
    return json.loads((workdir / "result.json").read_text())


def test_saved_masks_score_as_the_model_did(saved, tmp_path, capsys):
    workdir, masks = saved
    result, expected = scored(masks, tmp_path), result_of(workdir)
    assert result["scores"] == expected["scores"]
    assert result["protocol"] == expected["protocol"] | {"predictions": str(masks)}
    assert result["about"]["trained_on"] == expected["about"]["trained_on"]
    assert read_rows(tmp_path / "tasks.jsonl") == read_rows(workdir / "tasks.jsonl")
    assert "5 tasks, masks of" in capsys.readouterr().out
    assert len(list(masks.glob("*/*.png"))) == 15
    with Image.open(next(masks.glob("dense/*.png"))) as image:
        assert image.mode == "P" and image.size == (96, 96) and image.getpalette()[:6] == davis_palette()[:6]
    assert all(0 < each["pos_iu"] < 1 for each in expected["scores"].values())
    index = read_index(masks)
    assert index["points"] == ["1", "5", "dense"] and len(index["tasks"][0]) == 5
    assert all((masks / "1" / task["file"]).is_file() for task in index["tasks"][0])


def test_masks_of_several_draws_and_published_accumulations(semantic, tmp_path):
    root, _ = semantic
    result, expected = scored(root / "masks", tmp_path), result_of(root / "run")
    assert result["scores"] == expected["scores"]
    rows = read_rows(tmp_path / "tasks.jsonl")
    assert [row["draw"] for row in rows] == [0] * 6 + [1] * 6
    assert [len(list((root / "masks" / f"draw-{draw}").rglob("*.png"))) for draw in (0, 1)] == [6, 6]
    assert {row["class"] for row in rows} == {"dog", "horse"}
    summed = {name: [] for name in ("oslsm", "panet", "hsnet", "pfenet", "reference")}
    for draw in range(2):
        counts = np.array([row["counts"]["5"] for row in rows if row["draw"] == draw])
        assert (counts.sum(1) == 40 * 48).all() and (counts[:, 4:].sum(1) == 5).all()  # padding counts nowhere
        classes = np.array([CLASSES.index(row["class"]) for row in rows if row["draw"] == draw])
        assert positive_iu(counts[:, :3], classes).pooled == expected["scores"]["5"]["draws"]["pos_iu"][draw]
        for name, values in summed.items():
            values.append(score_episodes(counts, classes, name))
    accumulations = expected["scores"]["5"]["accumulations"]
    for name, values in summed.items():
        assert accumulations[name]["iou"] == pytest.approx(np.mean([each.iou for each in values]))
        assert accumulations[name]["deviation"] == pytest.approx(np.std([each.iou for each in values], ddof=1))
        with_both = name in ("panet", "hsnet", "pfenet")
        assert (accumulations[name]["fb_iou"] is not None) == with_both
        if with_both:
            assert accumulations[name]["fb_iou"] == pytest.approx(np.mean([each.fb_iou for each in values]))
    assert accumulations["reference"]["iou"] == pytest.approx(expected["scores"]["5"]["pos_iu"])
    assert accumulations["hsnet"]["iou"] == pytest.approx(expected["scores"]["5"]["class_mean"])


def test_rows_say_what_each_task_is(saved):
    workdir, _ = saved
    rows, scores = read_rows(workdir / "tasks.jsonl"), result_of(workdir)["scores"]
    assert result_of(workdir)["rows"] == "tasks.jsonl" and len(rows) == 5
    assert len({(row["image"], row["instance"]) for row in rows}) == 5
    for points, each in scores.items():
        counts = np.array([row["counts"][points] for row in rows])
        assert counts[:, 0].sum() / counts[:, :3].sum() == each["pos_iu"]
        for row in rows:
            tp, fp, fn, *_ = row["counts"][points]
            assert row["pos_iu"][points] == pytest.approx(tp / (tp + fp + fn)) and row["class"] and row["instance"]


def test_a_named_result_leaves_the_others(saved, command, tmp_path):
    workdir = shutil.copytree(saved[0], tmp_path / "run")
    before = (workdir / "result.json").read_text()
    fields = {"eval.name": "dots-2", "eval.points": "2", "eval.headline": "2", "train.steps": 0}
    words = command(workdir, "--mode=eval", **fields)
    assert run_app(run, words) == 0
    assert (workdir / "result.json").read_text() == before
    named = json.loads((workdir / "result-dots-2.json").read_text())
    assert list(named["scores"]) == ["2"] and named["rows"] == "tasks-dots-2.jsonl"
    assert len(read_rows(workdir / "tasks-dots-2.jsonl")) == 5
    assert named["about"]["config"]["eval"]["points"] == "2"


@pytest.fixture
def theirs(semantic, tmp_path):
    """Someone else's masks: the truth of every task but a missed column, 255 for the object, one number of points."""
    root, words = semantic
    folder = tmp_path / "theirs"
    for name in ("dog", "horse"):
        for i in range(3):
            truth = cv2.imread(str(root / "mine" / name / "masks" / f"{i}.png"), cv2.IMREAD_UNCHANGED)
            mask = np.where(truth == 1, 255, 0).astype(np.uint8)
            mask[:, 4 * i + 4] = 0
            path = folder / f"{name}/{i}__{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), mask)
    return folder, [*words[1:2], *[word for word in words[3:] if "draws" not in word]]


def test_masks_of_someone_else(theirs, tmp_path):
    folder, words = theirs
    result = scored(folder, tmp_path / "out", *words)
    assert result["name"] == "theirs" and list(result["scores"]) == ["masks"]
    assert result["scores"]["masks"]["pos_iu"] == 15 / 16
    assert result["protocol"]["step"] is None and result["protocol"]["seen_in_training"] == "unknown"
    for points in ("1", "5"):  # as ours are laid out
        shutil.copytree(folder / "dog", tmp_path / "many" / points / "dog")
        shutil.copytree(folder / "horse", tmp_path / "many" / points / "horse")
    result = scored(tmp_path / "many", tmp_path / "out", *words, "--config.eval.points=1,5,dense")
    assert {name: each["pos_iu"] for name, each in result["scores"].items()} == {"1": 15 / 16, "5": 15 / 16}


def test_the_list_of_files(theirs, capsys):
    folder, words = theirs
    module.main(["score", "--list", *words])
    listed = capsys.readouterr().out.split()
    assert sorted(listed) == sorted(str(path.relative_to(folder)) for path in folder.glob("*/*.png"))


def spoil_missing(folder):
    (folder / "dog" / "1__dog.png").unlink()


def spoil_size(folder):
    cv2.imwrite(str(folder / "dog" / "1__dog.png"), np.zeros((40, 40), np.uint8))


def spoil_label(folder):
    cv2.imwrite(str(folder / "dog" / "1__dog.png"), np.full((40, 48), 2, np.uint8))


def spoil_void(folder):
    cv2.imwrite(str(folder / "dog" / "1__dog.png"), np.array([[0, 1, 255]] * 40, np.uint8).repeat(16, 1))


def spoil_colour(folder):
    image = Image.new("RGB", (48, 40), (9, 0, 1))
    image.save(folder / "dog" / "1__dog.png")


def spoil_file(folder):
    (folder / "dog" / "1__dog.png").write_bytes(b"no image")


def spoil_all(folder):
    shutil.rmtree(folder)
    folder.mkdir()


WRONG = [
    (spoil_missing, "1__dog.png: no such file; 1 of the 6 masks under"),
    (spoil_size, "1__dog.png: is 40x40 pixels (height x width), the query is 40x48"),
    (spoil_label, "1__dog.png: has the label 2; they are 0 (negative) to 1"),
    (spoil_void, "1__dog.png: has the label 255; they are 0 (negative) to 1"),
    (spoil_colour, "1__dog.png: is an RGB image; a mask holds labels, as a palette or grey PNG"),
    (spoil_file, "1__dog.png is not an image that can be read"),
    (spoil_all, "holds no mask of the 6 tasks; the first is expected as"),
    (lambda folder: (folder / INDEX).write_text("{}"), None),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[spoil.__name__ for spoil, _ in WRONG])
def test_a_wrong_folder_is_one_line(theirs, tmp_path, capsys, spoil, message):
    folder, words = theirs
    spoil(folder)
    command = ["score", str(folder), *words]
    if message is None:  # a broken index matters where nothing else names the evaluation
        command, message = ["score", str(folder)], "index.json: is not an index of predictions"
    assert guarded(lambda: module.main(command)) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ") and message in told
    assert not (folder / "result.json").exists()


def test_a_fault_of_ours_while_an_index_is_read_is_none_of_the_folder(saved, monkeypatch):
    def fail(*_):
        return {}["ours"]

    monkeypatch.setattr(predictions, "find_fault", fail)
    with pytest.raises(KeyError, match="ours"):
        predictions.read_index(saved[1])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"draw": 0}', "episode: is missing"),
        ('{"draw": 0, "episode": 1, "image": "a", "class": "", "counts": {"1": [1]}, "pos_iu": {"1": null}}',
         "counts: not the 6 outcomes"),
        ("[]", "is no object"),
    ],
)  # fmt: skip
def test_a_damaged_row_is_named(tmp_path, line, fault):
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(UserError, match=f"tasks.jsonl: cannot be read: line 1: {fault}; score it again"):
        read_rows(path)


def test_what_is_asked_for_wrongly(saved, tmp_path):
    workdir, masks = saved
    for words, message in [
        ([], "one folder of masks is expected, not 0"),
        ([tmp_path / "nowhere"], "nowhere: no such folder"),
        ([workdir], "holds no index.json; name the evaluation: --config=FILE.py"),
        ([masks, "--config.eval.limit=3"], "--config.eval.limit: .* was written under another; to be set here are"),
        ([masks, "--config.eval.limt=3"], "eval.limt: no such field"),
    ]:
        with pytest.raises(UserError, match=message):
            module.main(["score", *map(str, words)])


def test_what_cannot_be_saved_to(saved, command, tmp_path, capfd):
    _, masks = saved
    for fields, message in [
        ({"eval.save": masks}, f"eval.save={masks}: is there already; give a new folder"),
        ({"eval.name": "a/b"}, "eval.name='a/b': letters, digits"),
    ]:
        assert run_app(run, command(tmp_path / "run", **fields)) == 2
        assert message in capfd.readouterr().err
