"""The fields of a training's configuration; the defaults are the reference's."""

from dataclasses import dataclass


@dataclass
class TrainConfig:
    """Optimisation, and how often it is logged, evaluated and saved.

    Attributes:
        steps: number of updates.
        batch_size: number of episodes in an update, over all devices and hosts.
        accumulation: parts into which each device's share of a batch is cut and whose gradients are summed;
            the update is the same, the memory smaller.
        corrections: the most clicks of a simulated user that an update adds to its (interactive) episodes where the
            network errs; each update draws how many. 0: the drawn points alone, as in the paper.
        correction_stride: pixels between the places where these clicks may lie; above 1 they cost less.
        dice: weight of the Dice loss, by which objects count alike whatever their size, beside the cross entropy; 0:
            none, as in the paper.
        balance: the labels of an episode weigh alike in its cross entropy, however many pixels each has, as in OSVOS;
            else every pixel does, as in the paper.
        optimizer: sgd (momentum, decay added to the gradient, as the reference's) or adamw (decoupled decay).
        learning_rate: the greatest learning rate of the schedule.
        rates: factors on the learning rate of the parameters whose path matches, as `head=0.01, .*bias=2`; those of all
            rules that match are multiplied.
        layer_decay: factor on the learning rate from each of the trunk's layers to the one before it, as transformers
            are fine-tuned (0.65 to 0.9); 1: all alike.
        schedule: constant, or cosine (down to 0 at the last step).
        warmup: updates over which the learning rate rises linearly from 0.
        momentum: momentum of sgd.
        weight_decay: factor of the decay of every parameter that learns, biases too.
        clip_norm: greatest norm of the gradient over all parameters; 0: none.
        freeze: comma-separated regular expressions; a parameter whose path (as `trunk/conv1_1/kernel`)
            one of them matches from its start does not learn. `trunk` freezes the trunk.
        cache_features: whether a frozen trunk's features are computed once an image, kept on disk, and trained on.
        log_every: number of updates between log lines.
        evaluate_every: number of updates between evaluations; 0: only at the end.
        checkpoint_every: number of updates between checkpoints.
        keep_last: number of the newest checkpoints that are kept.
        keep_best: number of checkpoints that are kept besides, those of the best positive IU.
        skip_damaged: go on from the newest sound checkpoint where a newer one is damaged; the damaged ones are listed
            and moved to `damaged` in the workdir. Else a damaged one is an error.
    """

    steps: int = 100_000
    batch_size: int = 1
    accumulation: int = 1
    corrections: int = 0
    correction_stride: int = 1
    dice: float = 0.0
    balance: bool = False
    optimizer: str = "sgd"
    learning_rate: float = 1e-5
    rates: str = ""
    layer_decay: float = 1.0
    schedule: str = "constant"
    warmup: int = 0
    momentum: float = 0.99
    weight_decay: float = 5e-4
    clip_norm: float = 0.0
    freeze: str = ""
    cache_features: bool = False
    log_every: int = 20
    evaluate_every: int = 0
    checkpoint_every: int = 4_000
    keep_last: int = 2
    keep_best: int = 1
    skip_damaged: bool = False


MOST = {
    # Counters are int32, and numbers float32.
    **dict.fromkeys(("steps", "log_every", "checkpoint_every", "evaluate_every", "keep_last", "keep_best"), 2**31 - 1),
    **dict.fromkeys(("warmup", "batch_size", "accumulation"), 2**31 - 1),
    **dict.fromkeys(("learning_rate", "weight_decay", "clip_norm", "dice"), 1e38),
    "corrections": 1000,
    "correction_stride": 64,
}
"""The greatest values that can be computed with; far above those of use."""


def check_train(config: TrainConfig, devices: int) -> None:
    """Raises ValueError with the reason where the configuration cannot be trained on `devices` devices."""
    for field, allowed in {"optimizer": ("sgd", "adamw"), "schedule": ("constant", "cosine")}.items():
        if (value := getattr(config, field)) not in allowed:
            raise ValueError(f"train.{field}={value!r} is not one of {', '.join(allowed)}")
    for field in ("batch_size", "accumulation", "log_every", "checkpoint_every", "keep_last", "correction_stride"):
        if (value := getattr(config, field)) < 1:
            raise ValueError(f"train.{field}={value}: at least 1")
    for field in (
        "steps",
        "corrections",
        "dice",
        "warmup",
        "momentum",
        "weight_decay",
        "clip_norm",
        "evaluate_every",
        "keep_best",
        "learning_rate",
    ):
        if (value := getattr(config, field)) < 0:
            raise ValueError(f"train.{field}={value}: must not be negative")
    for field, most in MOST.items():
        if (value := getattr(config, field)) > most:
            raise ValueError(f"train.{field}={value}: at most {most:g}")
    if not 0 < config.layer_decay <= 1:
        raise ValueError(f"train.layer_decay={config.layer_decay}: must be above 0, and at most 1, which is none")
    if config.momentum >= 1:
        raise ValueError(f"train.momentum={config.momentum}: must be below 1, or no gradient is ever forgotten")
    parts = devices * config.accumulation
    if config.batch_size % parts:
        nearest = max(parts, round(config.batch_size / parts) * parts)
        raise ValueError(
            f"train.batch_size={config.batch_size} does not divide over {devices} device(s) x "
            f"train.accumulation={config.accumulation}; {nearest} would"
        )
    if config.cache_features and "trunk" not in [rule.strip() for rule in config.freeze.split(",")]:
        raise ValueError("train.cache_features needs a frozen trunk: set train.freeze=trunk")
