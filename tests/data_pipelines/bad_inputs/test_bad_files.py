"""Broken image files and broken builds: named while building, or when opened; nothing half-built is used."""

import io
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from data_pipelines.datasets.record import DatasetError
from tests.data_pipelines.bad_inputs.originals import (
    coco_content,
    disc,
    make_coco,
    make_davis,
    make_folder,
    make_sbd,
    make_voc,
    open_text,
    photo,
    records_of,
    save,
)


def png(height: int, width: int) -> bytes:
    """A black PNG of one bit a pixel, however large."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(b"\0" * (width // 8 + 2)) for _ in range(height)) + rows.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return len(content).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes((1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def as_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


BREAKS = [
    ("cut short", cut, "is not an image that can be read"),
    ("empty", lambda file: file.write_bytes(b""), "is not an image that can be read"),
    ("text", lambda file: file.write_text("<html>404</html>"), "is not an image that can be read"),
    ("a header alone", lambda file: file.write_bytes(file.read_bytes()[:30]), "is not an image that can be read"),
    ("300 million pixels", lambda file: file.write_bytes(png(15000, 20000)), "has more than 178 million pixels; s"),
    ("a million rows", lambda file: file.write_bytes(png(1_000_000, 1_000)), "has more than 178 million pixels"),
    ("a pipe", as_pipe, r"cannot be read|\(a pipe or a device\); replace or remove the file"),
    ("a folder", as_directory, "cannot be read|is not an image that can be read|have no image|no mask of its"),
]  # fmt: skip

FILES = [
    ("folder@mine:all", lambda root: make_folder(root, {"a.png": disc(), "b.png": disc()}), "images/a.jpg"),
    ("folder@mine:all", lambda root: make_folder(root, {"a.png": disc(), "b.png": disc()}), "masks/a.png"),
    ("voc:train", make_voc, "JPEGImages/2007_000001.jpg"),
    ("voc:train", make_voc, "SegmentationClassAug/2007_000001.png"),
    ("sbd:train", make_sbd, "img/a.jpg"),
    ("davis:val", lambda root: make_davis(root, {"bear": 3}), "JPEGImages/480p/bear/00001.jpg"),
    ("davis:val", lambda root: make_davis(root, {"bear": 3}), "Annotations/480p/bear/00001.png"),
    ("coco:train2017", lambda root: make_coco(root, coco_content()), "train2017/1.jpg"),
]


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS])
@pytest.mark.parametrize(("source", "make", "file"), FILES, ids=[f"{row[0]} {row[2]}" for row in FILES])
def test_a_broken_image_is_named_while_building(tmp_path, source, make, file, damage, message):
    broken = make(tmp_path / "raw") / file
    damage(broken)
    with pytest.raises(DatasetError, match=message) as caught:
        open_text(source, tmp_path / "raw")
    assert broken.stem in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "raw-built").glob("**/dataset_info.json"))


@pytest.mark.parametrize(("source", "make", "file"), FILES, ids=[f"{row[0]} {row[2]}" for row in FILES])
def test_a_broken_image_is_left_out_and_listed_where_that_is_asked_for(tmp_path, caplog, source, make, file):
    root = make(tmp_path / "raw")
    count = len(open_text(source, tmp_path / "raw").records)
    cut(root / file)
    if count == 1:
        with pytest.raises(DatasetError, match="none of the 1 images of 'train' can be read"):
            open_text(source, tmp_path / "raw", skip_broken=True)
        return
    split = open_text(source, tmp_path / "raw", skip_broken=True)
    assert len(split.records) == count - 1
    assert all(Path(file).stem != name.split("/")[-1] for name in records_of(split))
    assert "1 broken file is left out" in caplog.text and f"{root / file} is not an image" in caplog.text
    caplog.clear()
    open_text(source, tmp_path / "raw", skip_broken=True)
    assert "1 broken file was left out when it was built" in caplog.text


def test_other_formats_are_decoded_as_they_will_be_later(tmp_path):
    root = make_folder(tmp_path, {"a.png": disc()})
    encoded = io.BytesIO()
    photo().save(encoded, "GIF")  # Pillow reads it whatever its suffix, and so must what decodes it later
    (root / "images" / "a.jpg").write_bytes(encoded.getvalue())
    try:
        records_of(open_text("folder@mine:all", tmp_path))
    except DatasetError as error:
        assert "a.jpg" in str(error)


def one_file(directory: Path, part: str) -> Path:
    (file,) = (each for each in directory.iterdir() if part in each.name)
    return file


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[500] ^= 255
    file.write_bytes(content)


DAMAGES = [
    ("records cut", "array_record", cut),
    ("records empty", "array_record", lambda file: file.write_bytes(b"")),
    ("records gone", "array_record", Path.unlink),
    ("records with a flipped byte", "array_record", flip),
    ("no info", "dataset_info", Path.unlink),
    ("info cut", "dataset_info", cut),
    ("no features", "features.json", Path.unlink),
    ("features of nothing", "features.json", lambda file: file.write_text("{}")),
    ("metadata of nothing", "metadata.json", lambda file: file.write_text("{}")),
]


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize(("part", "damage"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_a_damaged_build_is_named_and_built_again_once_deleted(tmp_path, part, damage, noted):
    root = tmp_path / "raw"
    make_folder(root, {f"{number}.png": disc() for number in range(4)})
    directory = open_text("folder@mine:all", root).directory
    damage(one_file(directory, part))
    if not noted:  # built before sizes were noted
        (directory / "sizes.json").unlink()
    elif damage is cut:  # seen when it is opened, before a record is read
        with pytest.raises(DatasetError, match=r"has \d+ bytes of \d+"):
            open_text("folder@mine:all", root)
    with pytest.raises(DatasetError, match=r"is damaged .*; delete it, and it is built again$") as caught:
        records_of(open_text("folder@mine:all", root))
    assert str(directory) in str(caught.value) and "\n" not in str(caught.value)
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    assert len(records_of(open_text("folder@mine:all", root))) == 4


@pytest.mark.parametrize("limit", [100, 3000, 60_000])
def test_a_full_disk_ends_a_build_in_one_line_and_the_next_is_whole(tmp_path, limit):
    root = tmp_path / "raw"
    make_folder(root, {f"{number}.png": disc(side=96) for number in range(5)})
    code = f"""
