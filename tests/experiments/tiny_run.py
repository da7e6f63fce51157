"""The workdir of a run that never was: a tiny model of random weights as a checkpoint of step 0."""

from pathlib import Path

import jax

from experiments.configs.quickstart import get_config
from experiments.runs.workdir import open_workdir, record_start
from experiments.settings.fields import with_overrides
from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state
from tests.experiments.conftest import SHRUNK
from tests.guided_jax.small_models import make_model


def make_run(workdir: Path, prepared: Path, **fields) -> Path:
    """Writes it; the keywords override fields, with `__` for the dot."""
    fields = {name.replace("__", "."): value for name, value in fields.items()}
    config = with_overrides(get_config(), {**SHRUNK, "data.prepared": str(prepared), "train.steps": 0, **fields})
    _, params = make_model(**vars(config.model))
    # Images are about 1 in scale here, not 255.
    params = jax.tree.map(lambda leaf: 30 * leaf, params)
    with open_workdir(workdir, config):
        about = record_start(workdir, config, mode="train", parallel="jit", data={})
        kept = Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=0)
        about = {**about, "preprocessing": TORCHVISION.to_dict()}
        kept.save(create_state(params, make_optimizer(config.train), ""), about, None)
        kept.close()
    return workdir
