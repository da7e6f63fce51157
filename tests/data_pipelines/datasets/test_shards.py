"""Builds in shards: by any number of processes, stopped and gone on with, the result is the same to the byte."""

import contextlib
import functools
import hashlib
import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_pipelines import processes
from data_pipelines.datasets import shards
from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.built import open_split
from data_pipelines.datasets.coco import CocoInstances
from data_pipelines.datasets.davis import Davis
from data_pipelines.datasets.folder import FrameFolder, ImageFolder
from data_pipelines.datasets.generated import Generated
from data_pipelines.datasets.reading import masks, orientation
from data_pipelines.datasets.record import DatasetError, Record, to_record
from data_pipelines.datasets.sbd import Sbd
from data_pipelines.datasets.shards import Lazy, make_shards
from data_pipelines.datasets.voc import PascalVoc
from tests.data_pipelines.bad_inputs.originals import (
    coco_content,
    disc,
    make_coco,
    make_davis,
    make_folder,
    make_sbd,
    make_voc,
    open_text,
    save,
)
from tests.data_pipelines.datasets.test_record import make as make_number

COUNT, SHARD = 13, 2


def make(folder: Path, number: int) -> Record:
    """Reads a file of text, noting which process does so."""
    with (folder / "log").open("a") as log:
        log.write(f"{number} {os.getpid()}\n")
    text = original(folder, number).read_text()
    if text == "broken":
        raise DatasetError(f"{original(folder, number)} is broken")
    time.sleep(0.1 * (text == "slow"))
    return make_number(number)


def original(folder: Path, number: int) -> Path:
    return folder / f"{number}.txt"


