"""Commands as processes of their own; none outlives its test."""

import os
import subprocess
import sys

# Numbers to the bit need this process's compiler settings and devices in the others.
SETTINGS = {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

STARTED: list[subprocess.Popen] = []
"""By the test that runs; its fixture kills what is left of them."""


def begin(words, *, stdout=subprocess.PIPE, **options) -> subprocess.Popen:
    """Starts `experiments WORDS`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *words],
        env={**os.environ, **SETTINGS},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    STARTED.append(process)
    return process


def end(process: subprocess.Popen) -> str:
    """What a process that must succeed said."""
    _, messages = process.communicate(timeout=240)
    assert process.returncode == 0 and "Traceback" not in messages, messages
    return messages
