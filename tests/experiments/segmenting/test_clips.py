"""Clips from the command line: followed from annotated frames or the first good one, or frame by frame; as a video."""

import json
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest

import guided_jax
from data_pipelines.datasets.reading.files import read_mask
from data_pipelines.datasets.reading.images import read_upright
from experiments import segment
from experiments.drawing.overlays import overlay
from experiments.runs.load import load_file
from experiments.segmenting.clips import annotate_first_frame, find_frame, open_clips
from experiments.segmenting.queries import find_queries
from experiments.segmenting.videos import write_video
from experiments.settings.command_line import guarded
from guided_jax.clips import open_clip
from guided_jax.masks.palette import davis_palette
from guided_jax.session import Session
from guided_jax.shipped import ACROSS_IMAGES, DEFAULT
from tests.experiments.segmenting.annotations import own, write_json
from tests.experiments.small_data import write_pair

SIZE, FRAMES = (24, 40), 4
CLICKS = ((6, 8 + 6, 1), (20, 30, 0))


@pytest.fixture
def walk(photos) -> Path:
    """A folder of frames in which a square moves to the right."""
    rng = np.random.default_rng(3)
    for number in range(FRAMES):
        labels = np.zeros(SIZE, np.uint8)
        labels[2:12, 4 + 4 * number : 16 + 4 * number] = 1
        write_pair([Path("clips/walk")], number, labels, rng)
    return Path("clips/walk")


def run(model, *words: str) -> int:
    return guarded(lambda: segment.main(["x", f"--model={model}", "--out=out", *words]))


def masks() -> list[np.ndarray]:
    return [read_mask(Path(f"out/masks/walk/{number}.png")) for number in range(FRAMES)]


def opened(model, walk) -> tuple[Session, tuple[str, ...]]:
    session = Session(guided_jax.load(model), canvases=(SIZE,))
    return session, session.add_clip("walk", walk)


def annotate(path: str, number: int, name: str) -> None:
    points = [{"point": [row, column], "label": label} for row, column, label in CLICKS]
    write_json(Path(path), own(*points, name=name, size=SIZE))


