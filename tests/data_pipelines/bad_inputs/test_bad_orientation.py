"""Images that an EXIF tag turns, beside masks that were drawn on them one way or the other."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_pipelines.datasets.record import DatasetError, decode_image
from tests.data_pipelines.bad_inputs.originals import (
    coco_content,
    layers_of,
    make_coco,
    open_text,
    photo,
    records_of,
    save,
)

HEIGHT, WIDTH = 12, 20


def write(root, name: str, orientation: int, mask_size: tuple[int, int], *, width: int = WIDTH) -> np.ndarray:
    """Writes an image with a tag and a mask of a size; returns the image as viewers show it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(photo(HEIGHT, width, seed=orientation), root / "mine" / "images" / f"{name}.png", exif=exif)
    mask = np.zeros(mask_size, np.uint8)
    mask[0, :3] = 1
    save(mask, root / "mine" / "masks" / f"{name}.png")
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_an_image_is_turned_where_its_mask_fits_only_so(tmp_path, orientation):
    shown = write(tmp_path, "a", orientation, (WIDTH, HEIGHT))
    record = records_of(open_text("folder@mine:all", tmp_path))["a"]
    assert (record.height, record.width) == (WIDTH, HEIGHT) == shown.shape[:2]
    np.testing.assert_array_equal(decode_image(record.image), shown)


def test_an_image_stays_as_it_is_stored_where_its_mask_fits_only_so(tmp_path):
    write(tmp_path, "a", 6, (HEIGHT, WIDTH))
    record = records_of(open_text("folder@mine:all", tmp_path))["a"]
    assert (record.height, record.width) == (HEIGHT, WIDTH)
    assert record.image == (tmp_path / "mine" / "images" / "a.png").read_bytes()
    np.testing.assert_array_equal(decode_image(record.image), np.array(photo(HEIGHT, WIDTH, seed=6)))


@pytest.mark.parametrize(("orientation", "width"), [(2, WIDTH), (3, WIDTH), (4, WIDTH), (6, HEIGHT)])
def test_where_nothing_tells_the_option_does(tmp_path, orientation, width):
    shown = write(tmp_path, "a", orientation, (HEIGHT, width), width=width)
    with pytest.raises(
        DatasetError, match=rf"a\.png is turned .*orientation {orientation}.*:exif=upright or :exif=stor"
    ):
        open_text("folder@mine:all", tmp_path)
    upright = records_of(open_text("folder@mine:all:exif=upright", tmp_path))["a"]
    np.testing.assert_array_equal(decode_image(upright.image), shown)
    stored = records_of(open_text("folder@mine:all:exif=stored", tmp_path))["a"]
    np.testing.assert_array_equal(decode_image(stored.image), np.array(photo(HEIGHT, width, seed=orientation)))


def test_what_one_image_tells_holds_for_the_folder(tmp_path):
    write(tmp_path, "a", 6, (WIDTH, HEIGHT))
    shown = write(tmp_path, "b", 3, (HEIGHT, WIDTH))
    records = records_of(open_text("folder@mine:all", tmp_path))
    np.testing.assert_array_equal(decode_image(records["b"].image), shown)
    assert layers_of(open_text("folder@mine:all", tmp_path))["b"].shape == (HEIGHT, WIDTH)


def test_masks_drawn_in_both_ways_are_refused(tmp_path):
    write(tmp_path, "a", 6, (WIDTH, HEIGHT))
    write(tmp_path, "b", 8, (HEIGHT, WIDTH))
    with pytest.raises(DatasetError, match=r"orientation 6.*:exif=upright"):
        open_text("folder@mine:all", tmp_path)
    with pytest.raises(DatasetError, match=r"b\.png is 20 x 12 pixels, but its image .* is 12 x 20; .*orientation 8"):
        open_text("folder@mine:all:exif=upright", tmp_path)


def test_elsewhere_masks_lie_on_the_stored_pixels(tmp_path):
    content = coco_content()
    make_coco(tmp_path, content)
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / "coco" / "train2017" / "1.jpg"
    plain = decode_image(save(photo(24, 24, seed=9), path).read_bytes())
    save(photo(24, 24, seed=9), path, exif=exif)
    record = records_of(open_text("coco:train2017", tmp_path))["1"]
    np.testing.assert_array_equal(decode_image(record.image), plain)
