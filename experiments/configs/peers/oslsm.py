"""OSLSM (Shaban et al. 2017, One-Shot Learning for Semantic Segmentation): a classifier regressed from a masked image.

The paper's claims under test (5.2): OSLSM merges its shots by a union of masks and takes dense masks alone; guidance
from two labelled pixels comes close to what it reaches with dense ones, and from one pixel that learnt from instances
is more accurate than OSLSM with the same (26.4).

    guided_jax run --config=oslsm --workdir=runs/oslsm --parallel=jit

is on generated images, in minutes on a laptop, interactive like the other designs there, learnt from dense masks. After
200 updates of 8 episodes (`--config.train.steps=200 --config.train.batch_size=8 --config.eval.limit=40`) it has a
positive IU of 20.8 from dense masks and 0.0 from five points. Learnt from the other designs' mixture of points it had
found nothing after 80 updates. `oslsm:K` holds fold K of PASCAL-5i out, and learns both VGG-16 branches end to end:

    guided_jax run --config=oslsm:2 --workdir=runs/oslsm-2 --config.data.root=DATA --config.weights=WEIGHTS

Reproduced, from the publication and from `train_ss_os_fc.prototxt`, `solver_ss_os_fc.prototxt` and
`deploy_5shot.prototxt` of lzzcd001/OSLSM:

- the support image times its mask, so that the object alone is seen (it is not cut out there, either); what is not
  annotated is negative by that, as the paper evaluates it with points ("we map all missing annotations to negative");
- the support's branch of VGG-16 up to 1,000 numbers (fc6, fc7, fc8), from these the weights of a logistic regression
  by a fixed hashed layer, and the regression on fc7's 4,096 channels of the query at stride 32
  (`guided_jax.inference.hashed_regression`);
- S shots by the greatest score of the single ones, the OR of their binary outputs; learnt with one shot;
- SGD with momentum 0.99 and decay 5e-4, 10 episodes an update (`iter_size`), rates of the support's branch a tenth of
  the query's and of biases twice the others' (`lr_mult`), dropout of 0.5;
- a learning rate of 1e-10 of a loss that is summed over pixels. Ours is a mean, so it is 1e-10 times 187,500 pixels of
  an image of 375 x 500: 2e-5. The solver allows 1,000,000 updates; 60,000 here, a choice.

Not reproduced: fc6 to fc8 from ImageNet, which the weights at hand lack (fc8 starts at zero, the others at random);
supports of 224 x 224, whose one position at fc6 is a vector: here fc6 sees the whole image, and its cells are pooled by
their maximum, since in a mean over cells that are mostly masked away a small object is lost (`cofcn`); decay without
the biases; 255 as background in the target: void pixels are left out, but for the accumulation `oslsm` in
`result.json`.

Its episodes and its mean over classes: `--mode=eval --config.eval.protocol=oslsm`. To read it: against `few_shot:K`,
and the figures of OSLSM by fold (one shot 33.6, 55.3, 40.9, 33.5; five 35.9, 58.1, 42.7, 39.1).
"""

from data_pipelines.selection.classes import FOLDS
from experiments.configs import few_shot
from experiments.configs.bases import base_config
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import with_overrides
from guided_jax.learning.config import TrainConfig
from guided_jax.model_config import ModelConfig

HASHED = {
    "model.fusion": "mask",
    "model.inference": "hashed-regression",
    "model.merge": "union",
    "model.sharing": "unshared",
    "model.pooling": "maximum",
}
"""Weights regressed from the masked image, and the shots' masks joined."""

TAMED = "head/fc8=1e-6"
"""Rate of the regressing layer under AdamW, where fc6 and fc7 begin by He's rule behind VGG-16's maps.

OSLSM's fc6 to fc8 come from ImageNet, which brings the maps' amplitude of hundreds down to that of one. He's rule keeps
it: on images of 64 pixels the absolute sums of what fc7 gives are 80,000 for the support and 24,000 for the query, and
an update of AdamW moves the scores by the learning rate times their product. At 5e-5, the first step of a warm-up, that
was a loss of 28,506, and it stayed in the thousands for a hundred updates. With this factor an update moves the scores
by about two at the full rate of 1e-3: the loss falls from ln 2 at once, and there is a positive IU after 15 updates.
"""

RATES = "support_.*=0.1, head/(support|fc8).*=0.1, .*bias=2"
"""Of `train_ss_os_fc.prototxt`: the branch that regresses a tenth of the other one, biases twice the kernels."""


def get_config(fold: str = "") -> Config:
    """On generated images, or with a fold of PASCAL-5i held out."""
    if fold not in ("", *map(str, range(FOLDS))):
        raise UserError("write a fold from 0 to 3, or none for generated images")
    config = few_shot.get_config(fold) if fold else base_config("generated")
    if fold:
        # The trunk's padding, fc6 and fc7 are FCN-32s's, as `ModelConfig` has them.
        config.model = ModelConfig()
        config.train = TrainConfig(steps=60_000, batch_size=10, accumulation=10, learning_rate=2e-5, rates=RATES)
        config.eval.batch_size = 1
    else:
        config.train.steps = 600
    config = with_overrides(config, {**HASHED, "data.points": "dense"})
    config.name = f"oslsm-{fold}" if fold else "oslsm"
    return config
