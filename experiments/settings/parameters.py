"""How many parameters a configuration has, and how many of them learn."""

import dataclasses
import functools
from typing import NamedTuple

import jax

from experiments.settings.config import Config
from guided_jax.backbones.preprocessing import PREPROCESSINGS
from guided_jax.episode import blank_batch
from guided_jax.learning.optimizer import split_frozen
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor


class Parameters(NamedTuple):
    """Numbers of parameters.

    Attributes:
        total: of the model.
        learning: of these, what `train.freeze` leaves to learn.
    """

    total: int
    learning: int


def count_parameters(config: Config) -> Parameters:
    """Counts them without computing any.

    Raises:
        ValueError: `train.freeze` names no parameter, or all.
    """
    return _count(dataclasses.astuple(config.model), config.train.freeze)


@functools.cache
def _count(fields: tuple, freeze: str) -> Parameters:
    config = ModelConfig(*fields)
    model = Segmentor(config, PREPROCESSINGS[config.preprocessing])

    def split(key, batch):
        return split_frozen(model.init(key, batch)["params"], freeze)

    learning, frozen = jax.eval_shape(split, jax.random.key(0), blank_batch(64))
    counts = [sum(leaf.size for leaf in leaves.values()) for leaves in (learning, frozen)]
    return Parameters(sum(counts), counts[0])
