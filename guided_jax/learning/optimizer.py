"""The optimiser, and which parameters learn."""

import re

import jax
import optax
from flax import traverse_util

from guided_jax.learning.config import TrainConfig

FlatParams = dict[str, jax.Array]
"""Parameters by path, as `trunk/conv1_1/kernel`."""


def split_frozen(params: dict, freeze: str) -> tuple[FlatParams, FlatParams]:
    """Splits a parameter tree into what learns and what is frozen.

    Gradients are taken of the first alone, so a frozen trunk costs no backward pass.

    Args:
        params: nested dict of arrays.
        freeze: comma-separated regular expressions, matched from the start of a path.

    Raises:
        ValueError: where an expression matches no parameter or is malformed, or nothing is left to learn.
    """
    flat = traverse_util.flatten_dict(params, sep="/")
    frozen: set[str] = set()
    for rule in filter(None, (part.strip() for part in freeze.split(","))):
        try:
            matched = {path for path in flat if re.match(rule, path)}
        except (re.error, OverflowError, RecursionError, ValueError) as error:  # repeated or nested beyond measure
            raise ValueError(f"train.freeze: {rule!r} is not a regular expression: {error}") from error
        if not matched:
            raise ValueError(f"train.freeze: {rule!r} matches no parameter; there are {', '.join(sorted(flat))}")
        frozen |= matched
    if len(frozen) == len(flat):
        raise ValueError(f"train.freeze={freeze!r} freezes every parameter: nothing is left to learn")
    learning = {path: value for path, value in flat.items() if path not in frozen}
    return learning, {path: flat[path] for path in frozen}


def join(learning: FlatParams, frozen: FlatParams) -> dict:
    """The parameter tree again."""
    return traverse_util.unflatten_dict({**frozen, **learning}, sep="/")


def learning_rate(config: TrainConfig) -> optax.Schedule:
    """Learning rate at each update."""
    peak, steps = config.learning_rate, config.steps
    if config.schedule == "cosine":
        if config.warmup:
            return optax.warmup_cosine_decay_schedule(0.0, peak, config.warmup, max(steps, config.warmup + 1))
        return optax.cosine_decay_schedule(peak, max(steps, 1))
    if config.warmup:
        return optax.linear_schedule(0.0, peak, config.warmup)
    return optax.constant_schedule(peak)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The optimiser of the parameters that learn.

    `sgd` is PyTorch's as the reference uses it: the decay joins the gradient before the momentum,
    without dampening; at momentum 0.99 the effective learning rate is 100 times the nominal one.
    """
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    rate = learning_rate(config)
    if config.optimizer == "sgd":
        sgd = optax.sgd(rate, momentum=config.momentum or None)
        return optax.chain(*clip, optax.add_decayed_weights(config.weight_decay), sgd)
    return optax.chain(*clip, optax.adamw(rate, weight_decay=config.weight_decay))