class Texts(RecordBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _class_names(self):
        return ["a", "b"]

    def _split_names(self):
        return ["train"]

    def _records(self, split):
        return Lazy(range(COUNT), functools.partial(make, self.path), functools.partial(list_files, self.path))


def list_files(folder: Path, number: int) -> list[Path]:
    return [original(folder, number)]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(shards, "SHARD", SHARD)
    monkeypatch.setattr(processes, "count_cores", lambda: 1)
    (tmp_path / "raw").mkdir()
    for number in range(COUNT):
        original(tmp_path / "raw", number).write_text("sound")
    return tmp_path / "raw"


def build(folder: Path, name: str, **options) -> dict[str, bytes]:
    """The files of a build, by name."""
    builder = Texts(path=folder, data_dir=str(folder.parent / name), **options)
    builder.download_and_prepare()
    assert not list(folder.parent.glob(f"{name}/*/shards"))
    return {path.name: path.read_bytes() for path in Path(builder.data_dir).iterdir()}


def made(folder: Path) -> Counter:
    """How often each item was made; they are forgotten then."""
    lines = (folder / "log").read_text().splitlines()
    (folder / "log").unlink()
    return Counter(int(line.split()[0]) for line in lines)


def pids(folder: Path) -> set[int]:
    return {int(line.split()[1]) for line in (folder / "log").read_text().splitlines()}


@pytest.mark.parametrize("broken", [(), (3, 8, 9)])
def test_processes_write_the_same_files_as_one(folder, monkeypatch, broken):
    for number in broken:
        original(folder, number).write_text("broken")
    one = build(folder, "one", skip_broken=bool(broken))
    assert pids(folder) == {os.getpid()}
    assert made(folder) == dict.fromkeys(range(COUNT), 1)  # a broken one, too, is tried once
    monkeypatch.setattr(processes, "count_cores", lambda: 2)
    assert build(folder, "several", skip_broken=bool(broken)) == one
    assert os.getpid() not in pids(folder)
    assert sum("array_record" in name for name in one) == (6 if broken else 7)  # without 8 and 9 a shard is empty
    directory = next((folder.parent / "one").glob("*/1.0.0"))
    source = open_split(directory, "train")
    kept = [number for number in range(COUNT) if number not in broken]
    assert [to_record(source[i]) for i in range(len(source))] == [make_number(number) for number in kept]
    metadata = tfds.builder_from_directory(directory).info.metadata
    assert metadata["skipped"] == [f"{original(folder, number)} is broken" for number in broken]


def test_what_is_hashed_is_the_records(folder):
    """As it was before there were shards made apart, so that results tell the same version of the same data."""
    build(folder, "one")
    (directory,) = (folder.parent / "one").glob("*/1.0.0")
    content = hashlib.sha256()
    for number in range(COUNT):
        record = make_number(number)
        segments = [vars(segment) for segment in record.segments]
        for part in (record.image_id.encode(), record.image, repr(segments).encode()):
            content.update(part)
    assert tfds.builder_from_directory(directory).info.metadata["content"] == content.hexdigest()


@pytest.mark.parametrize("cores", [1, 2])
def test_the_first_broken_file_is_named_whoever_reads_it(folder, monkeypatch, cores):
    monkeypatch.setattr(processes, "count_cores", lambda: cores)
    for number in (5, 7):
        original(folder, number).write_text("broken")
    with pytest.raises(DatasetError) as caught:
        build(folder, "built")
    assert str(caught.value) == f"{original(folder, 5)} is broken"
    assert not list(folder.parent.glob("**/dataset_info.json"))


def test_nothing_but_broken_files_is_refused(folder):
    for number in range(COUNT):
        original(folder, number).write_text("broken")
    with pytest.raises(DatasetError, match="none of the 13 images of 'train' can be read"):
        build(folder, "built", skip_broken=True)


def test_a_build_goes_on_from_its_finished_shards(folder):
    whole = build(folder, "whole")
    original(folder, 7).write_text("broken")
    made(folder)
    with pytest.raises(DatasetError):
        build(folder, "built")
    assert made(folder) == dict.fromkeys(range(8), 1)
    original(folder, 7).write_text("sound")
    assert build(folder, "built") == whole
    assert made(folder) == dict.fromkeys(range(6, COUNT), 1)


def change(folder: Path, kept: Path) -> None:
    original(folder, 2).write_text("another")


def remove(folder: Path, kept: Path) -> None:
    original(folder, 2).unlink()


def damage(folder: Path, kept: Path) -> None:
    with kept.open("ab") as file:
        file.write(b"more")


def unfinish(folder: Path, kept: Path) -> None:
    kept.with_suffix(".json").unlink()


def garble(folder: Path, kept: Path) -> None:
    kept.with_suffix(".json").write_text('{"key": 1}')


@pytest.mark.parametrize("spoil", [change, damage, unfinish, garble])
def test_a_finished_shard_that_is_not_what_it_was_made_from_is_made_anew(folder, spoil):
    original(folder, 7).write_text("broken")
    with pytest.raises(DatasetError):
        build(folder, "built")
    (kept,) = (folder.parent / "built").glob("**/00001")
    spoil(folder, kept)
    original(folder, 7).write_text("sound")
    made(folder)
    build(folder, "built")
    assert made(folder) == dict.fromkeys((2, 3, *range(6, COUNT)), 1)


def test_shards_of_another_size_are_made_anew(folder, monkeypatch):
    original(folder, 7).write_text("broken")
    with pytest.raises(DatasetError):
        build(folder, "built")
    original(folder, 7).write_text("sound")
    monkeypatch.setattr(shards, "SHARD", 3)
    made(folder)
    build(folder, "built")
    assert made(folder) == dict.fromkeys(range(COUNT), 1)


def test_processes_that_are_killed_end_and_lose_no_finished_shard(folder):
    whole = build(folder, "whole")
    made(folder)
    for number in range(COUNT):
        original(folder, number).write_text("slow")
    code = f"""
from pathlib import Path
from data_pipelines import processes
from data_pipelines.datasets import shards
from tests.data_pipelines.datasets.test_shards import Texts
processes.count_cores, shards.SHARD = lambda: 2, {SHARD}
Texts(path=Path({str(folder)!r}), data_dir={str(folder.parent / "built")!r}).download_and_prepare()
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path.cwd(), stderr=subprocess.DEVNULL)
    wait_for(lambda: len(finished(folder)) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(lives(pid) for pid in pids(folder)))  # they see within a second that it is gone
    kept = {item for number in finished(folder) for item in range(number * SHARD, (number + 1) * SHARD)}
    assert len(kept) < COUNT
    made(folder)
    assert build(folder, "built") == whole
    assert made(folder) == dict.fromkeys(set(range(COUNT)) - kept, 1)


def finished(folder: Path) -> list[int]:
    return [int(note.stem) for note in (folder.parent / "built").glob("*/shards/1.0.0/train/[0-9]*.json")]


def lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def wait_for(true) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_bar_shows_all_that_is_done(folder):
    records = Texts(path=folder, data_dir=str(folder))._records("train")
    for _ in range(2):  # the second time it is done already
        with tqdm(total=COUNT, file=io.StringIO()) as bar:
            shown = [bar.n for _ in make_shards(records, folder / "kept", bar)]
            assert shown == [2, 4, 6, 8, 10, 12, 13]


def test_a_folder_is_surveyed_by_processes_as_by_one(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "raw", {f"{number}.png": disc(high=number % 3 + 1) for number in range(9)})
    save(disc(), root / "masks" / "4.png").write_bytes(b"broken")
    monkeypatch.setattr(shards, "SHARD", 2)
    monkeypatch.setattr(masks, "PIECE", 2)
    monkeypatch.setattr(orientation, "PIECE", 2)
    found = []
    for cores in (1, 2):
        monkeypatch.setattr(processes, "count_cores", lambda cores=cores: cores)
        found.append(open_text("folder@mine:all:class", tmp_path / "raw", skip_broken=True))
        (tmp_path / "raw-built").rename(tmp_path / f"built-by-{cores}")
    assert found[0].version == found[1].version
    assert found[0].class_names == found[1].class_names == ("1", "2", "3")
    for name in ("metadata.json", "dataset_info.json"):
        one, several = (next((tmp_path / f"built-by-{cores}").glob(f"**/{name}")).read_bytes() for cores in (1, 2))
        assert one == several


@pytest.mark.parametrize(
    ("builder", "make_originals", "split"),
    [
        (ImageFolder, lambda root: make_folder(root, {"a.png": disc()}), "all"),
        (FrameFolder, lambda root: make_folder(root, {"a.png": disc()}), "all"),
        (PascalVoc, make_voc, "train"),
        (Sbd, make_sbd, "train"),
        (Davis, lambda root: make_davis(root, {"bear": 3}), "val"),
        (CocoInstances, lambda root: make_coco(root, coco_content()), "train2017"),
        (Generated, lambda root: root, "val"),
    ],
)
def test_records_are_made_elsewhere_from_what_can_be_sent(tmp_path, builder, make_originals, split):
    root = make_originals(tmp_path / "raw")
    first, again = (builder(path=root, data_dir=str(tmp_path))._records(split) for _ in range(2))
    work, items = pickle.loads(pickle.dumps(((first.make, first.files), first.items[:1])))
    assert work[0](items[0]) == first.make(first.items[0])
    assert shards._key(shards._tell(first.make), items, work[1]) == shards._key(
        shards._tell(again.make), again.items[:1], again.files
    )
    assert builder is Generated or all(
        file.is_file() for file in first.files(first.items[0]) if "Object" not in str(file)
    )
