"""What `guided_jax segment` is given wrong: one line that says what, before anything is loaded or written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import segment
from experiments.settings.command_line import guarded
from tests.experiments.segmenting.annotations import (
    coco,
    cvat,
    in_base64,
    labelme,
    own,
    shape,
    write_image,
    write_json,
)

POINT = {"point": [1, 2], "label": 1}
RING = [[0, 0], [3, 0], [3, 3]]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Where all is as it should be."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "photos" / "1.png", seed=1)
    write_json(tmp_path / "a.json", own(POINT))
    return tmp_path


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """Runs the command without any model; gives its one line."""
    monkeypatch.setattr(segment, "load_file", lambda name: pytest.fail(f"{name} was loaded"))

    def run(*words: str) -> str:
        given = {"annotation": "a.json", "query": "photos", "out": "out"}
        for word in words:
            given.pop(word.lstrip("-").partition("=")[0], None)
        before = sorted(folder.rglob("*"))
        line = [*(f"--{name}={value}" for name, value in given.items()), *(word for word in words if "=" in word)]
        line += [word for word in words if "=" not in word and word not in ("annotation", "query", "out")]
        assert guarded(lambda: segment.main(["x", *line])) == 2
        shown, told = capsys.readouterr()
        assert shown == "" and told.startswith("error: ") and told.count("\n") == 1, told
        assert sorted(folder.rglob("*")) == before
        return told

    return run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["annotation"], "--annotation=FILE is missing"),
        (["query"], "--query=PATH is missing"),
        (["out"], "--out=DIR is missing"),
        (["--format=png,jpeg"], "--format=jpeg: no such format; there are png, overlay, coco, mp4"),
        (["--format="], "--format is empty"),
        (["--format=mp4"], "--format=mp4: is of clips, and --query names none"),
        (["--model=x", "--workdir=y"], "--model and --workdir both name a model"),
        (["--best"], "--best: chooses among the checkpoints of a run; it needs --workdir"),
        (["--max_side=-1"], "max_side"),
        (["--masks=x"], "masks"),
        (["--query=none/*.jpg"], "--query=none/*.jpg: there is no such file or folder, and no file matches it"),
        (["--query=a.json"], "--query=a.json: names 1 file, none of which ends in .jpg"),
        (["--query=\0"], "--query="),
        (["--out=photos/out"], "--out=photos/out: lies in photos, which --query searches"),
        (["--out=a.png"], "--out=a.png: is a file, not a folder"),
        (["--out=a.png/x"], "a.png is a file, not a folder"),
        (["--annotation=none.json"], "none.json cannot be read: No such file"),
        (["--annotation=photos"], "photos: is no file of annotations; expected is a mask, JSON of guided_jax, labelme"),
        (["--annotation=none.png", "--support=a.png"], "none.png is not an image that can be read"),
        (["--annotation=a.png"], "a.png: a mask does not tell its image; give --support and --annotation in pairs"),
        (["--support=none.png"], "none.png cannot be read: No such file"),
        (["--support=a.json"], "a.json is not an image that can be read"),
        (["--support=a.png", "--support=photos/1.png"], "--support=photos/1.png: no file annotates it; a.json annotat"),
        (["--query=photos/\udc80*.jpg"], "is not UTF-8"),
    ],
)
def test_a_command_line(refused, words, message):
    assert message in refused(*words)


OWN = own(POINT)
LABELME = labelme(shape("point", [1, 1]))
COCO = coco({"bbox": [1, 1, 2, 2]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x.json: is not JSON: "),
        ("[" * 100_000, "x.json: is not JSON: "),
        ("[]", "x.json: is none of the JSON files that are read"),
        ('{"a": 1}', "x.json: is none of the JSON files that are read"),
        ({**OWN, "version": 2}, "x.json: version is 2; this one reads version 1"),
        ({**OWN, "objects": []}, "x.json: images[0]: a mark has the label 1, which is none of the objects"),
        (own({"point": [4, 0], "label": 1}), "a point must be [row, column] inside the image of 4x6 pixels"),
        ({**OWN, "more": 1}, "must be a group of the fields format, version, objects, images; it has the fields"),
        (own(POINT, name=3), "x.json: annotates 3, and there is no 3; name the image by --support"),
        (own(POINT, name="b.png"), "x.json: annotates b.png, and there is no b.png; name the image by --support"),
        (own(POINT, size=(5, 6)), "x.json: is for an image of 5x6 pixels (height x width), and a.png has 4x6"),
        (own({"point": [1, 2], "label": 0}), "x.json: marks no object, but background alone"),
        ({**LABELME, "imagePath": None}, "x.json: imagePath is None; it must be the path of the image"),
        ({**LABELME, "shapes": {}}, "x.json: shapes is a dict; it must be a list"),
        ({**LABELME, "shapes": []}, "x.json: marks no object"),
        (labelme(shape("point", [1, 1], label=" ")), "x.json: shapes[0]: must be a group of fields with a label"),
        (labelme(shape("point", [1, 1], label=None)), "x.json: shapes[0]: must be a group of fields with a label"),
        (labelme(shape("star", [1, 1])), "x.json: shapes[0]: shape_type is 'star'; read are polygon, rectangle"),
        (labelme(shape("point", [1, 1], [2, 2])), "x.json: shapes[0]: points must be a list of 1 for a point"),
        (labelme(shape("polygon", [1, 1])), "x.json: shapes[0]: points must be a list of 3 or more for a polygon"),
        (labelme(shape("point", [1])), "x.json: shapes[0] has the point a list; a point must be two numbers, x and y"),
        (labelme(shape("point", [1, float("nan")])), "a point must be two numbers, x and y"),
        (labelme(shape("point", [1, 99])), "x.json (a.png): the point x 1, y 99 lies outside the image of 6 x 4"),
        (labelme(shape("polygon", *RING, [99, 9])), "x.json: shapes[0]: a polygon has the coordinate 99.0, far"),
        (labelme(shape("mask", [1, 1], [2, 2])), "x.json: shapes[0]: mask must be an image in base64"),
        (labelme(shape("mask", [1, 1], [2, 2], mask="!")), "x.json: shapes[0]: mask must be an image in base64"),
        (
            labelme(shape("mask", [1, 1], [2, 2], mask=in_base64(np.ones((2, 3))))),
            "x.json: shapes[0]: the mask is 3 x 2 pixels, which its points do not span",
        ),
        (labelme(shape("point", [1, 1]), imageWidth=7), "is for an image of 4x7 pixels (height x width), and a.png"),
        (coco({"segmentation": [[1, 2]]}), "x.json: annotation 1: a polygon has 2 numbers"),
        (coco({"segmentation": []}), "x.json: annotation 1: its segmentation is empty; a box alone is no mask"),
        (coco({"bbox": [1, 1, 2, 2], "category_id": 9}), "x.json: annotation 1: no category has the id 9"),
        ({**COCO, "annotations": []}, "x.json: annotates no image"),
        ({**COCO, "categories": [{"id": 18}]}, "x.json: category 18 has no name"),
    ],
)
def test_a_json_file(refused, folder, text, message):
    (folder / "x.json").write_text(text if isinstance(text, str) else json.dumps(text))
    assert message in refused("--annotation=x.json")


BAD_XML = [
    ("<annotations>", "x.xml: is not XML: "),
    ("<a/>", "x.xml: is no XML of CVAT: its root is 'a', not 'annotations'"),
    ("<annotations><track/></annotations>", "x.xml: is CVAT's XML for videos; export the task as 'CVAT for images'"),
    ("<annotations/>", "x.xml: annotates no image"),
    (cvat(""), "x.xml: annotates no image"),
    (cvat('<points points="1,1"/>'), "x.xml: image[0] (a.png): points[0]: has no label"),
    (cvat('<points label="dog" points="1"/>'), "points[0]: points must be as x,y;x,y"),
    (cvat('<points label="dog"/>'), "points[0]: points must be as x,y;x,y"),
    (cvat('<points label="dog" points="1,b"/>'), "points[0]: points is 'b'; it must be a number"),
    (cvat('<points label="dog" points="1,nan"/>'), "points[0]: points is 'nan'; it must be a number"),
    (cvat('<box label="dog" xtl="1" ytl="1" xbr="2"/>'), "box[0]: ybr is None; it must be a number"),
    (cvat('<cuboid label="dog"/>'), "cuboid[0]: is a shape that is not read; read are polygon, box"),
    (cvat('<mask label="dog" rle="1" left="0" top="0" width="2" height="2"/>'), "sum to 2 x 2 = 4 pixels"),
    (cvat('<mask label="dog" rle="4" left="5" top="0" width="2" height="2"/>'), "does not lie in the image of 4x6"),
    (cvat('<mask label="dog" rle="0,4" left="x" top="0" width="2" height="2"/>'), "left is 'x'; it must be a number"),
    (cvat('<points label="dog" points="1,1"/>', name=""), "x.xml: image[0]: has no name"),
    (cvat('<points label="dog" points="1,1"/>', height=0), "height is '0'; it must be a whole number from 1 on"),
    (cvat('<points label="dog" points="1,1"/>', height=9), "is for an image of 9x6 pixels (height x width), and a.png"),
]


@pytest.mark.parametrize(("text", "message"), BAD_XML)
def test_an_xml_file(refused, folder, text, message):
    (folder / "x.xml").write_text(text)
    assert message in refused("--annotation=x.xml")


def test_entities_of_xml_are_not_blown_up(refused, folder):
    """The parser's own bound."""
    lines = ['<!ENTITY a0 "xxxxxxxxxx">', *(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))]
    (folder / "x.xml").write_text(f"<!DOCTYPE a [{''.join(lines)}]><annotations>&a9;</annotations>")
    assert "x.xml: is not XML: limit on input amplification factor" in refused("--annotation=x.xml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 6)), "x.png: marks no object, but background alone"),
        (np.ones((5, 6)), "x.png: is for an image of 5x6 pixels (height x width), and a.png has 4x6"),
    ],
)
def test_a_mask(refused, folder, values, message):
    Image.fromarray(values.astype(np.uint8)).save(folder / "x.png")
    assert message in refused("--support=a.png", "--annotation=x.png")


def test_a_mask_that_may_be_read_in_two_ways_names_the_flag_that_settles_it(refused, folder):
    write_image(folder / "big.png", (40, 40))
    values = np.full((40, 40), 255, np.uint8)
    values[:20] = 0
    values[5, 5] = 1
    Image.fromarray(values).save(folder / "x.png")
    told = refused("--support=big.png", "--annotation=x.png")
    assert "can be read in several ways" in told and "add --masks=object (one object" in told
    assert "--masks=labels" in told and "source" not in told


def test_a_query_that_is_no_image_is_told_before_anything_is_segmented(folder, capsys):
    (folder / "photos" / "2.png").write_text("none")
    words = ["--annotation=a.json", "--query=photos", "--out=out"]
    assert guarded(lambda: segment.main(["x", *words])) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: photos/2.png is not an image that can be read") and not (folder / "out").exists()


def test_a_pipe_is_not_waited_for(refused, folder):
    os.mkfifo(folder / "x.png")
    assert "x.png is not an image that can be read (a pipe or a device)" in refused("--support=x.png")
