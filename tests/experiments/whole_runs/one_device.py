"""Commands in a process with a single device, under the compiler settings of this one, whose devices are four."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

PROGRAM = """
import importlib, json, sys
import jax
from experiments.experiment import run
from experiments.settings.command_line import run_app

assert jax.device_count() == 1
for module, *words in json.loads(sys.argv[1]):
    if module == "run":
        assert run_app(run, [module, *words]) == 0
    else:
        importlib.import_module(f"experiments.{module}").main([module, *words])
"""
SETTINGS = {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def other_process(commands: Sequence[Sequence[str]]) -> Iterator[None]:
    """Runs commands, one after the other, beside the body; each is a module of `experiments` and the words after it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        env={**os.environ, **SETTINGS},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield
        _, messages = process.communicate(timeout=600)
        assert process.returncode == 0, messages
    finally:
        process.kill()
        process.communicate()
