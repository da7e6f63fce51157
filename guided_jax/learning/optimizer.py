"""The optimiser, and which parameters learn."""

import math
import re
from collections.abc import Iterable

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
    frozen = find_frozen(flat, freeze)
    learning = {path: value for path, value in flat.items() if path not in frozen}
    return learning, {path: flat[path] for path in frozen}


def find_frozen(paths: Iterable[str], freeze: str) -> set[str]:
    """Which of the paths of parameters do not learn; see `split_frozen` for the rules and errors."""
    frozen: set[str] = set()
    for rule in _rules(freeze):
        frozen |= _matching(rule, paths, "train.freeze")
    if len(frozen) == len(set(paths)):
        raise ValueError(f"train.freeze={freeze!r} freezes every parameter: nothing is left to learn")
    return frozen


def _rules(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _matching(rule: str, paths: Iterable[str], field: str) -> set[str]:
    """The paths that a rule matches from their start; raises ValueError where there is none, or it is no expression."""
    try:
        matched = {path for path in paths if re.match(rule, path)}
    except (re.error, OverflowError, RecursionError, ValueError) as error:  # repeated or nested beyond measure
        raise ValueError(f"{field}: {rule!r} is not a regular expression: {error}") from error
    if not matched:
        raise ValueError(f"{field}: {rule!r} matches no parameter; there are {', '.join(sorted(paths))}")
    return matched


def read_rates(text: str, paths: Iterable[str]) -> dict[str, float]:
    """The factor on the learning rate of each parameter.

    Args:
        text: comma-separated `EXPRESSION=FACTOR`; the factors of all that match a path are multiplied.
        paths: of the parameters that learn.

    Raises:
        ValueError: where a rule is malformed, matches no parameter, or its factor is no number from 0 on.
    """
    factors = dict.fromkeys(paths, 1.0)
    for rule in _rules(text):
        expression, _, number = rule.rpartition("=")
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not expression or not 0 <= factor <= 1e38:
            raise ValueError(f"train.rates: {rule!r} is no rule; write EXPRESSION=FACTOR, as head=0.01")
        for path in _matching(expression, factors, "train.rates"):
            factors[path] *= factor
    return factors


_TRUNK = re.compile(r"(?:support_)?trunk/(?:[a-z]+(\d+(?:_\d+)*)/|norm/)?")


def layer_factors(decay: float, paths: Iterable[str]) -> dict[str, float]:
    """The factor on the learning rate of each parameter by how deep in the trunk it lies.

    As BEiT, MAE and DINOv2 train: `decay` for the last layer that learns, its square for the one before it, and so on.
    Layers (blocks) are what a trunk numbers, as `block7` or `conv3_2`; what it does not number reads the
    image and comes before them. The norm behind all blocks, and what is no part of a trunk, learn at the whole rate.

    Args:
        decay: in (0, 1]; 1: all alike.
        paths: of the parameters that learn.
    """
    matches = {path: _TRUNK.match(path) for path in paths}
    numbers = {path: tuple(map(int, match[1].split("_"))) for path, match in matches.items() if match and match[1]}
    order = sorted(set(numbers.values()), reverse=True)
    behind = {number: place for place, number in enumerate(order, 1)}

    def depth(path: str) -> int:
        if path in numbers:
            return behind[numbers[path]]
        return len(order) + 1 if matches[path] and not matches[path][0].endswith("norm/") else 0

    return {path: decay ** depth(path) for path in matches}


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
    scale = [_scale_rates(config)] if config.rates or config.layer_decay != 1 else []
    rate = learning_rate(config)
    if config.optimizer == "sgd":
        sgd = optax.sgd(rate, momentum=config.momentum or None)
        return optax.chain(*clip, optax.add_decayed_weights(config.weight_decay), sgd, *scale)
    return optax.chain(*clip, optax.adamw(rate, weight_decay=config.weight_decay), *scale)


def _scale_rates(config: TrainConfig) -> optax.GradientTransformation:
    """Scales the update of each parameter, which is linear in the learning rate."""

    def scale(updates: FlatParams, params: FlatParams | None = None) -> FlatParams:
        del params
        factors, layers = read_rates(config.rates, updates), layer_factors(config.layer_decay, updates)
        return {path: update * (factors[path] * layers[path]) for path, update in updates.items()}

    return optax.stateless(scale)
