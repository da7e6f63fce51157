"""Videos on the command line: a small DAVIS, a model without training, masks written and scored again."""

import json
import re
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.sources import open_source
from data_pipelines.videos import annotate_video, list_videos, read_truth
from experiments.evaluation.video_scores import count_objects
from experiments.report import parse, write_report
from experiments.reports import video_cases
from experiments.reports.content import FigureFolder
from experiments.reports.found import find_results
from experiments.settings.command_line import guarded
from experiments.settings.config import Config
from experiments.settings.fields import to_dict
from experiments.settings.json_files import write_json
from experiments.video import _same_data, main
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.episode import UNKNOWN
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state
from guided_jax.masks.palette import davis_palette
from guided_jax.scoring.davis import region_similarity
from guided_jax.scoring.positive_iu import count_positives
from tests.guided_jax.small_models import small_model

HEIGHT, WIDTH = 24, 40
COLOURS = np.array([[40, 40, 40], [250, 60, 60], [60, 60, 250]], np.uint8)
CLIPS = {"bear": (5, 1), "dogs": (6, 2)}  # frames, objects
STEP = 7


def truth(clip, frame):
    """Objects that move to the right."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[2:12, 2 + 2 * frame : 12 + 2 * frame] = 1
    if CLIPS[clip][1] == 2:
        labels[14:22, 4 + 3 * frame : 16 + 3 * frame] = 2
        labels[13, 0:5] = UNKNOWN
    return labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the data `DAVIS`, a clip of 2016 and one of 2017, and a workdir `run`."""
    folder = tmp_path_factory.mktemp("video")
    rng = np.random.default_rng(0)
    for clip, (frames, _) in CLIPS.items():
        images, masks = (folder / "DAVIS" / kind / "480p" / clip for kind in ("JPEGImages", "Annotations"))
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for frame in range(frames):
            labels = truth(clip, frame)
            picture = COLOURS[np.where(labels == UNKNOWN, 0, labels)] + rng.integers(0, 5, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(picture).save(images / f"{frame:05d}.jpg", quality=95)
            mask = Image.fromarray(labels if clip == "dogs" else labels * 255)
            if clip == "dogs":
                mask.putpalette(davis_palette())
            mask.save(masks / f"{frame:05d}.png")
    lists = folder / "DAVIS" / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("bear\ndogs\n")
    make_run(folder / "run", inference="distance")
    return folder


def make_run(workdir, **fields):
    model, params = small_model(**fields)
    config = Config(name=workdir.name, model=model.config)
    workdir.mkdir()
    write_json(workdir / "config.json", to_dict(config))
    kept = Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=0)
    state = create_state(params, make_optimizer(config.train), "")
    kept.save(state._replace(step=state.step + STEP), {"preprocessing": CAFFE.to_dict()}, None)
    kept.close()


@pytest.fixture
def run(folder, tmp_path):
    """Runs the command on the small data; gives its results by file."""

    def command(*words, workdir: Path | None = folder / "run"):
        copy = None
        if workdir is not None:
            copy = tmp_path / "workdir"
            if workdir.is_dir() and not copy.exists():
                shutil.copytree(workdir, copy)
            words = (f"--workdir={copy}", *words)
        main(["video", *words, f"--config.data.root={folder}", f"--config.data.prepared={folder / 'prepared'}"])
        return {} if copy is None else {each.stem: json.loads(each.read_text()) for each in copy.glob("video*.json")}

    return command


def save_truth(folder):
    """Masks that equal the truth."""
    for clip, (frames, _) in CLIPS.items():
        (folder / clip).mkdir(parents=True)
        for frame in range(frames):
            labels = truth(clip, frame)
            Image.fromarray(np.where(labels == UNKNOWN, 0, labels)).save(folder / clip / f"{frame:05d}.png")
    return folder


