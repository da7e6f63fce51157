"""What is written of an image: labels, overlay, objects as COCO has them."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO as CocoFile

from data_pipelines.datasets.coco import rasterise
from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.sources import open_source
from experiments.drawing.overlays import overlay
from experiments.evaluation.video_files import davis_palette
from experiments.segmenting.outputs import Segmented, collect_coco, describe_objects, file_of, write, write_names

LABELS = np.zeros((5, 8), np.uint8)
LABELS[1:4, 2:4], LABELS[0, 7] = 1, 2


def segmented(name: str = "sub/a", labels: np.ndarray = LABELS) -> Segmented:
    image = np.full((*labels.shape, 3), 100, np.uint8)
    probabilities = np.stack([np.full(labels.shape, value, np.float32) for value in (0.25, 0.5, 0.75)])
    return Segmented(name, f"{name}.jpg", image, labels, probabilities)


def test_the_objects_of_an_image():
    probabilities = segmented().probabilities.copy()
    probabilities[1, 1, 2] = 0.8
    found = describe_objects(segmented()._replace(probabilities=probabilities))
    assert found["image"] == {"file_name": "sub/a.jpg", "height": 5, "width": 8}
    first, second = found["annotations"]
    assert (first["category_id"], first["area"], first["bbox"], first["score"]) == (1, 6, [2, 1, 2, 3], 0.55)
    assert (second["category_id"], second["area"], second["bbox"], second["score"]) == (2, 1, [7, 0, 1, 1], 0.75)


def test_an_image_without_an_object_is_listed_without_one():
    found = describe_objects(segmented(labels=np.zeros((5, 8), np.uint8)))
    assert found["annotations"] == [] and found["image"]["height"] == 5


def test_every_format_keeps_the_folder(tmp_path):
    write(tmp_path, ("png", "overlay", "coco"), segmented())
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == [".coco/sub/a.json", "masks/sub/a.png", "overlays/sub/a.jpg"]
    with Image.open(tmp_path / "masks/sub/a.png") as mask:
        assert mask.mode == "P" and mask.getpalette() == davis_palette()
        np.testing.assert_array_equal(np.array(mask), LABELS)
    with Image.open(tmp_path / "overlays/sub/a.jpg") as drawn:
        assert drawn.size == (8, 5)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "out" / "masks").mkdir(parents=True)
    (tmp_path / "out" / "masks" / "sub").symlink_to(tmp_path)
    with pytest.raises(Exception, match="leads out of the folder"):
        file_of(tmp_path / "out", "png", "sub/a")


def test_cocos_own_reader_takes_the_file(tmp_path, capsys):
    for name in ("b", "sub/a"):
        write(tmp_path, ("coco",), segmented(name))
    path = collect_coco(tmp_path, {1: "dog", 2: ""}, {"model": "x"})
    content = json.loads(path.read_text())
    assert content["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "2"}]
    assert [image["file_name"] for image in content["images"]] == ["b.jpg", "sub/a.jpg"]
    assert [each["id"] for each in content["annotations"]] == [1, 2, 3, 4]
    read = CocoFile(path)
    capsys.readouterr()
    for number in read.getAnnIds(imgIds=[2]):
        (annotation,) = read.loadAnns([number])
        mask = rasterise(annotation["segmentation"], 5, 8)
        np.testing.assert_array_equal(mask, annotation["category_id"] == LABELS)
    assert collect_coco(tmp_path, {1: "dog", 2: ""}, {"model": "x"}).read_text() == json.dumps(content, indent=2) + "\n"


def test_masks_with_names_are_a_data_set_beside_their_images(tmp_path):
    for name in ("a", "b"):
        write(tmp_path, ("png",), segmented(name))
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(segmented().image).save(tmp_path / "images" / f"{name}.png")
    write_names(tmp_path, {1: "dog", 2: "a black cat"})
    (source,) = parse_sources(f"folder@{tmp_path}:all:class")
    split = open_source(source, tmp_path, tmp_path / "built")
    assert list(split.class_names)[-2:] == ["dog", "a black cat"]


def test_names_are_not_written_where_there_are_none(tmp_path):
    write_names(tmp_path, {1: "dog", 2: ""})
    assert not list(tmp_path.iterdir())


def test_an_overlay_tints_objects_and_outlines_them():
    image = np.full((40, 60, 3), 100, np.uint8)
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 10:30], labels[10:30, 30:50] = 1, 2
    shown = overlay(image, labels, davis_palette())
    assert (shown[labels == 0] == 100).all()
    assert shown[20, 20].tolist() == [169, 55, 55] and shown[20, 40].tolist() == [55, 169, 55]
    for row, column, colour in ((10, 20, [255, 0, 0]), (20, 29, [255, 0, 0]), (20, 30, [0, 255, 0])):
        assert shown[row, column].tolist() == colour
    assert (image == 100).all()
