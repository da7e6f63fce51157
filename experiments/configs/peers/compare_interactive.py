"""The paper's comparison on interactive segmentation (5.1, figure 6 left): accuracy over points, by method.

The claims under test: guidance, fused late and pooled globally, is more accurate than DIOS with very few points; both
exceed the foreground-background network, which sees no point; fine-tuning gains with points, at a cost in time.

    guided_jax sweep --config=compare_interactive --workdir=runs/compare --launcher=local --parallel=jit

on generated images, or on photographs with `--config=compare_interactive:interactive`, where DIOS learns the first
stage of the trunk and what lies behind the trunk.

- `guided`: late, global feature fusion with a metric for each label;
- `dios`: image and distance maps of the clicks in one network, learnt from clicks as DIOS imagines them;
- `foreground-background`: blind to the points;
- `fine-tuning`: the same network, its head fitted to the points of each task.

To read it: rows by positive IU at the same points; a method is ahead where it lies above another one by more than the
spread over seeds. The milliseconds are those of a click of the network; what fine-tuning takes is in each run's
`result.json` (`speed.seconds_per_task`). Clicks of the field's simulated user: `guided_jax clicks` on the runs.
"""

import dataclasses
from collections.abc import Iterator

from experiments.configs.bases import Overrides, base_config, guided_width, learning_first_stage
from experiments.configs.peers.dios import EARLY
from experiments.settings.config import Config, unguided_twin


def get_config(base: str = "generated") -> Config:
    """The base of the sweep, with the paper's points; see `experiments.configs.bases`."""
    config = base_config(base)
    config.model.sharing = "unshared"
    config.eval.points, config.eval.headline = "1,2,4,8,16,32,64,128", "4"
    return config


def get_sweep(base: str = "generated") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    model = get_config(base).model
    twin = dataclasses.asdict(unguided_twin(model))
    blind = {f"model.{name}": value for name, value in twin.items() if value != getattr(model, name)}
    clicks = "clicks*0.5, 1-20*0.5" if base == "generated" else "clicks"
    yield "guided", {}
    yield (
        "dios",
        {**EARLY, "model.head_width": guided_width(base), "data.points": clicks, **learning_first_stage(base, "trunk")},
    )
    yield "foreground-background", blind
    yield "fine-tuning", {**blind, "tune.steps": 100}