def test_the_command(run, capsys):
    (result,) = run("--points=5,dense", "--draws=2", "--source=davis:val").values()
    protocol = result["protocol"]
    assert (protocol["videos"], protocol["objects"], protocol["frames"]) == (2, 3, 11)
    assert protocol["frames_scored"] == 3 + 4  # neither the first nor the last
    assert (protocol["shots"], protocol["draws"], protocol["step"]) == (1, 2, STEP)
    assert protocol["way"] == "softmax over all labels"
    assert (protocol["names"], protocol["every"], protocol["seed"]) == ("all", 1, Config().seed)
    assert (protocol["checkpoint"], protocol["trained_on"]) == ("newest", Config().data.train)
    assert (protocol["data"], protocol["source"], protocol["max_side"]) == ("davis:val", "davis:val", 0)
    assert result["name"] == "run" and result["about"]["model"]["inference"] == "distance"
    assert set(result["scores"]) == {"5", "dense"}
    for row in result["rows"]:
        assert len(row["j_by_frame"]) == {"bear": 3, "dogs": 4}[row["video"]]
        assert row["j"]["mean"] == pytest.approx(np.mean(row["j_by_frame"]), abs=1e-4)
    of_five = [row for row in result["rows"] if row["points"] == "5"]
    assert [(row["video"], row["object"], row["draw"]) for row in of_five] == [
        *(("bear", 1, draw) for draw in range(2)),
        *(("dogs", number, draw) for draw in range(2) for number in (1, 2)),
    ]
    five = result["scores"]["5"]
    # Both draws have the same objects, so the mean over all rows is the mean of the draws' means.
    assert five["j"]["mean"] == pytest.approx(np.mean([row["j"]["mean"] for row in of_five]))
    assert (
        five["j_and_f"]
        == pytest.approx((five["j"]["mean"] + five["f"]["mean"]) / 2)
        == pytest.approx(np.mean(five["draws"]))
    )
    assert five["deviation"]["j_and_f"] == pytest.approx(np.std(five["draws"], ddof=1)) and five["draws"][1:]
    assert result["scores"]["dense"]["deviation"]["j_and_f"] is None
    assert result["speed"]["frames_per_second"] > 0 and result["speed"]["annotations"] == 3
    assert [video["annotated"] for video in result["videos"]] == [["00000"], ["00000"]]
    out = capsys.readouterr().out
    assert "davis:val: 2 videos, 3 objects, 7 frames scored; late global distance, step 7, softmax; S = 1" in out
    assert "5 points per label and annotated frame" in out and "over 2 draws" in out
    assert re.search(r"dogs +2 +\d+\.\d", out)


@pytest.mark.parametrize("multi", ["softmax", "union"])
def test_saved_masks_have_daviss_form_and_the_same_scores(run, folder, tmp_path, multi, capsys):
    masks = tmp_path / "masks"
    (result,) = run(f"--multi={multi}", f"--save={masks}", "--chunk=4").values()
    assert f"masks written to {masks}\n" in capsys.readouterr().out
    assert sorted(path.name for path in masks.iterdir()) == ["bear", "dogs"]
    files = sorted((masks / "dogs").iterdir())
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(6)]
    seen = set()
    for file in files:
        with Image.open(file) as image:
            assert (image.mode, image.size) == ("P", (WIDTH, HEIGHT))
            assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
            seen.update(np.unique(np.array(image)).tolist())
    assert seen == {0, 1, 2}
    results = run(f"--predictions={masks}")
    again = next(each for each in results.values() if "predictions" in each["protocol"])
    score = {key: value for key, value in again["scores"]["masks"].items() if key != "draws"}
    assert score == {key: value for key, value in result["scores"]["dense"].items() if key != "draws"}
    assert [row["j_by_frame"] for row in again["rows"]] == [row["j_by_frame"] for row in result["rows"]]


