"""Strictness for the whole suite, and where its real data lie."""

import os
from pathlib import Path

import jax
import pytest
from absl import flags

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_disable_most_optimizations", True)  # the tests compile much and compute little
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
flags.FLAGS.mark_as_parsed()  # grain reads absl flags in its workers


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with `data/` (VOCdevkit, coco, DAVIS, ECSSD, own_video) and `weights/`."""
    root = os.environ.get("GUIDED_JAX_DATA")
    if not root or not (Path(root) / "data").is_dir():
        pytest.skip("real data: set GUIDED_JAX_DATA to the folder that holds data/ and weights/")
    return Path(root)