@pytest.mark.parametrize("named", ["walk/1", "walk/1.png", "../clips/walk/1.png", ""])
def test_an_annotated_frame_guides_the_clip_both_ways(walk, model, named):
    annotate("clips/b.json", 1, named or "photo")
    words = [] if named else [f"--support={walk}/1.png"]
    assert (
        run(model, "--annotation=clips/b.json", f"--query={walk}", "--clip", "--format=png,overlay,coco", *words) == 0
    )
    session, names = opened(model, walk)
    for click in CLICKS:
        session.click(names[1], *click)
    wanted = dict(session.propagate("walk", start=0, direction="both"))
    for number, mask in enumerate(masks()):
        np.testing.assert_array_equal(mask, wanted[number])
    assert any((mask == 1).any() for mask in masks()) and any((mask == 0).any() for mask in masks())
    content = json.loads(Path("out/coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"walk/{number}.png" for number in range(FRAMES)]
    assert not any("score" in each for each in content["annotations"])  # labels alone are propagated


def test_a_clip_is_followed_from_the_first_frame_that_shows_all_objects(walk, model):
    assert run(model, "--annotation=a.json", "--query=clips", "--clip", "--format=png") == 0
    session, _ = opened(model, walk)
    session.add("a", read_upright(Path("a.png")))
    for click in ((5, 5, 1), (12, 20, 0)):
        session.click("a", *click)
    session.click("a", 20, 30, session.add_object())
    assert annotate_first_frame(session, open_clips(find_queries(["clips"], clip=True).queries)["walk"]) is not None
    wanted = dict(session.propagate("walk", start=0, direction="both"))
    for number, mask in enumerate(masks()):
        np.testing.assert_array_equal(mask, wanted[number])


def test_a_model_that_cannot_follow_segments_frame_by_frame(walk, alone):
    assert run(alone, "--annotation=a.json", f"--query={walk}", "--clip", "--format=png") == 0
    session, names = opened(alone, walk)
    session.add("a.png", read_upright(Path("a.png")))
    session.load_annotations("a.json")
    for name, mask in zip(names, masks(), strict=True):
        np.testing.assert_array_equal(mask, session.mask(name))


def test_a_video_is_segmented_and_drawn_as_a_video(walk, model):
    frames = [read_upright(walk / f"{number}.png") for number in range(FRAMES)]
    write_video(Path("clips/walk.mp4"), frames, SIZE, 12.5)
    annotate("b.json", 0, "walk/00000")
    assert run(model, "--annotation=b.json", "--query=clips/walk.mp4", "--format=png,mp4") == 0
    drawn, clip = open_clip(Path("out/videos/walk.mp4")), open_clip(Path("clips/walk.mp4"))
    assert (len(drawn), drawn.size, drawn.rate) == (FRAMES, SIZE, 12.5)
    for number in range(FRAMES):
        mask = read_mask(Path(f"out/masks/walk/{number:05d}.png"))
        wanted = overlay(clip[number], mask, davis_palette())
        assert np.abs(drawn[number].astype(int) - wanted).mean() < 12  # H.264 loses some


def test_a_clip_that_is_done_is_left_and_one_that_lacks_a_file_is_made_anew(walk, model, capsys):
    annotate("b.json", 0, "photo")
    words = ["--annotation=b.json", f"--support={walk}/0.png", f"--query={walk}", "--clip"]
    assert run(model, *words, "--format=png,mp4") == 0
    before = masks()
    capsys.readouterr()
    assert run(model, *words, "--format=png,mp4") == 0
    assert "0 images segmented; 4 were done before" in capsys.readouterr().out
    Path("out/masks/walk/2.png").unlink()
    assert run(model, *words, "--format=png,mp4") == 0
    assert "4 images segmented" in capsys.readouterr().out
    assert all((one == other).all() for one, other in zip(masks(), before, strict=True))
    assert run(model, *words, "--noclip", "--format=png") == 2
    assert "made with another clip)" in capsys.readouterr().err


def test_frames_by_their_names(walk):
    clips = open_clips(find_queries(["clips"], clip=True).queries)
    for name in ("walk/2", "walk/2.jpg", "./walk/2.png"):
        assert find_frame(name, clips) == (clips["walk"], 2)
    for name in ("walk/9", "run/2", "2", "more/walk/2"):
        assert find_frame(name, clips) is None


def test_frames_of_one_name_are_refused(walk, model, capsys):
    (walk / "2.jpg").write_bytes((walk / "2.png").read_bytes())
    assert run(model, "--annotation=a.json", f"--query={walk}", "--clip") == 2
    assert "clips/walk: two frames of this clip have the name 2; rename one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "objects", "first", "asked"),
    [
        ({0: [0, 1], 1: [1, 1], 2: [1, 1], 3: [1, 1]}, 1, 0, 1),
        ({0: [0, 0], 1: [0, 0], 2: [1, 0], 3: [1, 1]}, 1, 2, 3),
        ({0: [1, 1], 1: [0, 2], 2: [2, 1], 3: [1, 2]}, 2, 2, 3),
        ({0: [0, 0], 1: [0, 2], 2: [1, 1], 3: [0, 0]}, 2, 1, 4),
        ({0: [0, 0], 1: [0, 0], 2: [0, 0], 3: [0, 0]}, 1, None, 4),
    ],
)
def test_the_first_frame_that_shows_all_objects_or_else_the_most(walk, table, objects, first, asked):
    clip = open_clips(find_queries(["clips"], clip=True).queries)["walk"]
    session = create_autospec(Session, instance=True)
    session.objects = dict.fromkeys(range(1, objects + 1), "")
    session.mask.side_effect = {clip.name_of(i): np.array([labels], np.uint8) for i, labels in table.items()}.get
    assert annotate_first_frame(session, clip) == first
    assert session.mask.call_count == asked
    assert [call.args[0] for call in session.annotate.mock_calls] == ([] if first is None else [f"walk/{first}"])


@pytest.mark.parametrize("odd", [(24, 40), (25, 41)])
def test_a_video_of_any_size(tmp_path, odd):
    frames = np.full((3, *odd, 3), 90, np.uint8)
    write_video(tmp_path / "x.mp4", frames, odd, None)
    clip = open_clip(tmp_path / "x.mp4")
    assert len(clip) == 3 and clip.rate == 24 and clip.size == tuple(side + side % 2 for side in odd)
    assert np.abs(clip[1].astype(int) - 90).max() < 6


@pytest.mark.parametrize(("clip", "name"), [(True, DEFAULT), (False, ACROSS_IMAGES)])
def test_the_guide_where_none_is_named(walk, model, monkeypatch, capsys, clip, name):
    """One that knows places follows a clip; one for things of the same kind segments other photographs."""
    asked = []
    monkeypatch.setattr(segment, "load_file", lambda file: asked.append(file) or load_file(str(model)))
    annotate("clips/b.json", 0, "walk/0")
    words = ["--annotation=clips/b.json", f"--support={walk}/0.png", f"--query={walk}", "--out=out"]
    assert guarded(lambda: segment.main(["x", *words, *["--clip"][:clip]])) == 0
    assert asked == [name] and f"model: {name}, which comes with the package" in capsys.readouterr().out
