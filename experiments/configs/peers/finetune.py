"""Fine-tuning, the paper's baseline for every task (5): optimise a segmentation network on the support at test time.

The paper's claims under test: guidance reaches more from few points than fine-tuning, which "struggles to optimize over
so few annotations" (5.3); with dense annotation and much time fine-tuning is more accurate; guidance is about 200 times
as fast in video; and in few-shot semantic segmentation fine-tuning does not improve on the foreground-background
network that it starts from (5.2).

    guided_jax run --config=finetune --workdir=runs/finetune --parallel=jit \
        --config.data.root=DATA --config.weights=WEIGHTS

trains the foreground-background network of `interactive`, then fits its head to each task of the evaluation, from the
trained network every time; the result holds the seconds that a task takes. An unguided run need not be trained again:
`--mode=eval --config=few_shot:K-unguided --config.tune.steps=100` on semantic tasks, and for videos
`guided_jax video --config.tune.steps=100`.

- `finetune:imagenet` has no parent network: head and fc6 are new for every task, and learn from the support alone;
- `finetune:end` lets the whole network learn at test time, trunk and all, as the paper's fine-tuning does.

The paper gives no recipe, so the constants are chosen here: AdamW at 1e-3 (1e-5 end to end, for a trunk that is to keep
what it knows), 100 updates on 64 pixels of each label, labels weighing alike however many pixels they have, as in
OSVOS. To read it: a row against the unguided network at the same points (what the support adds), and against
`interactive` over points and time.
"""

from experiments.configs import interactive
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from guided_jax.tuning.config import TuneConfig


def get_config(variant: str = "") -> Config:
    """The unguided twin of `interactive`, fine-tuned on each of VOC's val classes in its image."""
    if variant not in ("", "imagenet", "end"):
        raise UserError("the variants are imagenet, end, and none")
    config = interactive.get_config("unguided")
    config.name = f"finetune-{variant}" if variant else "finetune"
    config.tune = TuneConfig(steps=100)
    config.eval.points = "1,5,20,dense"
    if variant == "imagenet":
        config.train.steps = 0
        config.tune.freeze, config.tune.pixels, config.tune.together = "trunk", 0, 1
    elif variant == "end":
        config.train.cache_features = False
        config.tune = TuneConfig(steps=100, freeze="", learning_rate=1e-5, pixels=0, together=1)
    return config