def test_each_annotation_is_saved_in_a_folder_of_its_own(run, tmp_path):
    words = ["--points=3,dense", "--draws=2", "--videos=dogs", "--every=2", "--config.seed=5", "--best", "--chunk=4"]
    (result,) = run(*words, f"--save={tmp_path / 'masks'}").values()
    of = {"names": ["dogs"], "every": 2, "videos": 1, "objects": 2, "frames": 3, "frames_scored": 1, "seed": 5}
    assert {**of, "checkpoint": "best", "draws": 2}.items() <= result["protocol"].items()
    (dogs,) = result["videos"]
    assert {"video": "dogs", "frames": 3, "height": HEIGHT, "width": WIDTH, "scored": 1}.items() <= dogs.items()
    assert dogs["objects"] == [1, 2] and dogs["starts"] == ["00000", "00000"] and dogs["guide_seconds"] > 0
    assert result["speed"]["chunk"] == 4 and dogs["guide_seconds"] < dogs["seconds"]
    found = sorted(str(path.relative_to(tmp_path / "masks")) for path in (tmp_path / "masks").rglob("00004.png"))
    assert found == [f"{name}/dogs/00004.png" for name in ("3-points-draw-0", "3-points-draw-1", "dense")]
    assert not list((tmp_path / "masks").rglob("00001.png"))


def test_the_same_command_gives_the_same_numbers_whatever_the_chunks(run):
    words = ["--points=2", "--shots=2"]
    (first,) = run(*words).values()
    (second,) = run(*words, "--chunk=3").values()  # in the same file, since the protocol is the same
    assert first["rows"] == second["rows"]
    assert first["protocol"]["frames_scored"] == 2 + 3
    assert len(run(*words, "--config.seed=4")) == 2  # beside it: another protocol


@pytest.mark.parametrize("words", [("--memory=forward",), ("--memory=both", "--multi=union", "--shots=2")])
def test_guidance_that_follows_the_clips_is_a_protocol_of_its_own(folder, run, tmp_path, words):
    both = folder / "both"
    if not both.exists():
        make_run(both, inference="distance", locality="both")
    (alone,) = run(*words[1:], workdir=both).values()
    results = run(*words, f"--save={tmp_path / 'masks'}", workdir=both)
    (followed,) = (
        result for name, result in results.items() if name.endswith(words[0].replace("--memory=", "memory-"))
    )
    assert "memory" not in alone["protocol"] and followed["protocol"]["memory"] == words[0].partition("=")[2]
    assert alone["protocol"]["guidance"] != followed["protocol"]["guidance"]
    frames = [[len(row["j_by_frame"]) for row in result["rows"]] for result in (alone, followed)]
    assert frames[0] == frames[1] and len(results) == 2
    assert len(list((tmp_path / "masks" / "dogs").iterdir())) == CLIPS["dogs"][0]
    (section,) = write_report(parse(["report", str(tmp_path / "workdir"), "--cases=1", f"--out={tmp_path / 'out'}"]))
    assert any("guidance followed the clips" in str(block) for block in section.blocks)


def test_smaller_frames_are_scored_at_their_own_size(run):
    (result,) = run("--config.data.max_side=20").values()
    assert result["protocol"]["max_side"] == 20
    assert result["scores"]["dense"]["j"]["mean"] > 0.2


