"""A model with its parameters: what `guided_jax.load` gives, and what a session or a video takes."""

from collections.abc import Mapping
from dataclasses import astuple
from functools import cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from flax.traverse_util import flatten_dict

from guided_jax.backbones.preprocessing import CAFFE, Preprocessing
from guided_jax.episode import blank_batch
from guided_jax.inputs import describe, is_array
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor


class LoadedModel(NamedTuple):
    """A model as it was stored.

    Attributes:
        model: the network.
        params: for `model.apply({"params": params}, ...)`, float32.
        about: what is known of the training: `name` of the experiment, `step` (updates done), `trained_classes`,
            `trained_on` (its data), `code` (version), and what else was noted; a key that is not known is absent.
    """

    model: Segmentor
    params: dict
    about: dict[str, Any]

    @property
    def config(self) -> ModelConfig:
        """Of the model."""
        return self.model.config

    @property
    def preprocessing(self) -> Preprocessing:
        """Of the images; the model applies it by itself to RGB of 0 to 255."""
        return self.model.preprocessing


@runtime_checkable
class WithParams(Protocol):
    """Anything that holds a network and its parameters."""

    @property
    def model(self) -> Segmentor:
        """The network."""

    @property
    def params(self) -> dict:
        """Its parameters."""


def model_and_params(model: Segmentor | WithParams, params: dict | None) -> tuple[Segmentor, dict]:
    """The network and its parameters, given as one object or as two.

    Raises:
        ValueError: a network comes without parameters, they are given twice or are not the model's, or the first is no
            model.
    """
    if isinstance(model, Segmentor):
        if params is None:
            raise ValueError("a Segmentor has no parameters of its own: give (model, params), or what load gives")
    elif not isinstance(model, WithParams):
        raise ValueError(f"the model is {describe(model)}; it must be what guided_jax.load gives, or (model, params)")
    elif params is not None:
        raise ValueError("params are given beside a model that holds its own: give one of them")
    else:
        model, params = model.model, model.params
    _check_params(model, params)
    return model, params


def _check_params(model: Segmentor, params: Any) -> None:
    where = "params"
    if not isinstance(params, Mapping):
        raise ValueError(f"{where} is {describe(params)}; it must be a dict, as load gives it in `params`")
    if set(params) == {"params"}:
        raise ValueError(f'{where} is the whole of the variables; give what lies in it: params["params"]')
    leaves = {"/".join(map(str, path)): leaf for path, leaf in flatten_dict(params).items()}
    if strange := next((name for name, leaf in leaves.items() if not is_array(leaf)), None):
        raise ValueError(f"{where}: {strange} is {describe(leaves[strange])}; it must be an array")
    check_shapes(model, {name: tuple(leaf.shape) for name, leaf in leaves.items()}, where)


def check_shapes(model: Segmentor, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raises ValueError where parameters are not the model's.

    Args:
        model: the network.
        shapes: of the parameters by path, as `trunk/conv1_1/kernel`.
        where: the source of the parameters, for the message.
    """
    expected = _expected_shapes(astuple(model.config))
    wrong = [name for name in {**expected, **shapes} if expected.get(name) != shapes.get(name)]
    if wrong:
        first = wrong[0]
        raise ValueError(
            f"{where}: its parameters are not those of its model: {first} is {shapes.get(first, 'missing')}, not "
            f"{expected.get(first, 'a parameter')}" + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        )


@cache
def _expected_shapes(config: tuple) -> Mapping[str, tuple[int, ...]]:
    model = Segmentor(ModelConfig(*config), CAFFE)  # the preprocessing has no parameters
    like = jax.eval_shape(model.init, jax.random.key(0), blank_batch(64))["params"]
    return {name: leaf.shape for name, leaf in flatten_dict(like, sep="/").items()}
