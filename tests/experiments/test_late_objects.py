"""The command `video` on a clip with an object that comes late, and on one with a single annotated frame."""

import json

import numpy as np
import pytest
from PIL import Image

from data_pipelines.videos import list_videos
from experiments import report
from experiments.evaluation.video_scores import NOTHING_SCORED
from experiments.settings.errors import UserError
from experiments.video import main
from tests.data_pipelines.bad_inputs.originals import open_text, photo, save
from tests.experiments.test_video import make_run

SIDE, FRAMES, START = 32, 6, 2
MODEL = {"none": {}, "forward": {"locality": "both"}, "both": {"locality": "both"}}


def truth(frame: int) -> np.ndarray:
    """Object 1 always, object 2 from the third frame on."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[2:12, 2 + frame : 14 + frame] = 1
    if frame >= START:
        labels[18:30, 4 + frame : 16 + frame] = 2
    return labels


def only_first(frame: int) -> np.ndarray:
    labels = truth(frame)
    return np.where(labels == 1, labels, 0).astype(np.uint8)


@pytest.fixture
def clip(tmp_path):
    for frame in range(FRAMES):
        save(photo(SIDE, SIDE, seed=frame), tmp_path / "mine" / "frames" / f"{frame}.png")
        save(truth(frame), tmp_path / "mine" / "masks" / f"{frame}.png")
    return tmp_path


def run(root, *words: str) -> None:
    main(["video", "--source=frames@mine:all", f"--config.data.root={root}", f"--config.data.prepared={root}", *words])


def result_of(folder) -> dict:
    (path,) = folder.glob("video*.json")
    return json.loads(path.read_text())


def test_the_true_masks_score_one_from_the_frame_after_the_start(clip):
    for frame in range(FRAMES):
        save(truth(frame) if frame > START else only_first(frame), clip / "masks" / "mine" / f"{frame}.png")
    run(clip, f"--predictions={clip / 'masks'}", f"--workdir={clip / 'out'}")
    result = result_of(clip / "out")
    assert [row["j_by_frame"] for row in result["rows"]] == [[1.0] * 4, [1.0] * 2]
    assert result["scores"]["masks"]["j_and_f"] == result["scores"]["masks"]["pos_iu"] == 1.0
    assert result["videos"][0]["starts"] == ["0", "2"] and result["videos"][0]["objects"] == [1, 2]


@pytest.mark.parametrize("memory", ["none", "forward", "both"])
def test_an_object_is_segmented_from_its_start_on(clip, memory):
    make_run(clip / "run", inference="distance", **MODEL[memory])
    run(clip, f"--workdir={clip / 'run'}", f"--save={clip / 'saved'}", "--points=dense", f"--memory={memory}")
    found = [np.unique(np.array(Image.open(clip / "saved" / "mine" / f"{frame}.png"))) for frame in range(FRAMES)]
    assert all(2 not in labels for labels in found[:START]) and any(2 in labels for labels in found[START:])
    rows = result_of(clip / "run")["rows"]
    assert [len(row["j_by_frame"]) for row in rows] == [4, 2]


@pytest.mark.parametrize("memory", ["none", "forward"])
def test_before_it_starts_an_object_changes_nothing(clip, memory):
    """The frames before are segmented as in a clip that ends there: nothing is known of what comes."""
    make_run(clip / "run", inference="distance", **MODEL[memory])
    words = f"--workdir={clip / 'run'}", "--points=dense", f"--memory={memory}"
    run(clip, f"--save={clip / 'whole'}", *words)
    for frame in range(START, FRAMES):
        save(only_first(frame), clip / "mine" / "masks" / f"{frame}.png")
    run(clip, f"--save={clip / 'alone'}", *words)
    for frame in range(START):
        before, alone = ((clip / name / "mine" / f"{frame}.png").read_bytes() for name in ("whole", "alone"))
        assert before == alone


def test_a_clip_with_one_annotated_frame_is_segmented_and_nothing_is_scored(clip, capsys):
    for frame in range(1, FRAMES):
        (clip / "mine" / "masks" / f"{frame}.png").unlink()
    make_run(clip / "run", inference="distance")
    run(clip, f"--workdir={clip / 'run'}", f"--save={clip / 'saved'}", "--points=dense")
    result = result_of(clip / "run")
    assert result["protocol"]["frames_scored"] == 0 and result["scores"]["dense"]["j_and_f"] is None
    assert result["rows"] == [] and len(list((clip / "saved" / "mine").iterdir())) == FRAMES
    told = capsys.readouterr().out
    assert "0 frames scored" in told and NOTHING_SCORED in told and "mean of objects" not in told
    report.main(["report", str(clip / "run"), f"--out={clip / 'report'}"])
    page = (clip / "report" / "report.md").read_text()
    assert page.count(NOTHING_SCORED) == 1 and "no pictures" not in page and "J&F" not in page.partition("Protocol")[0]
    with pytest.raises(UserError, match="only annotated frames have a true mask, so no mask can be scored"):
        run(clip, f"--predictions={clip / 'saved'}", f"--workdir={clip / 'out'}")
    (video,) = list_videos(open_text("frames@mine:all", clip))
    assert video.scored == ()