def test_the_truth_scores_one_and_an_error_by_hand_what_it_should(run, tmp_path, capsys):
    masks = save_truth(tmp_path / "masks")
    for clip in CLIPS:
        for ends in (0, CLIPS[clip][0] - 1):
            (masks / clip / f"{ends:05d}.png").unlink()  # never scored
    run(f"--predictions={masks}", workdir=None)
    means = re.search(r"mean of objects +3 (.*)", capsys.readouterr().out)[1].split()
    assert means == ["100.0", "100.0", "0.0"] * 2 + ["100.0", "100.0"]
    half = truth("bear", 2)
    half[2:7] = 0  # 5 of the 10 rows
    Image.fromarray(half * 255).save(masks / "bear" / "00002.png")
    ((result),) = run(f"--predictions={masks}", workdir=tmp_path / "elsewhere").values()
    bear = result["rows"][0]
    assert bear["j_by_frame"] == [1.0, 0.5, 1.0] and bear["pos_iu"] == pytest.approx(250 / 300)
    pixels = 3 * 100 + 4 * (100 + 96)
    assert result["scores"]["masks"]["pos_iu"] == pytest.approx((pixels - 50) / pixels)
    assert result["scores"]["masks"]["j"]["mean"] == pytest.approx((2.5 / 3 + 2) / 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda m: shutil.rmtree(m / "dogs"),
            r"masks/dogs: no such folder, for the masks of the video dogs .* holds bear",
        ),
        (lambda m: shutil.rmtree(m), r"--predictions=.*masks: no such folder"),
        (
            lambda m: [(m / "dogs" / f"0000{i}.png").unlink() for i in (1, 4)],
            r"masks/dogs/00001.png: no such file; masks of 2 of the 4 scored frames of dogs are missing",
        ),
        (
            lambda m: Image.new("L", (WIDTH // 2, HEIGHT)).save(m / "bear" / "00001.png"),
            r"masks/bear/00001.png: is 24x20 pixels \(height x width\), the frames of bear are 24x40",
        ),
        (
            lambda m: Image.fromarray(truth("dogs", 1) * 3 % 7).save(m / "dogs" / "00001.png"),
            r"masks/dogs/00001.png: has the id 3; the objects of dogs are 1, 2, and 0 is background",
        ),
        (
            lambda m: Image.new("L", (WIDTH, HEIGHT), 255).save(m / "dogs" / "00001.png"),
            r"masks/dogs/00001.png: has the id 255; the objects of dogs are 1, 2",
        ),
        (
            lambda m: Image.new("RGB", (WIDTH, HEIGHT), (128, 0, 0)).save(m / "bear" / "00002.png"),
            r"masks/bear/00002.png: is an RGB image; a mask holds ids",
        ),
        (lambda m: (m / "bear" / "00002.png").write_bytes(b"no"), r"masks/bear/00002.png is not an image"),
    ],
    ids=["video", "folder", "frames", "size", "id", "void", "rgb", "broken"],
)
def test_wrong_masks_are_named(folder, tmp_path, capsys, spoil, message):
    spoil(save_truth(tmp_path / "masks"))
    words = [f"--config.data.root={folder}", f"--config.data.prepared={folder / 'prepared'}"]
    assert guarded(lambda: main(["video", f"--predictions={tmp_path / 'masks'}", *words])) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--best"], "--best: chooses among the checkpoints of a run; it needs --workdir, and no --model"),
        (["--model=nothing"], "nothing: no such file or folder; a .safetensors, the workdir of a run or a name"),
        (["--model=run"], "run: is a folder; a run is named by --workdir=run"),
        (["--predictions=masks", "--model=a.safetensors"], "--model: is of no effect on --predictions"),
        (["--workdir=nowhere"], "nowhere: is not the workdir of a run"),
        (["--workdir=run", "--draws=1001"], "--draws=1001: 1001 is not an integer in the range"),
        (["--predictions=masks", "--draws=2"], "--draws: is of no effect on --predictions"),
        (["--predictions=masks", "--memory=both"], "--memory: is of no effect on --predictions"),
        (["--workdir=run", "--memory=yes"], "--memory=yes: value should be one of <none|forward|both>"),
        (
            ["--workdir=run", "--memory=both"],
            "memory=both: it compares features of frames as they are, and sums similarities; the model has model",
        ),
        (["--workdir=run", "--points=0,5"], "--points=0,5: 0 points guide to nothing; at least 1"),
        (["--workdir=run", "--points=some"], "--points: points 'some'"),
        (["--workdir=run", "--multi=both"], "--multi=both: value should be one of <softmax|union>"),
        (["--workdir=run", "--pionts=5"], "--pionts: no such flag; did you mean"),
        (
            ["--workdir=run", "--config.model.way=3"],
            "--config.model.way: belongs to the trained run; to be set here are data.*,",
        ),
        (["--workdir=run", "--save=DAVIS"], "--save=DAVIS: is there already; give a new folder"),
        (["--workdir=run", "--source=generated:val"], "holds stills; videos are davis:SPLIT or frames@PATH:all"),
        (["--workdir=run", "--source=davis:val, davis:val"], "one source was expected"),
        (["--workdir=run", "--videos=cats"], "davis:val has no video 'cats'; there are: bear, dogs"),
        (["--workdir=run", "--every=4"], "the video bear has 2 frames with a mask, and none is left to score"),
        (["--workdir=run", "--shots=9"], "the video bear shows an object in 5 frames, not in 9"),
        (["--workdir=local"], "mode=video: model.locality=local keeps the positions"),
        (["--workdir=unshared"], "--multi=softmax: the model has one head on 2 labels, and takes no 3 labels; a union"),
    ],
)
def test_mistakes_are_one_line(folder, prepared, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    for name, fields in {"local": {"locality": "local"}, "unshared": {"sharing": "unshared"}}.items():
        if f"--workdir={name}" in words and not Path(name).exists():
            make_run(Path(name), **fields)
    data = prepared if "--source=generated:val" in words else "prepared"
    assert guarded(lambda: main(["video", *words, "--config.data.root=.", f"--config.data.prepared={data}"])) == 2
    error = capsys.readouterr().err
    assert message in error and error.splitlines()[-1].startswith("error: ")


def test_help(capsys):
    assert guarded(lambda: main(["video", "--help"])) == 0
    assert "--predictions=DIR" in capsys.readouterr().out


def test_counts_are_those_of_positive_iu():
    rng = np.random.default_rng(0)
    labels, target = rng.integers(0, 4, (2, 9, 9)).astype(np.uint8)
    target[0] = UNKNOWN
    counts = count_objects(labels, target, 3)
    np.testing.assert_array_equal(counts.sum(0), count_positives(jnp.asarray(labels), jnp.asarray(target)))
    known = target != UNKNOWN
    assert counts[1].tolist() == [
        ((labels == 2) & (target == 2)).sum(),
        ((labels == 2) & (target != 2) & known).sum(),
        ((labels != 2) & (target == 2)).sum(),
    ]


@pytest.mark.real_data
def test_a_real_clip(real_data, folder, tmp_path, capsys):
    words = [f"--config.data.root={real_data / 'data'}", f"--config.data.prepared={tmp_path / 'prepared'}"]
    shutil.copytree(folder / "run", tmp_path / "run")
    source = "--source=frames@own_video/chair:all"
    words += [f"--workdir={tmp_path / 'run'}", source, "--every=20", "--config.data.max_side=160", "--points=5,dense"]
    main(["video", *words])
    (path,) = (tmp_path / "run").glob("video*.json")
    result = json.loads(path.read_text())
    assert result["protocol"]["frames"] == 3 and result["protocol"]["frames_scored"] == 1
    assert all(0 < score["j"]["mean"] < 1 for score in result["scores"].values())
    assert result["videos"][0]["objects"] == [1]


def test_annotations_follow_from_seed_and_name(folder):
    split = open_source(parse_sources("davis:val")[0], folder, folder / "prepared" / "datasets")
    bear, dogs = list_videos(split, 2)
    (again,) = list_videos(split, 2, names=["dogs"])
    drawn = annotate_video(split, dogs, (2, 5, -1), seed=1, draws=2)
    assert drawn.shape == (5, 2, HEIGHT, WIDTH)  # 2 and 5 points under two draws each, dense
    np.testing.assert_array_equal(drawn, annotate_video(split, again, (2, 5, -1), seed=1, draws=2))
    counts = [[[int((plane == label).sum()) for label in range(3)] for plane in draw] for draw in drawn]
    assert counts[:4] == [[[2] * 3] * 2] * 2 + [[[5] * 3] * 2] * 2
    assert (drawn[0] != drawn[1]).any() and ((drawn[0] == UNKNOWN) | (drawn[0] == drawn[2])).all()
    np.testing.assert_array_equal(drawn[4, 1], truth("dogs", 1))
    np.testing.assert_array_equal(read_truth(split, bear, 3), truth("bear", 3))
    assert (drawn != annotate_video(split, dogs, (2, 5, -1), seed=2, draws=2)).any()
    assert bear.support == (0, 1) and bear.scored == (2, 3) and dogs.frames[5] == "00005"


@pytest.mark.parametrize(
    "words", [("--points=5,dense", "--draws=2"), ("--multi=union",), ("--config.data.max_side=36",)]
)
def test_the_report_shows_the_masks_that_were_scored(run, folder, tmp_path, monkeypatch, words):
    """What a report draws for the best, median and worst object has the J that the result tells of that frame."""
    run(*words)
    shown = {}
    monkeypatch.setattr(video_cases, "plot_episodes", lambda path, episodes, maps, **more: shown.update(locals()))
    where = {"data.root": str(folder), "data.prepared": str(folder / "prepared")}
    (found,) = find_results(tmp_path / "workdir")
    for points in found.result["scores"]:
        (block,) = video_cases.video_case_blocks("x", found, FigureFolder(tmp_path), rows=1, points=points, where=where)
        assert block.caption.startswith("x: best, median and worst objects by J&F, ")
        assert [title.split(":")[0] for title in shown["more"]["titles"]] == ["best", "median", "worst"]
        (maps,), (ious,) = shown["maps"].values(), shown["more"]["ious"].values()
        for labels, iou, episode, title in zip(maps, ious, shown["episodes"], shown["more"]["titles"], strict=True):
            assert set(np.unique(episode.annotation)) <= {0, 1, UNKNOWN}
            if "max_side" not in words[0]:  # the dots of the object lie on its colour, and no others do
                number = int(re.search(r"object (\d)", " ".join(title.split()))[1])
                near = np.abs(episode.support.astype(int) - COLOURS[number]).max(-1) < 60
                known = episode.annotation[0] != UNKNOWN
                assert (near[known] == (episode.annotation[0][known] == 1)).mean() > 0.9
            if "max_side" not in words[0]:  # then it was scored at the frames' own size
                assert region_similarity(labels == 1, episode.target == 1) == pytest.approx(iou, abs=1e-4)
            assert (episode.annotation == 1).any() and labels.shape == tuple(episode.query_size)


def test_the_report_of_masks_and_why_there_are_no_pictures(run, folder, tmp_path):
    masks = save_truth(tmp_path / "masks")
    run(f"--predictions={masks}", workdir=tmp_path / "workdir")
    words = [
        f"--config.data.root={folder}",
        f"--config.data.prepared={folder / 'prepared'}",
        f"--out={tmp_path / 'out'}",
    ]
    (section,) = write_report(parse(["report", str(tmp_path / "workdir"), "--cases=1", *words]))
    assert (tmp_path / "out" / section.blocks[-1].file).is_file()
    shutil.rmtree(masks / "bear")
    (section,) = write_report(parse(["report", str(tmp_path / "workdir"), "--cases=1", *words]))
    assert "no pictures of single objects, for" in section.blocks[-1].text and "bear" in section.blocks[-1].text


def test_data_that_were_trained_on_are_known_in_any_slice_and_unit():
    trained = parse_sources("davis:train[:50%]:class*2, davis@elsewhere:train, davis:val")
    (tested,) = parse_sources("davis:train")
    assert [_same_data(source, tested) for source in trained] == [True, False, False]


def test_a_network_is_fitted_to_each_video(folder, run, capsys):
    """The first frame improves what it is fitted to; the protocol and the name of the file tell that it was."""
    if not (folder / "blind").exists():
        make_run(folder / "blind", fusion="none", inference="direct", sharing="unshared")
    words = ["--multi=union", "--points=dense"]
    tune = ["--config.tune.steps=60", "--config.tune.learning_rate=0.03", "--config.tune.pixels=32"]
    (plain,) = run(*words, workdir=folder / "blind").values()
    results = run(*words, *tune, workdir=folder / "blind")
    (tuned,) = (result for name, result in results.items() if name.endswith("-tuned-60"))
    assert "union, fine-tuned in 60 updates" in capsys.readouterr().out
    assert tuned["protocol"]["tuning"]["steps"] == 60 and "tuning" not in plain["protocol"]
    assert tuned["protocol"]["guidance"].startswith("none; the network is fitted to the annotated frames")
    assert tuned["scores"]["dense"]["j_and_f"] > plain["scores"]["dense"]["j_and_f"] + 0.1
    assert tuned["speed"]["seconds_per_video"] > 0
