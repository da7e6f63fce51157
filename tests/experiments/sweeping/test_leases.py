"""Leases on the units of a sweep: one process at a time, and none is left behind for good."""

import json
import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from experiments.sweeping.leases import FOLDER, Held, holding, owner_of

ME = f"{platform.node()} process {os.getpid()}"


def write_lease(unit, number, *, expires, host="elsewhere", process=1):
    folder = unit / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    lease = {"owner": f"{host} process {process}", "host": host, "process": process, "expires": expires}
    (folder / f"{number}.json").write_text(json.dumps(lease))


def test_it_is_held_by_one_and_given_back(tmp_path):
    assert owner_of(tmp_path) is None
    with holding(tmp_path):
        assert owner_of(tmp_path) == ME
        with pytest.raises(Held, match=ME), holding(tmp_path):
            pass
        assert owner_of(tmp_path) == ME
    assert owner_of(tmp_path) is None
    with holding(tmp_path):
        assert sorted(file.name for file in (tmp_path / FOLDER).iterdir()) == ["1.json", "2.json"]


def test_it_is_given_back_where_the_unit_fails(tmp_path):
    with pytest.raises(ValueError, match="of the unit"), holding(tmp_path):
        raise ValueError("of the unit")
    assert owner_of(tmp_path) is None


def test_one_of_another_host_lasts_until_it_expires(tmp_path):
    write_lease(tmp_path, 1, expires=time.time() + 60)
    with pytest.raises(Held, match="elsewhere process 1"), holding(tmp_path):
        pass
    write_lease(tmp_path, 1, expires=time.time() - 1)
    with holding(tmp_path):
        assert owner_of(tmp_path) == ME


def test_a_process_of_this_host_that_is_gone_holds_nothing(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lease(tmp_path, 3, expires=time.time() + 60, host=platform.node(), process=gone.pid)
    assert owner_of(tmp_path) is None
    with holding(tmp_path):
        assert (tmp_path / FOLDER / "4.json").exists()
    write_lease(tmp_path, 5, expires=time.time() + 60, host=platform.node(), process=os.getppid())
    assert owner_of(tmp_path) == f"{platform.node()} process {os.getppid()}"


def test_a_file_that_is_not_written_yet_counts_for_a_term(tmp_path):
    write_lease(tmp_path, 1, expires=0)
    file = tmp_path / FOLDER / "2.json"
    file.write_text("")
    assert owner_of(tmp_path) == "another process"
    os.utime(file, (0, time.time() - 301))
    assert owner_of(tmp_path) is None


def test_it_is_renewed(tmp_path):
    with holding(tmp_path, term=0.3):
        time.sleep(0.5)
        assert owner_of(tmp_path) == ME


def test_who_lost_it_is_told(tmp_path):
    told = threading.Event()
    with holding(tmp_path, term=0.15, lost=told.set):
        write_lease(tmp_path, 2, expires=time.time() + 60)
        assert told.wait(5)
    assert owner_of(tmp_path) == "elsewhere process 1"  # giving back the first does not touch the second


def test_many_who_want_it_at_once(tmp_path):
    """Sixteen threads stand for processes: a file is made by one of them alone."""
    write_lease(tmp_path, 1, expires=time.time() - 1)
    start, taken = threading.Barrier(16), []

    def take():
        start.wait()
        try:
            with holding(tmp_path):
                taken.append(1)
                end.wait(10)
        except Held:
            taken.append(0)

    end = threading.Event()
    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    while len(taken) < 16:
        time.sleep(0.01)
    end.set()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1
