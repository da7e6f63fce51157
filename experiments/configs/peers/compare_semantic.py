"""The paper's comparison on few-shot semantic segmentation (5.2, figure 6 right): held-out classes, by method.

The claims under test: two points per label come close to dense annotation; foreground-background is a strong baseline,
and fine-tuning does not improve on it; a guide that learnt from instances gains more from further points than one that
learnt from classes; the oracle, which learnt the classes, sets the ceiling.

    guided_jax sweep --config=compare_semantic:2 --workdir=runs/compare-2 --launcher=local --parallel=jit \
        --config.data.root=DATA --config.weights=WEIGHTS

holds fold 2 of PASCAL-5i out; the paper's figure is the mean over the folds 0 to 3. All are on cached features of a
frozen trunk but `oslsm` and `co-fcn`, whose support encoders learn their first stage. OSLSM is its design on this grid
and schedule (`experiments.configs.peers.oslsm` has its own), learnt from dense masks as it does.

To read it: rows by positive IU at the same points, and by the accumulation `oslsm` in each run's `result.json`, which
is the mean over classes that OSLSM publishes (one shot, dense: 33.6, 55.3, 40.9, 33.5 by fold).
"""

import dataclasses
from collections.abc import Iterator

from experiments.configs import few_shot
from experiments.configs.bases import Overrides, guided_width, learning_first_stage
from experiments.configs.peers.cofcn import SUPPORT
from experiments.configs.peers.oslsm import HASHED, TAMED
from experiments.settings.config import Config
from experiments.settings.fields import differing, flatten


def get_config(fold: str = "0") -> Config:
    """The base of the sweep: guided, learnt from the classes of the other folds."""
    config = few_shot.get_config(fold)
    # As COCO's images need; none of VOC is larger. So that one flag scales those of every variant.
    config.data.max_side = 512
    return config


def get_sweep(fold: str = "0") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    blind = _changes(fold, "unguided")
    yield "guided-by-classes", {}
    yield "guided-by-instances", _changes(fold, "instances")
    learning = learning_first_stage("interactive", "support_trunk")
    width = guided_width("interactive")
    yield "oslsm", {**HASHED, "model.head_width": width, "data.points": "dense", "train.rates": TAMED, **learning}
    yield "co-fcn", {**SUPPORT, **learning}
    yield "foreground-background", blind
    yield "fine-tuning", {**blind, "tune.steps": 100}
    yield "oracle", _changes(fold, "oracle")


def _changes(fold: str, variant: str) -> Overrides:
    """What a variant of `few_shot` changes of its base."""
    base, other = dataclasses.asdict(get_config(fold)), dataclasses.asdict(few_shot.get_config(f"{fold}-{variant}"))
    values = flatten(other)
    return {name: values[name] for name in differing(base, other) if name not in ("name", "data.max_side")}
