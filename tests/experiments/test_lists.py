"""PASCAL-5i's lists from the command line."""

import cv2
import numpy as np
import pytest
from PIL import Image

from data_pipelines.selection.lists import read_lists
from experiments.lists import main
from experiments.settings.command_line import guarded


@pytest.fixture
def root(tmp_path):
    """VOC with a big airplane (class 1), a bicycle (2) and a small bird (3) in `a`, a big dog (12) in `b`, an airplane
    in `c`; `b` is in both splits."""
    voc = tmp_path / "VOCdevkit" / "VOC2012"
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "SegmentationClassAug"):
        (voc / folder).mkdir()
    mask = {name: np.zeros((128, 128), np.uint8) for name in "abc"}
    mask["a"][:96, :96], mask["a"][96:, :96], mask["a"][100:104, 100:104] = 1, 2, 3
    mask["b"][:96, 32:], mask["c"][:96, :96] = 12, 1
    for name, values in mask.items():
        cv2.imwrite(str(voc / "JPEGImages" / f"{name}.jpg"), np.full((128, 128, 3), 99, np.uint8))
        for folder in ("SegmentationClass", "SegmentationObject", "SegmentationClassAug"):
            Image.fromarray(values).save(voc / folder / f"{name}.png")
    (lists / "val.txt").write_text("b\n")
    (lists / "trainaug.txt").write_text("a\nb\nc\n")
    return tmp_path


def test_what_is_big_enough_is_on_one_list(root, capsys):
    words = [f"--root={root}", f"--prepared={root / 'prepared'}", f"--out={root / 'lists'}"]
    assert guarded(lambda: main(["lists", *words])) == 0
    written = {str(file.relative_to(root / "lists")): file.read_text() for file in (root / "lists").glob("*/*.txt")}
    assert {name: text for name, text in written.items() if text} == {
        # By class, then image; the bird is too small, and b is held out for val.
        "trn/fold0.txt": "a__01\nc__01\na__02\n",
        "val/fold2.txt": "b__12\n",
    }
    assert len(written) == 8
    assert f"{root / 'lists' / 'trn'}: 3 of 4 tasks; by fold [3, 0, 0, 0]" in capsys.readouterr().out
    assert guarded(lambda: main(["lists", *words, f"--check={root / 'lists'}"])) == 0
    assert capsys.readouterr().out.count("0 lines of these images differ") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--out=DIR is missing"),
        (["--out=x", "--root=nowhere"], "VOCdevkit"),
        (["--out=x", "--val=voc:val, voc:train"], "one source was expected, not a mixture of 2"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert guarded(lambda: main(["lists", *words])) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and message in told[0] and not (tmp_path / "x").exists()


@pytest.mark.real_data
def test_the_community_s_lists(real_data, tmp_path, capsys):
    """Equal over the images at hand, but for five training masks that the rounding of half a pixel decides."""
    theirs = real_data / "data" / "pascal5i_lists"
    folders = {"root": real_data / "data", "prepared": tmp_path, "out": tmp_path / "lists", "check": theirs}
    main(["lists", *(f"--{name}={folder}" for name, folder in folders.items())])
    voc = real_data / "data" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    differing = {}
    for split, images in (("val", "val"), ("trn", "trainaug")):
        at_hand = set((voc / f"{images}.txt").read_text().split())
        for fold in range(4):
            file = f"{split}/fold{fold}.txt"
            there = [line for line in read_lists(str(theirs / file)) if line.image_id in at_hand]
            ours = read_lists(str(tmp_path / "lists" / file)) if there else ()
            both = set(there) & set(ours)
            assert [line for line in ours if line in both] == [line for line in there if line in both]
            differing[file] = {*map(str, set(there) ^ set(ours))}
    assert {file: lines for file, lines in differing.items() if lines} == {
        "trn/fold0.txt": {"2007_009630__05"},
        "trn/fold1.txt": {"2008_006753__08", "2009_002986__10", "2010_004030__10"},
        "trn/fold2.txt": {"2007_008526__15"},
    }
    told = capsys.readouterr().out
    assert "0 lines of these images differ" in told and "5 lines of these images differ" in told
    assert told.count("by rounding half a pixel") == 5
