"""Strictness for the whole suite, how it compiles, and where its real data lie."""

import gc
import os
import signal
from pathlib import Path

import jax
import pytest
from absl import flags

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
# The tests compile much and compute little; without these flags compiling takes three times as long. The processes that
# tests start inherit them.
jax.config.update("jax_disable_most_optimizations", True)
COMPILE_FAST = "--xla_cpu_parallel_codegen_split_count=1"
if jax.__version_info__ < (0, 12):  # then they can no longer be switched off, and an unknown flag ends the process
    COMPILE_FAST += " --xla_cpu_use_fusion_emitters=false"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script; the tests' processes inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # for the processes that tests start; JAX is imported here already
os.environ["XLA_FLAGS"] = f"{COMPILE_FAST} {os.environ.get('XLA_FLAGS', '')}"
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
flags.FLAGS.mark_as_parsed()  # grain reads absl flags in its workers


def pytest_configure(config):
    """Workers share their programs, and so do runs after one another; the processes that tests start have others, since
    what is compared between processes shall have nothing in common. `--cache-clear` empties the folder."""
    if cache := getattr(config, "cache", None):
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("programs")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_collection_finish():
    """Tracing makes many objects and few circles of them: looking for circles would take an eighth of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def pytest_sessionfinish():
    """Pytest looks for circles twice more, through all that JAX keeps, after xdist has heard that the worker is done.
    One that then takes five seconds to end is sent a SIGINT by execnet, and prints a KeyboardInterrupt.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with `data/` (VOCdevkit, coco, DAVIS, ECSSD, own_video) and `weights/`."""
    root = os.environ.get("GUIDED_JAX_DATA")
    if not root or not (Path(root) / "data").is_dir():
        pytest.skip("real data: set GUIDED_JAX_DATA to the folder that holds data/ and weights/")
    return Path(root)
