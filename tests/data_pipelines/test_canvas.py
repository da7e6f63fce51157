import numpy as np
import pytest

from data_pipelines.canvas import (
    choose_canvas,
    name_canvas,
    pad_to_canvas,
    parse_canvases,
    scale_image,
    scale_labels,
    scaled_size,
)
from data_pipelines.datasets.record import DatasetError


def test_parse_canvases():
    assert parse_canvases("384x512, 512x384") == ((384, 512), (512, 384))
    assert name_canvas((384, 512)) == "384x512"


@pytest.mark.parametrize("text", ["", "384", "384x", "384x-1", "0x512", "384x512x3", "axb"])
def test_parse_canvases_errors(text):
    with pytest.raises(ValueError, match=f"buckets {text!r}: {text!r} is not HEIGHTxWIDTH; write for example 384x512"):
        parse_canvases(text)


def test_a_canvas_twice():
    with pytest.raises(ValueError, match="a canvas occurs twice"):
        parse_canvases("8x8,8x8")


def test_smallest_area_that_fits():
    canvases = parse_canvases("512x512,384x512,512x384")
    assert choose_canvas(375, 500, canvases) == (384, 512)
    assert choose_canvas(500, 375, canvases) == (512, 384)
    assert choose_canvas(500, 500, canvases) == (512, 512)
    assert choose_canvas(384, 384, canvases) == (384, 512)
    assert choose_canvas(50, 60, parse_canvases("64x128,96x64")) == (96, 64)


def test_no_canvas_fits():
    message = (
        r"image 'cat' of 600x300 pixels \(height x width\) fits none of the buckets 512x512,384x640 \(data\.buckets\): "
        r"add one that is large enough, or set data\.max_side to scale images down"
    )
    with pytest.raises(DatasetError, match=message):
        choose_canvas(600, 300, parse_canvases("512x512,384x640"), name="image 'cat'")


def test_scaled_size():
    assert scaled_size(375, 500, 0) == (375, 500)
    assert scaled_size(375, 500, 500) == (375, 500)
    assert scaled_size(375, 500, 256) == (192, 256)
    assert scaled_size(1000, 1, 10) == (10, 1)


def test_scale_image_takes_means_and_labels_the_nearest():
    blocks = np.kron([[10, 30], [50, 70]], np.ones((2, 2))).astype(np.uint8)
    blocks[0, 0] = 14
    image = np.stack([blocks] * 3, 2)
    np.testing.assert_array_equal(scale_image(image, 2)[..., 0], [[11, 30], [50, 70]])
    labels = np.kron([[0, 1], [255, 2]], np.ones((3, 3))).astype(np.uint8)
    np.testing.assert_array_equal(scale_labels(labels, 2), [[0, 1], [255, 2]])
    assert scale_labels(labels, 0) is labels
    assert scale_image(np.zeros((375, 500, 3), np.uint8), 256).shape == (*scaled_size(375, 500, 256), 3)


def test_the_nearest_label_by_hand():
    """Of 5 pixels the two cells of 2.5 have their centres at 1.25 and 3.75: in the pixels 1 and 3 (not 0 and 2)."""
    np.testing.assert_array_equal(scale_labels(np.tile(np.arange(5, dtype=np.uint8), (5, 1)), 2), [[1, 3], [1, 3]])
    # Of 7 pixels the three cells of 7/3 have theirs at 7/6, 7/2 and 35/6: in the pixels 1, 3 and 5.
    np.testing.assert_array_equal(scale_labels(np.arange(7, dtype=np.uint8)[:, None], 3)[:, 0], [1, 3, 5])


def test_padding_to_a_canvas():
    canvas = pad_to_canvas(np.array([[1, 2]], np.uint8), (2, 3), 255)
    np.testing.assert_array_equal(canvas, [[1, 2, 255], [255, 255, 255]])
    assert pad_to_canvas(np.zeros((1, 2, 3), np.float16), (2, 2), 0).shape == (2, 2, 3)