import resource
from pathlib import Path
from data_pipelines.datasets.record import DatasetError
from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.sources import open_source
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
root = Path({str(root)!r})
try:
    open_source(parse_sources("folder@mine:all")[0], root, root.parent / "raw-built")
except DatasetError as error:
    print(error)
"""
    # -B: under the limit Python would cut the byte code of what it imports, too, and leave that in the checkout
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert "building the split all of" in done.stdout and "failed" in done.stdout and done.stdout.count("\n") == 1
    assert len(records_of(open_text("folder@mine:all", root))) == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_place_that_may_not_be_written_is_named(tmp_path):
    root = tmp_path / "raw"
    make_folder(root, {"a.png": disc()})
    directory = open_text("folder@mine:all", root).directory
    (directory / "dataset_info.json").unlink()
    directory.rename(directory.with_name("gone"))
    directory.parents[1].chmod(0o500)
    with pytest.raises(DatasetError, match="cannot be written to, where the data set would be built"):
        open_text("folder@mine:all", root)


def test_a_class_folder_is_listed_once_and_not_for_each_image(tmp_path, monkeypatch):
    from data_pipelines.datasets import folder

    root = tmp_path / "raw"
    for name in "abcdefgh":
        for number in range(4):
            save(disc(), root / "mine" / name / f"{number}.png")
            save(photo(), root / "mine" / name / f"{number}.jpg")
    counts = []
    whole = folder.find_groups
    monkeypatch.setattr(folder, "find_groups", lambda path: counts.append(path) or whole(path))
    split = open_text("folder@mine:all:class", root)
    assert len(split.records) == 32 and split.class_names == tuple("abcdefgh")
    assert len(counts) < 12
