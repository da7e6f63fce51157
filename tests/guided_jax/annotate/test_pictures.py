"""Image files of people: decoded upright or refused in one line; galleries hold what lies in their folder alone."""

import io

import numpy as np
import pytest
from PIL import Image

from guided_jax.annotate.files import pictures
from guided_jax.annotate.files.gallery import natural_key, open_files, open_folder, open_paths
from guided_jax.annotate.files.pictures import decode_labels, decode_picture, read_picture, to_jpeg
from guided_jax.masks.palette import davis_palette
from tests.guided_jax.annotate.serving import NAMES, picture

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_pixels_are_those_of_the_file(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decode_picture(encoded(Image.fromarray(RGB), kind, **options), "a"), RGB)


def test_an_image_stands_as_its_tag_says():
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn to the right shows it upright
    np.testing.assert_array_equal(decode_picture(encoded(image, exif=exif), "a"), np.rot90(RGB, -1))


def test_grey_deep_and_transparent_images_become_rgb():
    grey = RGB[..., 0]
    np.testing.assert_array_equal(decode_picture(encoded(Image.fromarray(grey)), "a"), np.stack([grey] * 3, -1))
    deep = np.array([[0, 32768, 65535]], np.uint16)
    assert decode_picture(encoded(Image.fromarray(deep)), "a")[0, :, 0].tolist() == [0, 127, 255]
    clear = Image.fromarray(np.dstack([RGB, np.zeros((6, 9), np.uint8)]))
    assert (decode_picture(encoded(clear), "a") == 255).all()


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_what_is_no_image_is_told_in_one_line(content):
    with pytest.raises(ValueError, match=r"^a\.png: is not an image that can be read \(JPEG, PNG, WebP, BMP, TIFF\)$"):
        decode_picture(content, "a.png")


def test_an_image_cut_short_is_told():
    whole = encoded(Image.fromarray(np.tile(RGB, (20, 20, 1))), "JPEG")
    with pytest.raises(ValueError, match="is not an image that can be read"):
        decode_picture(whole[: len(whole) // 2], "a")


def test_too_many_pixels_are_refused_by_the_header(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 53)
    with pytest.raises(ValueError, match="million pixels; scale it down"):
        decode_picture(encoded(Image.fromarray(RGB)), "a")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 54)
    assert decode_picture(encoded(Image.fromarray(RGB)), "a").shape == (6, 9, 3)


def test_too_many_bytes_are_not_read(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match=r"^a\.png: has more than"):
        read_picture(tmp_path / "a.png")


def test_masks_are_labels():
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    palette = Image.fromarray(labels)
    palette.putpalette(davis_palette())
    for image in (Image.fromarray(labels), palette, Image.fromarray(np.stack([labels] * 3, -1))):
        np.testing.assert_array_equal(decode_labels(encoded(image), "m"), labels)
    with pytest.raises(ValueError, match=r"^m: is an image in colours"):
        decode_labels(encoded(Image.fromarray(RGB)), "m")


def test_what_is_sent_is_a_jpeg_and_small_in_the_strip():
    with Image.open(io.BytesIO(to_jpeg(picture(), longest=16))) as image:
        assert image.format == "JPEG" and image.size == (16, 12)
    with Image.open(io.BytesIO(to_jpeg(picture()))) as image:
        assert image.size == (80, 60) and np.abs(np.array(image, np.int16) - picture())[30, 30].max() < 8


def test_a_folder_holds_its_images_in_natural_order(images):
    gallery = open_folder(images)
    assert tuple(each.name for each in gallery.pictures) == NAMES and gallery.title == "images"
    np.testing.assert_array_equal(gallery.find("10.png").read(), picture(2))
    assert sorted(["b10", "B2", "a", "b1"], key=natural_key) == ["a", "b1", "B2", "b10"]


def test_an_image_that_becomes_a_link_is_not_followed(images):
    gallery = open_folder(images)
    (images / "2.png").unlink()
    (images / "2.png").symlink_to(images.parent / "secret.png")
    with pytest.raises(ValueError, match=r"^2\.png: leads out of its folder$"):
        gallery.find("2.png").read()


def test_images_are_given_by_name(images):
    assert [each.name for each in open_files([images / "10.png", images / "1.png"]).pictures] == ["10.png", "1.png"]
    with pytest.raises(ValueError, match=r"3\.png: another image has the name 3\.png"):
        open_files([images / "sub" / "3.png", images / "sub" / ".." / "sub" / "3.png"])
    assert open_paths([]).pictures == ()


def test_a_video_is_its_frames(tmp_path):
    from guided_jax.masks.video import encode_video

    with open(tmp_path / "clip.mp4", "wb") as file:
        encode_video(file, (picture(number) for number in range(4)), (60, 80), 12.0)
    gallery = open_paths([tmp_path / "clip.mp4"])
    assert gallery.clip and len(gallery.pictures) == 4 and gallery.rate == pytest.approx(12)
    assert np.abs(gallery.pictures[3].read()[30, 30].astype(int) - picture()[30, 30]).max() < 40
