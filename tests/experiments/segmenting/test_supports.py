"""Which file of annotations belongs to which image."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.record import decode_image
from experiments.segmenting.supports import read_supports
from guided_jax.episode import Click
from tests.experiments.segmenting.annotations import BOX, coco, cvat, labelme, own, shape, write_image, write_json

POINT = {"point": [1, 2], "label": 1}


@pytest.fixture
def a(tmp_path):
    return write_image(tmp_path / "photos" / "a.png")


@pytest.fixture
def b(tmp_path):
    return write_image(tmp_path / "photos" / "b.png", seed=1)


@pytest.fixture
def mask(tmp_path):
    Image.fromarray((BOX * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def several(*names: str | int) -> dict:
    """The project's own file on several images, each clicked in another column."""
    first = own(name=names[0])
    image = first["images"][0]
    first["images"] = [
        {**image, "name": name, "marks": [{"point": [0, column], "label": 1}]} for column, name in enumerate(names)
    ]
    return first


def columns(supports) -> list[tuple[str, int]]:
    return [(support.path.name, support.marked.marks[0].column) for support in supports]


def test_in_pairs_in_their_order(tmp_path, a, b, mask):
    file = write_json(tmp_path / "x.json", own(POINT, name="photo"))
    first, second = read_supports([a, b], [file, mask])
    assert first.path == a and first.annotation == file and first.marked.marks == (Click(1, 2, 1),)
    assert second.path == b and second.annotation == mask and second.image.shape == (4, 6, 3)
    assert not (first.image == second.image).all()


def test_a_file_of_several_images_is_asked_for_the_one_of_that_name(tmp_path, a, b):
    file = write_json(tmp_path / "x.json", several("b.png", "c.png", "a.png", 3))
    assert columns(read_supports([a], [file])) == [("a.png", 2)]
    assert columns(read_supports([a, b], [file])) == [("a.png", 2), ("b.png", 0)]
    assert columns(read_supports([a, b], [file, file])) == [("a.png", 2), ("b.png", 0)]


def test_the_longer_path_decides_between_equal_names(tmp_path, a):
    other = write_image(tmp_path / "more" / "a.png")
    file = write_json(tmp_path / "x.json", several("more/a.png", "photos/a.png"))
    assert columns(read_supports([a, other], [file])) == [("a.png", 1), ("a.png", 0)]


def test_a_name_without_suffix_will_do(tmp_path, a):
    file = write_json(tmp_path / "x.json", several("b", "a"))
    assert columns(read_supports([a], [file])) == [("a.png", 1)]


def test_without_images_the_files_say_where_theirs_lie(tmp_path, a, b):
    below = write_json(tmp_path / "x.json", several("photos/b.png", "photos/a.png"))
    beside = write_json(a.parent / "y.json", labelme(shape("point", [4, 1]), name="elsewhere/b.png"))
    assert columns(read_supports([], [below, beside])) == [("b.png", 0), ("a.png", 1), ("b.png", 4)]


def test_two_files_may_annotate_one_image(tmp_path, a):
    (tmp_path / "x.xml").write_text(cvat('<points label="dog" points="3.5,0.5"/>'))
    files = [tmp_path / "x.xml", write_json(tmp_path / "y.json", several("a.png"))]
    assert columns(read_supports([a], files)) == [("a.png", 3), ("a.png", 0)]


def test_a_photograph_is_annotated_as_viewers_show_it(tmp_path, mask):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = write_image(tmp_path / "lying.jpg", (6, 4), exif=exif)  # shown as 4 x 6
    (support,) = read_supports([lying], [mask])
    stored = decode_image(lying.read_bytes())
    np.testing.assert_array_equal(support.image, np.rot90(stored, -1))
    Image.fromarray((BOX.T * 255).astype(np.uint8)).save(mask)
    with pytest.raises(ValueError, match=r"is for an image of 6x4 .*lying.jpg has 4x6 as viewers turn it by its EXIF"):
        read_supports([lying], [mask])


class TestRefused:
    def test_a_mask_without_its_image(self, a, b, mask):
        with pytest.raises(ValueError, match=r"mask.png: a mask does not tell its image; .* not 2 and 1"):
            read_supports([a, b], [mask])
        with pytest.raises(ValueError, match="not 0 and 1"):
            read_supports([], [mask])

    def test_an_image_that_no_file_annotates(self, tmp_path, a, b):
        file = write_json(tmp_path / "x.json", several("c.png", "d.png"))
        with pytest.raises(ValueError, match=r"--support=\S*a.png: \S*x.json annotates c.png, d.png, and not this"):
            read_supports([a], [file])
        with pytest.raises(ValueError, match=r"--support=\S*a.png: no file annotates it; \S*x.json annotates c.png, d"):
            read_supports([a, b], [file])

    def test_files_in_another_order(self, tmp_path, a, b):
        files = [write_json(tmp_path / f"{name}.json", own(POINT, name=f"{name}.png")) for name in "ba"]
        with pytest.raises(ValueError, match=r"--support=\S*a.png: \S*b.json annotates b.png, and not this image"):
            read_supports([a, b], files)

    def test_a_name_that_may_be_either(self, tmp_path, a):
        file = write_json(tmp_path / "x.json", several("x/a.png", "y/a.png"))
        with pytest.raises(ValueError, match=r"both x/a.png and y/a.png may be --support="):
            read_supports([a], [file])

    def test_an_image_that_is_not_there(self, tmp_path):
        file = write_json(tmp_path / "x.json", own(POINT, name="none.png"))
        with pytest.raises(ValueError, match=r"annotates none.png, and there is no \S*none.png; name the image by"):
            read_supports([], [file])

    def test_an_image_of_another_size(self, tmp_path, a, mask):
        big = write_image(tmp_path / "big.png", (8, 12))
        with pytest.raises(ValueError, match=r"mask.png: is for an image of 4x6 pixels .* \S*big.png has 8x12$"):
            read_supports([big], [mask])
        file = write_json(tmp_path / "x.json", coco({"bbox": [2, 1, 3, 2]}, name="big.png"))
        with pytest.raises(ValueError, match=r"x.json: is for an image of 4x6 pixels"):
            read_supports([big], [file])

    def test_background_alone(self, tmp_path, a):
        file = write_json(tmp_path / "x.json", own({"point": [0, 0], "label": 0}))
        with pytest.raises(ValueError, match=r"x.json: marks no object, but background alone"):
            read_supports([a], [file])

    def test_nothing(self, tmp_path, a):
        with pytest.raises(ValueError, match=r"x.json: annotates no image"):
            read_supports([a], [write_json(tmp_path / "x.json", own())])
