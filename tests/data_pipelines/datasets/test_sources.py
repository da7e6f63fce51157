import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipelines import disk
from data_pipelines.datasets import folder, shards, sources
from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.record import DatasetError, decode_layer, to_record
from data_pipelines.datasets.sources import open_source

FIGURE = np.array([[0, 255, 255, 0], [0, 255, 0, 0]])


@pytest.fixture
def root(tmp_path, write_image, write_mask) -> Path:
    for number in range(10):
        write_image(tmp_path / "raw" / "mine" / "images" / f"{number}.jpg", 2, 4)
        write_mask(tmp_path / "raw" / "mine" / "masks" / f"{number}.png", np.roll(FIGURE, number))
    return tmp_path / "raw"


def open_text(text: str, root: Path) -> sources.Split:
    return open_source(parse_sources(text)[0], root, root.parent / "built")


def names(split: sources.Split) -> list[str]:
    return [to_record(split.records[i]).image_id for i in range(len(split.records))]


def test_opens_what_it_has_built(root):
    split = open_text("folder@mine:all", root)
    assert split.name == "folder@mine:all"
    assert split.class_names == ()
    assert sorted(names(split)) == [str(number) for number in range(10)]
    assert (split.directory / "dataset_info.json").is_file()
    record = to_record(split.records[0])
    np.testing.assert_array_equal(decode_layer(record.layers[0]), np.roll(FIGURE, int(record.image_id)) // 255)


def test_builds_once_and_says_so_in_one_line(root, monkeypatch):
    lines = []
    monkeypatch.setattr(sources.logger, "info", lambda text, *args: lines.append(text % args))
    first, second = open_text("folder@mine:all", root), open_text("folder@mine:all[:3]", root)
    assert first.directory == second.directory
    (line,) = [line for line in lines if "building" in line]
    assert line.startswith(f"building the split all of {root / 'mine'} into {root.parent / 'built'}")


def test_slices_split_the_whole(root):
    whole = names(open_text("folder@mine:all", root))
    assert names(open_text("folder@mine:all[:30%]", root)) == whole[:3]
    assert names(open_text("folder@mine:all[3:]", root)) == whole[3:]
    assert whole != sorted(whole)  # stills are shuffled, so that a slice is a sample


@pytest.mark.parametrize("cut", ["[a:b]", "[]", "[5:5]", "[80:90]"])
def test_a_slice_that_holds_nothing_is_refused(root, cut):
    with pytest.raises(DatasetError, match=r"is no slice of 'all'; write for example all\[:50%\]|holds no image"):
        open_text(f"folder@mine:all{cut}", root)


def test_paths_with_commas_are_quoted_and_stay_quoted_in_names(root):
    (root / "mine").rename(root / "mine, and: yours")
    split = open_text('folder@"mine, and: yours":all', root)
    assert split.name == 'folder@"mine, and: yours":all'
    assert parse_sources(f"{split.name}, voc:val")[0].path == "mine, and: yours"


def test_the_home_of_nobody(root):
    with pytest.raises(DatasetError, match="~nobody_/mine: there is no such user"):
        open_text("folder@~nobody_/mine:all", root)


def test_folders_of_the_same_name_never_meet(root, tmp_path):
    shutil.copytree(root / "mine", root / "other" / "mine")
    (root / "other" / "mine" / "images" / "0.jpg").unlink()
    (root / "other" / "mine" / "masks" / "0.png").unlink()
    assert len(open_text("folder@mine:all", root).records) == 10
    assert len(open_text("folder@mine:all", root / "other").records) == 9
    absolute = open_text(f"folder@{root / 'other' / 'mine'}:all", root)
    assert len(absolute.records) == 9


def test_version_follows_the_content_and_not_the_place(root):
    first = open_text("folder@mine:all", root)
    shutil.copytree(root / "mine", root / "copy")
    assert open_text("folder@copy:all", root).version == first.version
    assert first.version.startswith("1.1.0+")


def test_changed_originals_are_built_anew(root, write_mask):
    before = open_text("folder@mine:all", root)
    write_mask(root / "mine" / "masks" / "3.png", FIGURE * 0)
    after = open_text("folder@mine:all", root)
    assert after.version != before.version
    empty = [record for i in range(10) if not (record := to_record(after.records[i])).segments]
    assert [record.image_id for record in empty] == ["3"]


def test_an_original_changed_in_as_many_bytes_is_built_anew(root, write_mask):
    def write(mask):
        path = write_mask(root / "mine" / "masks" / "3.png", mask)
        path.write_bytes(path.read_bytes().ljust(400, b"\0"))

    write(FIGURE)
    before = open_text("folder@mine:all", root)
    write(FIGURE * 0)
    assert open_text("folder@mine:all", root).version != before.version


def test_what_was_built_last_opens_without_the_originals(root, write_mask):
    first = open_text("folder@mine:all", root).version
    write_mask(root / "mine" / "masks" / "3.png", FIGURE * 0)
    last = open_text("folder@mine:all", root).version
    shutil.rmtree(root / "mine")
    assert open_text("folder@mine:all", root).version == last != first


def test_unknown_split_names_those_that_there_are(root):
    with pytest.raises(DatasetError, match="mine has no split 'train'; there are: all"):
        open_text("folder@mine:train", root)
    with pytest.raises(DatasetError, match=r"generated has no split 'trian'; there are: .*train"):
        open_text("generated:trian", root)


def test_missing_originals_leave_nothing_behind_but_the_advice(root):
    with pytest.raises(DatasetError, match="VOCdevkit/VOC2012/ImageSets/Segmentation is missing; download"):
        open_text("voc:train", root)
    assert not (root.parent / "built").exists()


def test_a_unit_that_the_data_do_not_have_is_refused(root, write_image, write_mask):
    with pytest.raises(DatasetError, match="folder@mine:all has no classes; write folder@mine:all:instance"):
        open_text("folder@mine:all:class", root)
    voc = root / "VOCdevkit" / "VOC2012"
    (voc / "ImageSets" / "Segmentation").mkdir(parents=True)
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("1\n")
    write_image(voc / "JPEGImages" / "1.jpg", 2, 4)
    write_mask(voc / "SegmentationClass" / "1.png", FIGURE // 255)
    assert open_text("voc:val", root).class_names[0] == "aeroplane"
    with pytest.raises(DatasetError, match="voc:val has no instances, only class masks; write voc:val:class"):
        open_text("voc:val:instance", root)


def test_place_that_cannot_be_written_is_named(root):
    (root / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be made, where the data set would be built: Not a directory"):
        open_source(parse_sources("folder@mine:all")[0], root, root / "file")


def script(root: Path, prelude: str = "") -> list[str]:
    code = f"""
import sys
from pathlib import Path
from data_pipelines import disk
from data_pipelines.datasets import folder, mixture, sources
{prelude}
root = Path({str(root)!r})
split = sources.open_source(mixture.parse_sources("folder@mine:all")[0], root, root / "out")
print(len(split.records), split.version, "tensorflow" in sys.modules)
"""
    return [sys.executable, "-c", code]


SLOW = """
import time
read = folder.read_item
folder.read_item = lambda *args, **kwargs: (print("reading", flush=True), time.sleep(0.1), read(*args, **kwargs))[2]
"""


def test_builds_and_reads_without_tensorflow(root):
    done = subprocess.run(script(root), capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.split()[0] == "10"
    assert done.stdout.split()[2] == "False"


def test_processes_that_start_at_once_build_once(root):
    started = [
        subprocess.Popen(script(root, SLOW), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert len({out.splitlines()[-1] for out, _ in outputs}) == 1
    assert sum(out.count("reading") for out, _ in outputs) == 10


@pytest.fixture
def killed(root, monkeypatch) -> list[str]:
    """A build in shards of four images was killed while it read the sixth; here are the names of those read later."""
    prelude = "from data_pipelines.datasets import shards\nshards.SHARD = 4" + SLOW
    process = subprocess.Popen(script(root, prelude), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for _ in range(6):
        assert process.stdout.readline() == "reading\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    read, later = folder.read_item, []
    monkeypatch.setattr(shards, "SHARD", 4)
    monkeypatch.setattr(folder, "read_item", lambda item, *a, **b: (later.append(item.name), read(item, *a, **b))[1])
    return later


def test_a_killed_build_goes_on_from_its_finished_shards(root, killed):
    assert list((root / "out").glob("**/*incomplete*")) and list((root / "out").glob("**/.*.partial"))
    split = open_source(parse_sources("folder@mine:all")[0], root, root / "out")
    assert killed == names(split)[4:]
    assert split.version == open_text("folder@mine:all", root).version
    (folder_of_all,) = (root / "out").iterdir()
    left = sorted(path.suffix for path in folder_of_all.iterdir())
    assert left == ["", ".lock"] and not list(split.directory.parent.glob("*incomplete*"))


@pytest.mark.parametrize(("row", "first"), [(9, 4), (3, 0)])
def test_a_killed_build_makes_a_shard_anew_whose_originals_have_changed(root, killed, write_mask, row, first):
    order = names(open_text("folder@mine:all", root))
    killed.clear()
    write_mask(root / "mine" / "masks" / f"{order[row]}.png", FIGURE * 0)
    split = open_source(parse_sources("folder@mine:all")[0], root, root / "out")
    assert killed == order[first:]
    assert split.version == open_text("folder@mine:all", root).version


def test_the_loser_of_a_race_between_hosts_takes_what_the_winner_built(root, monkeypatch):
    """Without locks (another host, Windows), the second rename fails because the directory is there."""
    monkeypatch.setattr(disk, "fcntl", None)
    slow = subprocess.Popen(script(root, "disk.fcntl = None" + SLOW), stdout=subprocess.PIPE, text=True)
    assert slow.stdout.readline() == "reading\n"
    split = open_source(parse_sources("folder@mine:all")[0], root, root / "out")
    out, _ = slow.communicate(timeout=60)
    assert slow.returncode == 0
    assert out.splitlines()[-1].split()[:2] == ["10", split.version]
