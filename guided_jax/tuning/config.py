"""The fields of fine-tuning, and what is wrong with them."""

from collections.abc import Iterable
from dataclasses import dataclass

from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import find_frozen, read_rates
from guided_jax.model_config import ModelConfig


@dataclass
class TuneConfig:
    """How the network is fitted to the support of each task, from the same start each time.

    Attributes:
        steps: updates on the support of a task; 0: none, and the network segments as it is.
        freeze: as `train.freeze`: what does not learn here. `trunk, neck` leaves the head alone, which then needs the
            features of the support once.
        optimizer: sgd or adamw, as `train.optimizer`.
        learning_rate: constant.
        rates: factors on the learning rate of the parameters whose path matches, as `head=0.01, .*bias=2`; those of all
            rules that match are multiplied.
        momentum: momentum of sgd.
        weight_decay: as `train.weight_decay`.
        balance: every annotated label weighs alike in the loss; else every annotated pixel does.
        pixels: annotated pixels of each label that an update looks at, others each time; 0: all of them. Above 0 only
            the cells around them are scored, which needs a head that learns alone.
        augment: every update sees the support mirrored, turned and scaled at random, as OSVOS does (half of them
            mirrored, up to 30 degrees, 0.75 to 1.25); it needs a trunk that learns.
        together: tasks that are fitted at a time (`vmap`); 0: all of a batch. Kernels of convolutions that differ
            from task to task are slow on CPUs: 1 is best there unless the head learns alone.
    """

    steps: int = 0
    freeze: str = "trunk, neck"
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    rates: str = ""
    momentum: float = 0.9
    weight_decay: float = 0.0
    balance: bool = True
    pixels: int = 64
    augment: bool = False
    together: int = 0


PARTS = ("trunk", "neck", "head")
"""Of a segmentation network, in their order; the first that learns and all behind it run in every update."""


def first_to_learn(paths: Iterable[str]) -> str:
    """The first part of the network in which a parameter learns, by the paths of those that do."""
    parts = {path.partition("/")[0] for path in paths}
    return next(part for part in PARTS if part in parts)


def optimizer_config(config: TuneConfig) -> TrainConfig:
    """What `guided_jax.learning.optimizer.make_optimizer` takes."""
    names = ("optimizer", "learning_rate", "rates", "momentum", "weight_decay")
    return TrainConfig(**{name: getattr(config, name) for name in names})


def check_tune(config: TuneConfig, model: ModelConfig, paths: Iterable[str], *, cached: bool) -> None:
    """Raises ValueError with the reason where a model cannot be fine-tuned so; steps of 0 are always sound.

    Args:
        config: of the fine-tuning.
        model: a sound model.
        paths: of the model's parameters.
        cached: whether the trunk's maps come in place of images.
    """
    most = {"steps": 2**31 - 1, "pixels": 2**15, "together": 2**31 - 1}
    most |= dict.fromkeys(("learning_rate", "momentum", "weight_decay"), 1e38)
    for field, greatest in most.items():
        if not 0 <= (value := getattr(config, field)) <= greatest:
            raise ValueError(f"tune.{field}={value}: must be from 0 to {greatest:g}")
    if config.momentum >= 1:
        raise ValueError(f"tune.momentum={config.momentum}: must be below 1, or no gradient is ever forgotten")
    if config.optimizer not in ("sgd", "adamw"):
        raise ValueError(f"tune.optimizer={config.optimizer!r} is not one of sgd, adamw")
    if not config.steps:
        return
    try:
        learning = set(paths) - find_frozen(paths, config.freeze)
        read_rates(config.rates, learning)
    except ValueError as error:
        raise ValueError(str(error).replace("train.", "tune.")) from error
    if model.fusion != "none":
        raise ValueError(
            f"tune.steps={config.steps}: fits a segmentation network to the annotation, and model.fusion={model.fusion}"
            " is guided by it; set model.fusion=none and model.inference=direct, or tune.steps=0"
        )
    part = first_to_learn(learning)
    if part == "trunk" and cached:
        raise ValueError(
            f"tune.freeze={config.freeze!r}: the trunk learns at test time, so its features cannot be cached; set "
            "train.cache_features=False, or freeze the trunk"
        )
    if part != "head" and config.pixels:
        raise ValueError(
            f"tune.pixels={config.pixels}: the {part} learns, which sees whole images; set it to 0, or freeze all but "
            "the head"
        )
    if config.augment and part != "trunk":
        raise ValueError(f"tune.augment: the {part} is the first to learn, and what it sees is kept; set it to False")
