"""How many parameters a configuration has, and how many of them learn."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
from flax.traverse_util import flatten_dict

from experiments.settings.config import Config
from guided_jax.backbones.preprocessing import PREPROCESSINGS
from guided_jax.episode import blank_batch
from guided_jax.learning.optimizer import find_frozen, read_rates
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
        ValueError: `train.freeze` names no parameter, or all, or `train.rates` is wrong.
    """
    sizes = parameter_sizes(config.model)
    learning = sizes.keys() - find_frozen(sizes, config.train.freeze)
    read_rates(config.train.rates, learning)
    return Parameters(sum(sizes.values()), sum(sizes[path] for path in learning))


def parameter_sizes(config: ModelConfig) -> Mapping[str, int]:
    """The number of values of each parameter of a model, by path."""
    return _sizes(dataclasses.astuple(config))


@functools.cache
def _sizes(fields: tuple) -> Mapping[str, int]:
    config = ModelConfig(*fields)
    model = Segmentor(config, PREPROCESSINGS[config.preprocessing])
    params = jax.eval_shape(model.init, jax.random.key(0), blank_batch(64))["params"]
    return {path: leaf.size for path, leaf in flatten_dict(params, sep="/").items()}
