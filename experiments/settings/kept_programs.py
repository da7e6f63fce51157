"""Compiled programs are kept on disk, so that the same command starts faster the next time."""

import hashlib
import platform
import warnings
from pathlib import Path

import jax

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.weight_downloads import cache_folder

MOST = 2**31
"""Bytes that are kept; beyond them the programs go first that were not used for the longest time."""

WORTH = 0.3
"""Seconds of compilation from which a program is kept."""


def keep_programs() -> None:
    """Lets JAX keep what it compiles in the cache's folder, unless it was told of another one or of none.

    JAX's own `JAX_COMPILATION_CACHE_DIR` names another folder, and `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return
    try:
        folder = cache_folder() / "programs" / processor()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, WeightsError):  # nowhere to keep them: everything works without
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MOST)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH)
    # A full disk or a damaged file costs a compilation, and is no concern of the user's.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


def processor() -> str:
    """A name for what this machine's processor can do: a program for another one may stop with an illegal instruction,
    and homes are shared by machines."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
        able = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    except OSError:
        able = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(able.encode()).hexdigest()[:12]}"
