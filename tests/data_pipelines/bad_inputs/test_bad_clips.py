"""Clips of DAVIS and of one's own: no frame and no clip is dropped without a word."""

import pytest

from data_pipelines.datasets.record import DatasetError
from tests.data_pipelines.bad_inputs.originals import make_davis, open_text, photo, records_of, save

CLIP = "JPEGImages/480p/bear"
MASKS = "Annotations/480p/bear"


def remove_all(folder):
    for file in folder.iterdir():
        file.unlink()


UNDERSTOOD = [
    ("a slash after its name", lambda d: (d / "ImageSets/2017/val.txt").write_text("bear/\n./bear"), 3),
    ("upper-case suffixes", lambda d: [f.rename(f.with_suffix(".JPG")) for f in (d / CLIP).iterdir()], 3),
    (
        "frames as PNG",
        lambda d: [save(photo(), f.with_suffix(".png")) and f.unlink() for f in list((d / CLIP).iterdir())],
        3,
    ),
    ("masks in capitals", lambda d: [f.rename(f.with_suffix(".PNG")) for f in (d / MASKS).iterdir()], 3),
    ("files of a Mac's archive", lambda d: [(d / at / "._00000.png").write_bytes(b"\0") for at in (CLIP, MASKS)], 3),
    ("the first frame alone is annotated", lambda d: [(d / MASKS / f"0000{i}.png").unlink() for i in (1, 2)], 3),
]
REFUSED = [
    ("a frame is missing", lambda d: (d / CLIP / "00001.jpg").unlink(), r"00001\.png has no frame in .*bear; 1 of 3"),
    ("a mask is missing", lambda d: (d / MASKS / "00001.png").unlink(), r"val\.txt asks for .* first .*00001\.png"),
    ("no masks", lambda d: remove_all(d / MASKS), r"val\.txt asks for are missing, first .*00000\.png"),
    ("no frames", lambda d: remove_all(d / CLIP), r"480p/bear holds no frame .*or take bear off the list"),
    ("a frame twice", lambda d: save(photo(), d / CLIP / "00001.png"), r"\.jpg and .*00001\.png have the same name"),
    ("out of the folder", lambda d: (d / "ImageSets/2017/val.txt").write_text("../x"), r"'\.\./x' leads out of"),
    ("absolute", lambda d: (d / "ImageSets/2017/val.txt").write_text("/etc"), "'/etc' leads out of the folder"),
    ("a name too long", lambda d: (d / "ImageSets/2017/val.txt").write_text("x" * 5000), "xxx is missing"),
    ("three paths", lambda d: (d / "ImageSets/2017/val.txt").write_text("a b c"), r"txt: 'a b c' is neither a clip"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "frames"), [row[1:] for row in UNDERSTOOD], ids=[row[0] for row in UNDERSTOOD])
def test_a_clip_keeps_all_its_frames(tmp_path, change, frames):
    change(make_davis(tmp_path, {"bear": 3}))
    records = records_of(open_text("davis:val", tmp_path))
    assert list(records) == [f"bear/{frame:05d}" for frame in range(frames)]
    assert records["bear/00000"].segments


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_clip_is_refused_by_name(tmp_path, change, message):
    change(make_davis(tmp_path, {"bear": 3, "cow": 2}))
    with pytest.raises(DatasetError, match=message):
        open_text("davis:val", tmp_path)


def test_frames_of_which_the_first_alone_is_annotated_are_void(tmp_path):
    davis = make_davis(tmp_path, {"bear": 3, "cow": 2})
    for frame in (1, 2):
        (davis / MASKS / f"{frame:05d}.png").unlink()
    records = records_of(open_text("davis:val", tmp_path))
    assert [bool(record.segments) for record in records.values()] == [True, False, False, True, True]


def test_own_frames_without_a_mask_stay_and_masks_without_a_frame_are_refused(tmp_path):
    for frame in range(3):
        save(photo(seed=frame), tmp_path / "mine" / "frames" / f"{frame}.JPG")
    save(photo().convert("L").point(lambda v: 1), tmp_path / "mine" / "masks" / "0.PNG")
    (tmp_path / "mine" / "frames" / "._0.jpg").write_bytes(b"\0")
    (tmp_path / "__MACOSX").mkdir()
    assert len(open_text("frames@mine:all", tmp_path).records) == 3
    (tmp_path / "mine" / "frames" / "0.JPG").unlink()
    with pytest.raises(DatasetError, match=r"1 of the 1 masks in .* have no image, first .*0\.PNG"):
        open_text("frames@mine:all", tmp_path)


def test_a_folder_whose_masks_have_other_names_says_so(tmp_path):
    save(photo(), tmp_path / "mine" / "images" / "a.jpg")
    save(photo().convert("L"), tmp_path / "mine" / "masks" / "a_mask.png")
    with pytest.raises(DatasetError, match=r"have no image, first .*a_mask\.png"):
        open_text("folder@mine:all", tmp_path)
