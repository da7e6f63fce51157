"""Files are whole whatever happens while they are written, and a lock keeps other processes out."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipelines import disk
from data_pipelines.disk import lock, naming, replacing, write_text


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old ü\n")
    assert path.read_bytes() == "old ü\n".encode()
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text(encoding="utf-8") == "old ü\n"  # until the end
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="in the middle"), replacing(path) as file:
        file.write(b"half of the ne")
        raise RuntimeError("in the middle")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_text(path, "old")
    code = (
        f"import os, pathlib; from data_pipelines.disk import replacing\n"
        f"with replacing(pathlib.Path({str(path)!r})) as file:\n"
        f"    file.write(b'half'); file.flush(); os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert left.name.startswith(".x.json.") and left.suffix == ".partial"  # no pattern of ours takes it for a result


FAULTS = [
    (OSError(errno.ENOSPC, "No space left on device"), "the file"),
    (OSError(errno.ENOSPC, "No space left on device", "another"), "another"),
    (OSError("a decoder's"), None),
]


@pytest.mark.parametrize(("error", "named"), FAULTS, ids=str)
def test_a_full_disk_tells_the_file(error, named):
    with pytest.raises(OSError) as caught, naming(Path("the file")):
        raise error
    assert caught.value is error and caught.value.filename == named


def test_two_writers_at_once_and_a_long_name(tmp_path):
    path = tmp_path / ("ü" * 120 + ".png")  # 244 bytes of at most 255
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first"  # which ends last
    assert len(os.listdir(tmp_path)) == 1


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "x", "")


def test_a_lock_keeps_the_others_out_until_the_file_is_closed(tmp_path):
    with open(tmp_path / "lock", "w") as mine, open(tmp_path / "lock", "w") as other:
        assert lock(mine) is True
        with pytest.raises(BlockingIOError):
            lock(other, wait=False)
        mine.close()
        assert lock(other, wait=False) is True


def test_where_there_are_no_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks on this file system")

    with open(tmp_path / "lock", "w") as file:
        monkeypatch.setattr(disk.fcntl, "flock", refuse)
        assert lock(file) is False
        monkeypatch.setattr(disk, "fcntl", None)
        assert lock(file, wait=False) is False
