from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.folder import FrameFolder, ImageFolder, find_groups, list_items
from data_pipelines.datasets.record import DatasetError, Segment, decode_layer

FIGURE = np.array([[0, 255, 255, 0], [0, 255, 0, 0]])
LABELS = np.array([[0, 1, 1, 0], [7, 7, 255, 0]])
RED, BLUE, GREEN, BLACK = (255, 0, 0), (0, 0, 255), (0, 128, 0), (0, 0, 0)


@pytest.fixture
def folder(tmp_path, write_image):
    """A folder with images of 2 x 4 pixels and no masks."""

    def make(*names: str, images: str = "images") -> Path:
        for name in names:
            write_image(tmp_path / "mine" / images / f"{name}.jpg", 2, 4)
        return tmp_path / "mine"

    return make


def layer_of(records, name) -> np.ndarray:
    return decode_layer(records[name].layers[0])


def test_255_is_the_object_where_the_whole_folder_has_no_other_value(folder, read, write_mask, check_segments):
    root = folder("a", "b")
    write_mask(root / "masks" / "a.png", FIGURE)
    write_mask(root / "masks" / "b.png", FIGURE * 0)
    records = read(ImageFolder, root, "all")
    np.testing.assert_array_equal(layer_of(records, "a"), FIGURE // 255)
    assert records["a"].segments == (Segment(0, 1, 0, 1, 3, (0, 1, 2, 3)),)
    assert records["b"].segments == ()
    assert records["a"].image == (root / "images" / "a.jpg").read_bytes()
    check_segments(records["a"])


@pytest.mark.parametrize("palette", [False, True])
def test_255_is_void_where_any_mask_of_the_folder_has_labels(folder, read, write_mask, palette):
    root = folder("a", "b")
    write_mask(root / "masks" / "a.png", FIGURE, palette=palette)
    write_mask(root / "masks" / "b.png", LABELS, palette=palette)
    records = read(ImageFolder, root, "all")
    np.testing.assert_array_equal(layer_of(records, "a"), FIGURE)
    np.testing.assert_array_equal(layer_of(records, "b"), LABELS)
    assert records["a"].segments == ()
    assert [segment.instance for segment in records["b"].segments] == [1, 7]


def test_masks_of_one_bit_and_of_three_equal_channels_are_grey(folder, read, write_mask):
    root = folder("a", "b")
    (root / "masks").mkdir()
    Image.fromarray(FIGURE == 255).save(root / "masks" / "a.png")
    write_mask(root / "masks" / "b.png", np.dstack([FIGURE // 255] * 3))
    records = read(ImageFolder, root, "all")
    np.testing.assert_array_equal(layer_of(records, "a"), FIGURE // 255)
    np.testing.assert_array_equal(layer_of(records, "b"), FIGURE // 255)


def test_colours_are_labels_by_the_same_order_in_all_images(folder, read, write_mask):
    root = folder("a", "b", "c")
    write_mask(root / "masks" / "a.png", [[RED, RED, BLACK, BLACK], [BLACK] * 4])
    write_mask(root / "masks" / "b.png", [[GREEN, BLACK, RED, BLACK], [BLUE] * 4])
    write_mask(root / "masks" / "c.png", np.zeros((2, 4)))
    records = read(ImageFolder, root, "all")
    # 0x0000FF blue, 0x008000 green, 0xFF0000 red
    np.testing.assert_array_equal(layer_of(records, "a"), [[3, 3, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(layer_of(records, "b"), [[2, 0, 3, 0], [1, 1, 1, 1]])
    assert not layer_of(records, "c").any()


def test_alpha_is_dropped(folder, read, write_mask):
    root = folder("a")
    write_mask(root / "masks" / "a.png", [[(255, 0, 0, 9), (0, 0, 0, 200), (0, 0, 0, 0), (0, 0, 255, 255)]] * 2)
    np.testing.assert_array_equal(layer_of(read(ImageFolder, root, "all"), "a"), [[2, 0, 0, 1]] * 2)


def test_a_folder_of_class_folders_gives_classes(folder, read, write_mask, tmp_path):
    root = folder("1", images="zebra/images")
    folder("1", images="ant/imgs")
    write_mask(root / "zebra" / "masks" / "1.png", FIGURE)
    write_mask(root / "ant" / "gt" / "1.png", FIGURE)
    records = read(ImageFolder, root, "all")
    assert {name: record.segments[0].class_id for name, record in records.items()} == {"ant/1": 1, "zebra/1": 2}
    builder = ImageFolder(path=root, data_dir=str(tmp_path / "built" / "all"))
    assert builder.info.metadata["class_names"] == ["ant", "zebra"]


def test_masks_beside_their_images(read, write_image, write_mask, tmp_path):
    """The layout of FSS-1000: a folder a class, images as JPEG, masks as PNG of three channels."""
    root = tmp_path / "mine"
    for name in ("ant/1", "ant/2", "zebra/1"):
        write_image(root / f"{name}.jpg", *FIGURE.shape)
        write_mask(root / f"{name}.png", np.stack([FIGURE] * 3, 2))
    records = read(ImageFolder, root, "all")
    classes = {name: record.segments[0].class_id for name, record in records.items()}
    assert classes == {"ant/1": 1, "ant/2": 1, "zebra/1": 2}
    np.testing.assert_array_equal(layer_of(records, "ant/2"), FIGURE // 255)
    write_mask(root / "zebra" / "2.png", FIGURE)
    with pytest.raises(DatasetError, match=r"1 of the 2 masks in .*zebra have no image, first .*2.png"):
        find_items(root)


def find_items(root):
    return [item for group in find_groups(root) for item in list_items(*group)]


def test_sub_folders_and_other_suffixes_match_by_name(folder, read, write_mask):
    root = folder("x/1", "y/1")
    write_mask(root / "Masks" / "x" / "1.bmp", FIGURE)
    write_mask(root / "Masks" / "y" / "1.png", FIGURE[:, ::-1])
    records = read(ImageFolder, root, "all")
    np.testing.assert_array_equal(layer_of(records, "x/1"), FIGURE // 255)
    np.testing.assert_array_equal(layer_of(records, "y/1"), FIGURE[:, ::-1] // 255)


def test_what_lies_in_a_hidden_folder_is_no_original(folder, read, write_mask):
    root = folder("a", ".thumbnails/a", "__MACOSX/a", "a/.cache/b")
    for name in ("a", ".thumbnails/a", "__MACOSX/._a", "old/.cache/c"):
        write_mask(root / "masks" / f"{name}.png", FIGURE)
    assert list(read(ImageFolder, root, "all")) == ["a"]


def test_frames_are_in_natural_order_and_unlabelled_ones_are_void(folder, read, write_mask):
    root = folder("frame10", "frame9", "frame2")
    write_mask(root / "masks" / "frame2.png", FIGURE)
    records = read(FrameFolder, root, "all")
    assert [(r.image_id, r.frame, r.video) for r in records.values()] == [
        ("frame2", 0, "mine"),
        ("frame9", 1, "mine"),
        ("frame10", 2, "mine"),
    ]
    assert (layer_of(records, "frame10") == 255).all()
    assert records["frame10"].segments == ()


@pytest.mark.parametrize("pattern", ["{clip}/frames/{frame}", "frames/{clip}/{frame}"])
def test_clips_are_folders_above_or_below(folder, read, write_mask, pattern):
    for clip in ("cat", "dog"):
        for frame in ("0", "1"):
            name = pattern.format(clip=clip, frame=frame)
            root = folder(name.split("/")[-1], images=name.rpartition("/")[0])
            write_mask(root / f"{name.replace('frames', 'masks')}.png", LABELS)
    records = read(FrameFolder, root, "all")
    assert [(r.image_id, r.video, r.frame) for r in records.values()] == [
        ("cat/0", "cat", 0),
        ("cat/1", "cat", 1),
        ("dog/0", "dog", 0),
        ("dog/1", "dog", 1),
    ]
    assert {s.instance for record in records.values() for s in record.segments} == {1, 7}


def test_stills_without_mask_are_left_out(folder, read, write_mask):
    root = folder("a", "b")
    write_mask(root / "masks" / "a.png", FIGURE)
    assert list(read(ImageFolder, root, "all")) == ["a"]


def test_mask_of_another_size_names_both_files_and_sizes(folder, read, write_mask):
    root = folder("a")
    write_mask(root / "masks" / "a.png", FIGURE.T)
    with pytest.raises(DatasetError, match=r"masks/a\.png is 2 x 4 pixels, but its image .*images/a\.jpg is 4 x 2"):
        read(ImageFolder, root, "all")


def test_mask_without_image_and_doubled_names_are_refused(folder, read, write_mask):
    root = folder("a")
    write_mask(root / "masks" / "a.png", FIGURE)
    write_mask(root / "masks" / "a_mask.png", FIGURE)
    with pytest.raises(DatasetError, match=r"1 of the 2 masks in .* have no image, first .*a_mask\.png"):
        read(ImageFolder, root, "all")
    (root / "masks" / "a_mask.png").rename(root / "masks" / "a.bmp")
    with pytest.raises(DatasetError, match=r"a\.bmp and .*a\.png have the same name"):
        read(ImageFolder, root, "all")


def test_unrecognised_and_empty_folders_say_what_they_should_be_called(tmp_path, folder, read):
    root = folder("a", images="pictures")
    with pytest.raises(DatasetError, match=r"no folder of images beside one of masks.* call them 'images' and 'masks'"):
        read(ImageFolder, root, "all")
    (root / "pictures").rename(root / "images")
    (root / "masks").mkdir()
    with pytest.raises(DatasetError, match=r"masks holds no file that ends in \.png"):
        read(ImageFolder, root, "all")
    with pytest.raises(DatasetError, match="nowhere is missing; give the folder that holds your images and masks"):
        read(ImageFolder, tmp_path / "nowhere", "all")


def test_a_smoothed_edge_is_no_label(folder, read, write_mask, write_image):
    root = folder()
    ramp = np.zeros((40, 60))
    ramp[10:30, 10:40] = 255
    ramp[9, 10:40] = np.linspace(20, 230, 30)
    write_image(root / "images" / "a.jpg", 40, 60)
    write_mask(root / "masks" / "a.png", ramp)
    record = read(ImageFolder, root, "all")["a"]
    np.testing.assert_array_equal(layer_of({"a": record}, "a"), ramp >= 128)
    assert [segment.value for segment in record.segments] == [1]


def test_many_labels_with_void_are_not_taken_for_smoothed(folder, read, write_mask, write_image):
    root = folder()
    labels = np.repeat(np.arange(40), 60).reshape(40, 60)
    labels[0] = 255
    write_image(root / "images" / "a.jpg", 40, 60)
    write_mask(root / "masks" / "a.png", labels)
    np.testing.assert_array_equal(layer_of(read(ImageFolder, root, "all"), "a"), labels)


def test_too_many_colours_and_mixed_codings_are_refused(folder, read, write_mask, write_image):
    root = folder()
    write_image(root / "images" / "a.jpg", 16, 16)
    codes = np.arange(256).reshape(16, 16)
    write_mask(root / "masks" / "a.png", np.dstack([codes, codes // 2, codes // 3]))
    with pytest.raises(DatasetError, match="have 255 colours, and at most 254 can be labels"):
        read(ImageFolder, root, "all")
    folder("b")
    write_mask(root / "masks" / "b.png", LABELS, palette=True)
    with pytest.raises(DatasetError, match=r"holds palette masks \(b\.png\) and RGB ones"):
        read(ImageFolder, root, "all")


def test_values_beyond_a_byte_are_refused(folder, read):
    root = folder("a")
    (root / "masks").mkdir()
    Image.fromarray((LABELS * 100).astype(np.uint16)).save(root / "masks" / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png holds the value 25500; a mask has labels 0 to 254"):
        read(ImageFolder, root, "all")


@pytest.mark.real_data
def test_real_folder_of_images_reads_back_pixel_for_pixel(real_data, read, check_segments):
    root = real_data / "data" / "ECSSD"
    records = read(ImageFolder, root, "all")
    assert sorted(records) == sorted(path.stem for path in (root / "images").iterdir())
    for name, record in records.items():
        with Image.open(root / "ground_truth_mask" / f"{name}.png") as mask:
            np.testing.assert_array_equal(decode_layer(record.layers[0]), np.array(mask) // 255)
    for record in list(records.values())[:50]:
        check_segments(record)


@pytest.mark.real_data
def test_real_folder_of_frames_reads_back_pixel_for_pixel(real_data, read, check_segments):
    root = real_data / "data" / "own_video"
    records = read(FrameFolder, root, "all")
    assert [record.frame for record in records.values()] == list(range(60))
    for name, record in records.items():
        clip, frame = name.split("/")
        with Image.open(root / clip / "Annotations" / f"{frame}.png") as mask:
            np.testing.assert_array_equal(decode_layer(record.layers[0]), np.array(mask))
        assert record.video == "chair"
        check_segments(record)
