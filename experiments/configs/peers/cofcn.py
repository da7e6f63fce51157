"""co-FCN (Rakelly et al. 2018, Conditional Networks for Few-Shot Semantic Segmentation): early fusion, pooled globally.

The paper's claims under test (4.1, 5.2): guidance that is fused early, by an encoder of its own that sees the support
image with its annotation as further channels, is less accurate and learns more slowly than guidance that is fused
late.

    guided_jax run --config=cofcn --workdir=runs/cofcn --parallel=jit

is on generated images, in minutes on a laptop, interactive like the other designs there. `cofcn:K` holds fold K of
PASCAL-5i out, and learns both VGG-16 encoders end to end:

    guided_jax run --config=cofcn:0 --workdir=runs/cofcn-0 --config.data.root=DATA --config.weights=WEIGHTS

Reproduced: two encoders, both from ImageNet, of which the support's has the annotation as further input channels;
feature fusion by a head of 1x1 convolutions (the reference's `cofeat_early.py`). The schedule of `cofcn:K` is the
reference's for semantic tasks (`train-sem-seg.sh`): SGD at 1e-6, momentum 0.99, decay 5e-4, 100,000 updates of one
episode.

Changed: the support is represented by the maximum over its cells (`model.pooling=maximum`) in place of their mean.
With the mean the network finds nothing in 300 updates of 16 episodes on generated images (three seeds), nor in 400 of
8 with truncated distance maps at four times the amplitude; with the maximum it has a positive IU of 30.5 at 5 points
after 400 updates of 8. How the annotation is shown is not what it lacks: at the start, with five points, 2.6 % of the
variance of the pooled representation tells which object is annotated, and 36 % with those distance maps (late fusion:
45 %). But in a mean every cell weighs alike, and what the few at the points should learn may reach them too thinned.

To read it: against `late-global` of `early_late` on the same images, and against `few_shot:K` on PASCAL-5i.
"""

from data_pipelines.selection.classes import FOLDS
from experiments.configs import few_shot
from experiments.configs.bases import base_config
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import with_overrides
from guided_jax.learning.config import TrainConfig

SUPPORT = {"model.fusion": "stack", "model.sharing": "unshared", "model.pooling": "maximum"}
"""An encoder of the support of its own, which sees the annotation in discs, as the reference's."""


def get_config(fold: str = "") -> Config:
    """On generated images, or with a fold of PASCAL-5i held out."""
    if fold not in ("", *map(str, range(FOLDS))):
        raise UserError("write a fold from 0 to 3, or none for generated images")
    config = with_overrides(few_shot.get_config(fold) if fold else base_config("generated"), SUPPORT)
    config.name = f"cofcn-{fold}" if fold else "cofcn"
    if fold:
        config.train = TrainConfig(learning_rate=1e-6)
        config.eval.batch_size = 1
    else:
        config.train.steps = 600
    return config
