"""Commands as processes of their own, none of which outlives its test; and the numbers that they must come to."""

import importlib
import os
import subprocess
import sys

import jax

# Numbers to the bit need this process's compiler settings and devices in the others.
SETTINGS = {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

STARTED: list[subprocess.Popen] = []
"""By the test that runs; its fixture kills what is left of them."""


# In the process itself: between fork and exec JAX forbids any Python. -B: under the limit Python would cut the byte
# code of what it imports, too, and leave that in the checkout.
LIMITED = "import os, resource, sys; most = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)); "
LIMITED += "os.execv(sys.executable, [sys.executable, '-B', *sys.argv[2:]])"


def begin(words, *, stdout=subprocess.PIPE, largest_file: int = 0, **options) -> subprocess.Popen:
    """Starts `experiments WORDS`; where a number of bytes is given, the system refuses to make a file larger."""
    limited = ["-c", LIMITED, str(largest_file)] if largest_file else []
    kept = programs(read_only=bool(largest_file))
    process = subprocess.Popen(
        [sys.executable, *limited, "-m", "experiments", *words],
        env={**os.environ, **SETTINGS, **kept},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    STARTED.append(process)
    return process


def programs(*, read_only: bool = False) -> dict[str, str]:
    """The environment in which processes share what they compile, though not with this one: what they are compared with
    has its own."""
    if not (folder := jax.config.jax_compilation_cache_dir):
        return {}
    return {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": f"{folder}_of_processes",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9" if read_only else "0",
    }


def end(process: subprocess.Popen) -> str:
    """What a process that must succeed said."""
    _, messages = process.communicate(timeout=240)
    assert process.returncode == 0 and "Traceback" not in messages, messages
    return messages


def here(words) -> None:
    """The same command in this process, which gives the same numbers to the bit and starts none of its own."""
    assert not importlib.import_module(f"experiments.{words[0]}").main(words)
