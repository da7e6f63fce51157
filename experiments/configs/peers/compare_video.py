"""The paper's comparison on video objects (5.3, figure 7 left): accuracy over the seconds a video takes.

The claims under test: guidance takes seconds a video where fine-tuning takes minutes (about 200 times as long), keeps
87 % of its dense accuracy with five points per label, where fine-tuning has little to go by, and gains 60 % over
early fusion; with a dense first frame and all its time fine-tuning is more accurate.

    guided_jax sweep --config=compare_video --workdir=runs/compare-video --launcher=local --parallel=jit \
        --config.data.root=DATA --config.weights=WEIGHTS
    guided_jax video --workdir=runs/compare-video/VARIANT/seed-1337 --points=5 --config.data.root=DATA
    guided_jax report runs/compare-video/*/seed-* --out=report

The sweep trains, and scores a few frames to see that it learnt; the second command scores whole videos, once with
`--points=5` and once with `--points=dense`, since the seconds are those of all its annotations. The report draws
accuracy over seconds. The methods that fit a network to each video take two of the runs, and
`--config.tune.steps=STEPS` in the second command: OSVOS is `osvos-parent` with 200, fine-tuning is
`foreground-background` with 100 (its fields are those of `finetune`). On cached features of a frozen trunk but
`early`, whose support encoder learns its first stage.

- `guided`: late, global feature fusion, learnt from pairs of views of still images, as `video_davis`;
- `early`: the support frame with its annotation in an encoder of its own (`cofcn`);
- `osvos-parent`: side outputs of the last two stages, as `osvos:cached`; OSVOS's own masks: `--predictions=DIR`;
- `foreground-background`: blind to the first frame.
"""

import dataclasses
from collections.abc import Iterator

from experiments.configs import video_davis
from experiments.configs.bases import Overrides, learning_first_stage
from experiments.configs.peers import osvos
from experiments.configs.peers.cofcn import SUPPORT
from experiments.settings.config import Config, unguided_twin

FRAMES = 8
"""Frames of the sweep's own evaluation."""


def get_config(variant: str = "") -> Config:
    """The base of the sweep: `video_davis`, or one of its variants."""
    config = video_davis.get_config(variant)
    config.eval.limit = config.eval.during = FRAMES
    return config


def get_sweep(variant: str = "") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    model, parent = get_config(variant).model, osvos.get_config("cached")
    blind = _changes(model, unguided_twin(model))
    same = {"data.mode": "interactive", "data.flip": True, "eval.mode": "video"}
    yield "guided", {}
    yield "early", {**SUPPORT, **learning_first_stage("interactive", "support_trunk")}
    sides = {f"tune.{name}": value for name, value in dataclasses.asdict(parent.tune).items() if name != "steps"}
    learnt = {f"train.{name}": getattr(parent.train, name) for name in ("steps", "learning_rate", "balance")}
    yield "osvos-parent", {**_changes(model, parent.model), **sides, **learnt, **same}
    yield "foreground-background", {**blind, **same}


def _changes(model, other) -> Overrides:
    values = dataclasses.asdict(other)
    return {f"model.{name}": value for name, value in values.items() if value != getattr(model, name)}
