"""The command on a folder of images: the session's masks in every format, what is done stays, what differs is told."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import guided_jax
from data_pipelines.datasets.coco import rasterise
from data_pipelines.datasets.reading.files import read_mask
from data_pipelines.datasets.reading.images import read_upright, upright_size
from experiments import segment
from experiments.segmenting import images
from experiments.settings.command_line import guarded
from guided_jax.session import Session
from tests.experiments.segmenting.annotations import coco, cvat, labelme, own, shape, write_image, write_json

NAMES = ("1", "2", "sub/3")


def run(model, *words: str) -> int:
    given = ["--annotation=a.json"] if not any(word.startswith("--annotation") for word in words) else []
    query = ["--query=photos"] if not any(word.startswith("--query") for word in words) else []
    return guarded(lambda: segment.main(["x", f"--model={model}", "--out=out", *given, *query, *words]))


def masks(folder: Path = Path("out/masks")) -> dict[str, np.ndarray]:
    files = sorted(folder.rglob("*.png"))
    return {file.relative_to(folder).with_suffix("").as_posix(): read_mask(file) for file in files}


@pytest.fixture(scope="module")
def opened(model) -> Session:
    return Session(guided_jax.load(model), canvases=((24, 40),))


@pytest.fixture
def session(opened) -> Session:
    session = opened.fresh()
    session.add("a.png", read_upright(Path("a.png")))
    session.load_annotations("a.json")
    for name in NAMES:
        session.add(name, read_upright(Path(f"photos/{name}.png")))
    return session


def test_the_masks_are_those_of_a_session_in_every_format(photos, model, session, capsys):
    assert run(model, "--format=png,overlay,coco") == 0
    written = masks()
    assert tuple(written) == NAMES
    content = json.loads(Path("out/coco.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    assert [image["file_name"] for image in content["images"]] == ["1.png", "2.png", "sub/3.png"]
    for number, name in enumerate(NAMES, 1):
        wanted, probabilities = session.mask(name), session.probabilities(name)
        np.testing.assert_array_equal(written[name], wanted)
        assert upright_size(Path(f"out/overlays/{name}.jpg")) == (24, 40)
        found = [each for each in content["annotations"] if each["image_id"] == number]
        assert [each["category_id"] for each in found] == sorted({*wanted.ravel().tolist()} - {0})
        for each in found:
            mask = wanted == each["category_id"]
            np.testing.assert_array_equal(rasterise(each["segmentation"], 24, 40), mask)
            assert each["score"] == pytest.approx(probabilities[each["category_id"]][mask].mean(), abs=1e-3)
    assert len({label for mask in written.values() for label in mask.ravel().tolist()}) == 3
    assert Path("out/masks/classes.txt").read_text() == "1 dog\n2 cat\n"
    shown = capsys.readouterr().out
    assert f"model: {model}\nobjects: 1 dog, 2 cat (from 1 annotated image)\n3 images segmented in" in shown
    assert shown.endswith("written to out: masks, overlays, coco.json\n")


def test_what_is_done_stays_and_what_is_new_or_changed_is_segmented(photos, model, capsys):
    assert run(model, "--format=png") == 0
    before = {name: os.stat(f"out/masks/{name}.png").st_mtime_ns for name in NAMES}
    shutil.copy(photos / "1.png", photos / "4.png")
    written = os.stat("out/masks/2.png").st_mtime
    os.utime(photos / "2.png", (written + 5, written + 5))
    capsys.readouterr()
    assert run(model, "--format=png") == 0
    after = {name: os.stat(f"out/masks/{name}.png").st_mtime_ns for name in (*NAMES, "4")}
    assert [name for name in NAMES if after[name] != before[name]] == ["2"]
    np.testing.assert_array_equal(masks()["4"], masks()["1"])
    assert "2 images segmented" in (shown := capsys.readouterr().out) and "2 were done before" in shown


def test_another_format_comes_to_the_one_that_is_there(photos, model):
    assert run(model, "--format=png") == 0
    first = masks()
    assert run(model, "--format=overlay,coco") == 0
    assert len(list(Path("out/overlays").rglob("*.jpg"))) == 3
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 3
    assert all((masks()[name] == first[name]).all() for name in NAMES)


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on(photos, model, monkeypatch):
    whole, calls = images.write, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        whole(*arguments)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(images, "write", dies)
        run(model, "--format=png,coco")
    assert tuple(masks()) == NAMES[:2] and not Path("out/coco.json").exists()
    assert run(model, "--format=png,coco") == 0
    assert tuple(masks()) == NAMES
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 3


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        (["--max_side=20"], "max_side"),
        (["--guided_filter"], "guided_filter"),
        (["--query=photos/sub"], "query"),
        (["--annotation=b.json"], "annotation"),
        (["--annotation=b.json", "--max_side=20"], "max_side, annotation"),
    ],
)
def test_what_was_made_otherwise_is_not_mixed_with(photos, model, words, differs, capsys):
    write_json(Path("b.json"), own({"point": [5, 6], "label": 1}, size=(24, 40)))
    assert run(model, "--query=photos/*.png", "--format=png") == 0
    before = masks()
    capsys.readouterr()
    assert run(model, "--format=png", *words) == 2
    told = capsys.readouterr().err
    assert "error: --out=out: is there already; give a new folder (it holds masks that were made with another" in told
    assert set(told.strip().rpartition("another ")[2].rstrip(")").split(", ")) == set(differs.split(", "))
    assert masks().keys() == before.keys()


def test_an_annotated_image_among_the_queries_is_segmented_as_such(photos, model, session):
    Path("photos/a.png").symlink_to(Path("a.png").absolute())
    assert run(model, "--format=png") == 0
    np.testing.assert_array_equal(masks()["a"], session.mask("a.png"))


def test_images_are_written_at_their_own_size_as_viewers_show_them(photos, model):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(Path("photos/lying.jpg"), (60, 90), exif=exif)
    Image.fromarray(np.zeros((33, 47), np.uint8)).save("photos/grey.png")
    assert run(model, "--max_side=40") == 0
    assert masks()["lying"].shape == (90, 60) and masks()["grey"].shape == (33, 47)
    assert upright_size(Path("out/overlays/lying.jpg")) == (90, 60)


def test_a_broken_image_ends_it_or_is_left_out(photos, model, capsys):
    whole = (photos / "2.png").read_bytes()
    (photos / "2.png").write_bytes(whole[: len(whole) // 2])
    assert run(model, "--format=png") == 2
    assert "2.png is not an image that can be read" in (told := capsys.readouterr().err) and "--skip_broken" in told
    (photos / "2.png").write_bytes(b"none")
    assert run(model, "--format=png") == 2
    assert tuple(masks()) == ("1",)
    assert run(model, "--format=png", "--skip_broken") == 0
    assert tuple(masks()) == ("1", "sub/3")


@pytest.mark.parametrize("kind", ["labelme", "coco", "cvat", "mask"])
def test_any_kind_of_annotation_guides(photos, model, kind, capsys):
    """Each marks the same pixels as a box of the project's own."""
    box = np.zeros((24, 40), np.uint8)
    box[4:12, 6:20] = 1
    words = []
    if kind == "labelme":
        values = labelme(shape("rectangle", [6, 4], [20, 12]), imageHeight=24, imageWidth=40)
        write_json(Path("x.json"), values)
        words = ["--annotation=x.json"]
    elif kind == "coco":
        values = coco({"bbox": [6, 4, 14, 8]})
        values["images"][0].update(height=24, width=40)
        write_json(Path("x.json"), values)
        words = ["--annotation=x.json"]
    elif kind == "cvat":
        text = cvat('<box label="dog" xtl="6" ytl="4" xbr="20" ybr="12"/>', height=24).replace('"6" h', '"40" h')
        Path("x.xml").write_text(text)
        words = ["--annotation=x.xml"]
    else:
        Image.fromarray(box * 255).save("x.png")
        words = ["--support=a.png", "--annotation=x.png"]
    assert run(model, "--format=png", *words) == 0
    assert f"objects: 1{' dog' if kind != 'mask' else ''} (from 1" in capsys.readouterr().out
    session = Session(guided_jax.load(model), canvases=((24, 40),))
    session.add("a", read_upright(Path("a.png")))
    session.annotate("a", box)
    session.add("1", read_upright(Path("photos/1.png")))
    np.testing.assert_array_equal(masks()["1"], session.mask("1"))
