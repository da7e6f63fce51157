"""What the masks of a folder mean: by their values and regions, said in the log, or refused with what settles it."""

import re

import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.reading import masks as masks_module
from data_pipelines.datasets.record import DatasetError
from tests.data_pipelines.bad_inputs.originals import SIDE, disc, layers_of, make_folder, open_text, records_of, save

OBJECT = disc() > 0


def smooth(low: int = 0, high: int = 255, factor: int = 2) -> np.ndarray:
    """A disc resized bilinearly from a smaller one."""
    small = Image.fromarray(disc(low, high, side=SIDE // factor))
    return np.array(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def jpeg(mask: np.ndarray, tmp_path) -> np.ndarray:
    """What JPEG leaves of a mask."""
    with Image.open(save(mask, tmp_path / "through.jpg", quality=70)) as image:
        return np.array(image)


def with_alpha(colour, alpha) -> Image.Image:
    return Image.fromarray(np.dstack([np.broadcast_to(np.asarray(colour, np.uint8), (SIDE, SIDE, 3)), alpha]))


def rim(mask: np.ndarray, value: int) -> np.ndarray:
    """A mask with another value on the pixels of its object that touch the ground."""
    inside = mask == mask.max()
    shifted = [np.roll(inside, shift, axis) for axis in (0, 1) for shift in (1, -1)]
    return np.where(inside & ~np.all(shifted, 0), value, mask).astype(np.uint8)


def bands(*values: int) -> np.ndarray:
    """Broad stripes, each of a value."""
    return np.repeat(np.array(values, np.uint8), SIDE // len(values))[:, None] * np.ones((1, SIDE), np.uint8)


def ramp() -> np.ndarray:
    """From black to white, over two thirds of the width."""
    return np.tile(np.clip((np.arange(SIDE) - 3) * 15, 0, 255).astype(np.uint8), (SIDE, 1))


def white_first(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(1 - mask)
    image.putpalette([255, 255, 255, 0, 0, 0])
    return image


def labels_under_white(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette([255, 255, 255, 0, 0, 0, 255, 0, 0])
    return image


def half(mask: np.ndarray) -> np.ndarray:
    return mask >= 128


UNDERSTOOD = [
    # name, masks, what the log says, what each mask becomes
    ("0/255", {"a.png": disc()}, "2 values: 0, 255 -> one object", [OBJECT]),
    ("0/1", {"a.png": disc(0, 1)}, "2 values: 0, 1 -> one object", [OBJECT]),
    ("0/1 and 0/255 in a folder", {"a.png": disc(0, 1), "b.png": disc()}, "0, 1, 255 -> one object", [OBJECT] * 2),
    ("ground of 128", {"a.png": disc(128, 255)}, "128, 255 -> one object, 128 is its ground", [OBJECT]),
    ("grounds of 0 and 128", {"a.png": disc(128), "b.png": disc()}, "one object, 128 is its ground", [OBJECT] * 2),
    ("resized", {"a.png": smooth()}, "-> one object with smoothed edges", [half(smooth())]),
    ("resized, beside 0/1", {"a.png": smooth(), "b.png": disc(0, 1)}, "smoothed edges", [half(smooth()), OBJECT]),
    ("a single grey on rims", {"a.png": rim(disc(), 128)}, "one object with smoothed edges", [OBJECT]),
    ("resized on 128", {"a.png": smooth(128)}, "one object with smoothed edges", [smooth(128) >= 192]),
    ("smoothed without white", {"a.png": smooth(0, 200)}, "one object with smoothed edges", [smooth(0, 200) >= 100]),
    ("as JPEG", {"a.jpg": disc()}, "one object", None),
    ("16 bits", {"a.png": Image.fromarray(disc().astype(np.uint16) * 257)}, "0, 255 -> one object", [OBJECT]),
    ("white comes first in the palette", {"a.png": white_first(disc(0, 1))}, "0, 1 -> one object", [OBJECT]),
    ("labels under a palette that begins with white", {"a.png": labels_under_white(bands(0, 1, 2))}, "2 labels",
     [bands(0, 1, 2)]),
    ("opaque and black", {"a.png": with_alpha((0, 0, 0), disc(255)), "b.png": disc()}, "0, 255 -> one object",
     [disc(0, 0), OBJECT]),
    ("black with alpha", {"a.png": with_alpha((0, 0, 0), disc())}, "0, 255 -> one object", [OBJECT]),
    ("white with smooth alpha", {"a.png": with_alpha((255,) * 3, smooth())}, "smoothed edges", [half(smooth())]),
    ("black on clear white", {"a.png": with_alpha(255 - np.dstack([disc()] * 3), disc())}, "one object", [OBJECT]),
    ("alpha says nothing", {"a.png": with_alpha(np.dstack([disc()] * 3), np.full((SIDE, SIDE), 9, np.uint8))},
     "0, 255 -> one object", [OBJECT]),
    ("labels and void", {"a.png": bands(0, 1, 2, 255)}, "2 labels, 255 is void", [bands(0, 1, 2, 255)]),
    ("labels and void in 16 bits", {"a.png": Image.fromarray(bands(0, 1, 2, 255).astype(np.uint16))},
     "2 labels, 255 is void", [bands(0, 1, 2, 255)]),
    ("label 1 and void on its rim", {"a.png": rim(disc(0, 1), 255)}, "1 label, 255 is void", [rim(disc(0, 1), 255)]),
    ("many labels", {"a.png": bands(0, 50, 100, 150)}, "3 labels", [bands(0, 50, 100, 150)]),
    ("nothing", {"a.png": disc(0, 0), "b.png": disc(0, 1)}, "one object", [disc(0, 0), OBJECT]),
]  # fmt: skip


@pytest.fixture
def log(monkeypatch) -> list[str]:
    lines = []
    for level in ("info", "warning"):
        monkeypatch.setattr(masks_module.logger, level, lambda text, *args: lines.append(text % args))
    return lines


@pytest.mark.parametrize(
    ("masks", "said", "layers"), [row[1:] for row in UNDERSTOOD], ids=[row[0] for row in UNDERSTOOD]
)
def test_masks_are_understood_and_it_is_said_how(tmp_path, log, masks, said, layers):
    root = make_folder(tmp_path / "raw", masks)
    split = open_text("folder@mine:all", tmp_path / "raw")
    assert any(line.startswith(f"{root}: ") and said in line for line in log), log
    found = layers_of(split)
    for name, layer in zip(sorted(found), layers or [], strict=False):
        np.testing.assert_array_equal(found[name], layer)
    if layers is None or len(np.unique(layers[0])) == 2:
        assert all(len(record.segments) <= 1 for record in records_of(split).values())


def test_what_jpeg_leaves_of_a_mask_is_one_object(tmp_path):
    left = jpeg(disc(side=96), tmp_path)
    assert len(np.unique(left)) > 20
    make_folder(tmp_path / "raw", {"a.png": left})
    layer = layers_of(open_text("folder@mine:all", tmp_path / "raw"))["a"]
    assert set(np.unique(layer)) == {0, 1} and (layer != (disc(side=96) > 0)).mean() < 0.01


AMBIGUOUS = [
    ("label 1 and void, or an object", {"a.png": bands(0, 1, 255), "b.png": disc()}, "alone in b.png"),
    ("two broad greys", {"a.png": bands(0, 128, 255)}, "128 and 255 could be two labels, or an object and what is unk"),
    ("two greys, a mask without black", {"a.png": bands(0, 128, 255), "b.png": disc(128)}, "128 and 255 could be two"),
    ("grey or white object", {"a.png": disc(0, 128), "b.png": disc()}, "128 and 255 could be two labels"),
    ("a thin label beside 255", {"a.png": rim(disc(), 1)}, "1 value: 1 only line rims"),
    ("a ramp", {"a.png": ramp()}, "the values between cover too much to be the rims of an object"),
    ("labels as JPEG", {"a.jpg": bands(0, 80, 160, 240)}, r"JPEG \(a.jpg\) does not keep labels"),
]


@pytest.mark.parametrize(("masks", "why"), [row[1:] for row in AMBIGUOUS], ids=[row[0] for row in AMBIGUOUS])
def test_what_can_be_read_in_several_ways_is_refused_until_it_is_settled(tmp_path, masks, why):
    root = make_folder(tmp_path / "raw", masks)
    with pytest.raises(
        DatasetError, match=f"^the masks in {re.escape(str(root))} .*{why}.*:masks=object.*:masks=labels"
    ):
        open_text("folder@mine:all", tmp_path / "raw")
    raw = layers_of(open_text("folder@mine:all:masks=labels", tmp_path / "raw"))
    shown = layers_of(open_text("folder@mine:all:masks=object", tmp_path / "raw"))
    for name, mask in masks.items():
        stem = name.split(".")[0]
        if name.endswith(".png"):
            np.testing.assert_array_equal(raw[stem], mask)
            np.testing.assert_array_equal(shown[stem], half(mask))


def test_a_photograph_is_no_mask(tmp_path):
    make_folder(tmp_path / "raw", {"a.png": np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)})
    with pytest.raises(DatasetError, match=r"smoothed edges .*:masks=object"):
        open_text("folder@mine:all", tmp_path / "raw")


def test_a_cut_out_is_read_by_its_alpha_channel_when_asked(tmp_path):
    cut = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    root = make_folder(tmp_path / "raw", {"a.png": with_alpha(cut, disc())})
    with pytest.raises(DatasetError, match=r"colours.*:masks=alpha"):
        open_text("folder@mine:all", tmp_path / "raw")
    np.testing.assert_array_equal(layers_of(open_text("folder@mine:all:masks=alpha", tmp_path / "raw"))["a"], OBJECT)
    save(disc(), root / "masks" / "a.png")
    with pytest.raises(DatasetError, match=r"masks/a\.png has no alpha channel, which masks=alpha asks for"):
        open_text("folder@mine:all:masks=alpha", tmp_path / "raw")


def test_colours_are_one_object_when_asked_where_a_channel_is_bright(tmp_path):
    """From 64 on, the darkest that palettes of labels such as VOC's have."""
    drawn = np.zeros((SIDE, SIDE, 3), np.uint8)
    drawn[:8, :, 2], drawn[8:16, :, 0] = 64, 63
    make_folder(tmp_path / "raw", {"a.png": drawn})
    found = layers_of(open_text("folder@mine:all:masks=object", tmp_path / "raw"))["a"]
    np.testing.assert_array_equal(found, drawn.max(2) == 64)


def test_a_grey_mask_among_coloured_ones_is_of_grey_colours(tmp_path):
    red = np.zeros((SIDE, SIDE, 3), np.uint8)
    red[:8] = 255, 0, 0
    make_folder(tmp_path / "raw", {"a.png": red, "b.png": disc()})
    found = layers_of(open_text("folder@mine:all", tmp_path / "raw"))
    np.testing.assert_array_equal(found["a"], (red[..., 0] > 0) * 1)  # 0xFF0000 comes before 0xFFFFFF
    np.testing.assert_array_equal(found["b"], OBJECT * 2)


def test_masks_of_nothing_are_told_as_that(tmp_path):
    make_folder(tmp_path / "raw", {"a.png": disc(0, 0)})
    with pytest.raises(DatasetError, match=r"folder@mine:all: no mask of its 1 images shows anything but 0"):
        open_text("folder@mine:all", tmp_path / "raw")


def test_an_error_of_an_edge_of_255_leaves_void_alone(tmp_path):
    """Regions of void beside labels stay void: BSDS500's small ones, say."""
    mask = bands(1, 2, 3, 255)
    make_folder(tmp_path / "raw", {"a.png": mask})
    np.testing.assert_array_equal(layers_of(open_text("folder@mine:all", tmp_path / "raw"))["a"], mask)


def patched(between: list[np.ndarray], *, area: int, high: int = 255) -> np.ndarray:
    """A ground, an object, and so many pixels between them: first the given blocks, then two values in turn."""
    mask = np.zeros((40, 40), np.uint8)
    mask[30:] = high
    column = 1  # beyond the border nothing differs
    for block in between:
        mask[1 : 1 + block.shape[0], column : column + block.shape[1]] = block
        column, area = column + block.shape[1] + 1, area - block.size
    free = np.argwhere(np.arange(40 * 40).reshape(40, 40) >= 6 * 40)[:area]
    mask[tuple(free.T)] = 100 + free.sum(1) % 2
    return mask


def block(value: int, *sides: int) -> np.ndarray:
    return np.full(sides, value, np.uint8)


OBJECT_OR_NOT = {
    # Of 1,600 pixels a quarter may line rims; of 100 such pixels two may be inside a region: 3 x 4 have two inside.
    "a quarter": (patched([], area=400), "smoothed edges"),
    "more than a quarter": (patched([], area=401), "cover too much"),
    "few inside": (patched([block(90, 3, 4)], area=100), "smoothed edges"),
    "some inside": (patched([block(90, 3, 5)], area=100), "3 labels"),
    # A single value on the rims, near the ground; one or two below an object that is not white.
    "dark rims": (rim(disc(), 31), "only line rims"),
    "brighter rims": (rim(disc(), 32), "smoothed edges"),
    "two rims of grey": (patched([], area=20, high=238), "only line rims"),
    "two rims of white": (patched([], area=20, high=239), "smoothed edges"),
    "three rims of grey": (patched([block(90, 1, 1)], area=20, high=238), "smoothed edges"),
    # An object stands out by 64 or more, and so does a ground.
    "faint": (patched([], area=20, high=63), "3 labels"),
    "ground of 64": (disc(64), "64 is its ground"),
    "label of 63": (disc(63), "1 label, 255 is void"),
    # JPEG leaves values about both ends: three of each are its marks, and so broad areas of them do not matter.
    "noise": (bands(0, 0, 14, 15, 16, 239, 240, 241), "smoothed edges"),
    "no noise": (bands(0, 0, 14, 15, 17, 239, 240, 241), "6 labels"),
}


@pytest.mark.parametrize(("mask", "said"), OBJECT_OR_NOT.values(), ids=OBJECT_OR_NOT)
def test_where_an_object_ends_and_labels_begin(tmp_path, log, mask, said):
    path = save(mask, tmp_path / "a.png")
    if said.startswith(("cover", "only")):
        with pytest.raises(DatasetError, match=said):
            masks_module.survey([path])
        return
    coding = masks_module.survey([path])
    assert said in log[-1] and coding.scaled == ("label" not in said)


@pytest.mark.parametrize(("values", "area", "refused"), [(17, 23, True), (16, 23, False), (17, 24, False)])
def test_how_many_values_on_how_few_pixels_are_smoothed_labels(tmp_path, values, area, refused):
    """Beside two labels that fill regions."""
    mask = np.zeros((60, 60), np.uint8)
    mask[40:50], mask[50:] = 1, 2
    for value in range(values):  # none has a pixel inside: two rows at most
        part = mask[2 * value : 2 * value + 2].reshape(-1)
        part[:area] = 3 + value
        mask[2 * value : 2 * value + 2] = part.reshape(2, -1)
    path = save(mask, tmp_path / "a.png")
    if refused:
        with pytest.raises(DatasetError, match=f"{values} of {values + 2} values line only rims"):
            masks_module.survey([path])
    else:
        assert len(masks_module.survey([path]).labels) == values + 2


@pytest.mark.parametrize("number", [254, 255])
def test_as_many_colours_as_labels_can_be(tmp_path, number):
    colours = np.zeros((16, 16, 3), np.uint8)
    colours.reshape(-1, 3)[1 : number + 1, 1] = np.arange(1, number + 1)
    path = save(colours, tmp_path / "a.png")
    if number == 254:
        coding = masks_module.survey([path], "labels")
        np.testing.assert_array_equal(masks_module.read_coded(path, coding).ravel()[:255], np.arange(255))
    else:
        with pytest.raises(DatasetError, match="have 255 colours, and at most 254 can be labels"):
            masks_module.survey([path], "labels")
