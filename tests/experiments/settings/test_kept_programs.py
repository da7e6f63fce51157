"""Compiled programs on disk: in processes, since JAX chooses its cache once."""

import os
import re
import subprocess
import sys

import pytest

from experiments.settings import kept_programs

PROGRAM = """
import jax
from experiments.settings import kept_programs
kept_programs.WORTH = 0.0
kept_programs.keep_programs()
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event.endswith("/cache_hits")))
print(jax.jit(lambda x: x * 3 + 1)(2.0), sum(hits))
"""


def run(cache, **environment):
    environment = {**os.environ, "GUIDED_JAX_CACHE": str(cache), **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    result, hits = done.stdout.split()
    assert float(result) == 7.0
    return int(hits)


def test_the_second_start_compiles_nothing(tmp_path):
    kept = {"JAX_ENABLE_COMPILATION_CACHE": "true"}
    assert run(tmp_path, **kept) == 0
    files = list((tmp_path / "programs" / kept_programs.processor()).glob("*-cache"))
    assert files and run(tmp_path, **kept) == len(files)
    for file in files:
        file.write_bytes(b"damaged")
    assert run(tmp_path, **kept) == 0  # and no word of it


@pytest.mark.parametrize("why", ["told", "no place"])
def test_without_a_place_everything_works(tmp_path, why):
    place = tmp_path / "place"
    if why == "no place":
        place.write_bytes(b"a file")
    assert run(place, JAX_ENABLE_COMPILATION_CACHE="false" if why == "told" else "true") == 0
    assert not place.is_dir()


def test_each_kind_of_processor_has_programs_of_its_own(monkeypatch):
    here = kept_programs.processor()
    assert re.fullmatch(r"\w+-[0-9a-f]{12}", here) and here == kept_programs.processor()
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_: "model name: x\nflags : fpu avx9\n")
    assert kept_programs.processor() != here
