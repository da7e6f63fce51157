import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_pipelines import processes
from data_pipelines.datasets.record import DatasetError
from data_pipelines.processes import count_processes, in_order, pieces_of


def describe(number: int) -> tuple[int, int, bool, bool]:
    time.sleep(0.2 * (number == 0))  # the first is not the first to be done
    return number, os.getpid(), "jax" in sys.modules, hasattr(sys.modules["__main__"], "__file__")


def refuse(number: int) -> int:
    if number in (3, 4):
        raise DatasetError(f"{number}.jpg is broken")
    return number


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_pieces_hold_all_items_in_order():
    assert pieces_of(range(7), 3) == [range(3), range(3, 6), range(6, 7)]
    assert pieces_of([], 3) == []


@pytest.mark.parametrize(
    ("pieces", "cores", "count"), [(0, 8, 1), (1, 8, 1), (3, 8, 1), (4, 8, 2), (4, 1, 1), (100, 8, 8), (13, 8, 6)]
)
def test_each_process_has_two_pieces_at_least(monkeypatch, pieces, cores, count):
    monkeypatch.setattr(processes, "count_cores", lambda: cores)
    assert count_processes(pieces) == count


def test_what_other_processes_make_comes_in_order_without_jax_or_the_main_module(monkeypatch):
    monkeypatch.setattr(processes, "count_cores", lambda: 2)
    made = list(in_order(describe, range(5)))
    numbers, pids, with_jax, with_main = zip(*made, strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    assert os.getpid() not in pids
    assert not any(with_jax) and not any(with_main)
    assert not multiprocessing.active_children()


def test_little_work_starts_no_process(monkeypatch):
    monkeypatch.setattr(processes, "count_cores", lambda: 64)
    monkeypatch.setattr(processes, "ProcessPoolExecutor", None)
    assert {pid for _, pid, *_ in in_order(describe, range(3))} == {os.getpid()}


@pytest.mark.parametrize("cores", [1, 2])
def test_the_first_piece_that_fails_ends_the_work(monkeypatch, cores):
    monkeypatch.setattr(processes, "count_cores", lambda: cores)
    made = in_order(refuse, range(50))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DatasetError, match=r"^3\.jpg is broken$"):
        next(made)
    wait_for(lambda: not multiprocessing.active_children())


def test_work_that_is_not_wanted_any_more_ends(monkeypatch):
    monkeypatch.setattr(processes, "count_cores", lambda: 2)
    made = in_order(refuse, range(50))
    next(made)
    made.close()
    wait_for(lambda: not multiprocessing.active_children())


def test_a_process_that_is_killed_is_told(monkeypatch):
    monkeypatch.setattr(processes, "count_cores", lambda: 2)
    with pytest.raises(DatasetError, match="was killed or died, mostly for lack of memory; the same command goes on"):
        list(in_order(die, range(4)))


def test_a_script_without_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import operator\nfrom data_pipelines import processes\n"
        "processes.count_cores = lambda: 2\n"
        "print(list(processes.in_order(operator.neg, range(4))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("[0, -1, -2, -3]\n", "")


def wait_for(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
