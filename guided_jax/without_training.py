"""A frozen backbone that segments from an example, without any training: `guided_jax.in_context`.

The module is not called `in_context`: importing it would then put itself in the place of the function.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from guided_jax.backbones.neck import raw_features
from guided_jax.backbones.position_free import BLANK, positional_directions
from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.backbones.pretrained import load_into, read_weights
from guided_jax.backbones.table import BACKBONES
from guided_jax.episode import blank_batch
from guided_jax.loaded_model import LoadedModel
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig, geometry_of
from guided_jax.segmentor import Segmentor


def in_context(
    backbone: str,
    weights: str | Path,
    *,
    layers: str = "",
    stride: int = 0,
    clusters: int = 0,
    gram: bool = False,
    backward: bool = False,
    positional: int = 0,
    dtype: str = "float32",
    preprocessing: Preprocessing | str | None = None,
) -> LoadedModel:
    """A model for `Session` and `VideoSegmentor` whose features are those of a pretrained backbone, as they are.

    Options are those of `ModelConfig` with the same names; what each of them is worth is told in docs/models.md.

    Args:
        backbone: name in the table of backbones.
        weights: a file of its weights, the name of published ones, or `hf:ORG/NAME`.
        layers: the trunk's maps that are read, by number, as `18,24`; empty: the last one.
        stride: pixels between the cells of the feature grid; 0: the backbone's usual one.
        clusters: prototypes of each label; 0: one, the mean.
        gram: whether labels' Gram matrices score, too.
        backward: whether a label is refused where the nearest annotated cell is of another.
        positional: directions that tell the place in the image, and are left out.
        dtype: type that is computed in: float32 or bfloat16.
        preprocessing: of images, for weights of unknown origin.

    Raises:
        ValueError: no such backbone, or options that make no model.
        WeightsError: the weights cannot be had, or are of something else.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone {backbone!r} is not one of {', '.join(BACKBONES)}")
    options = {"clusters": clusters, "gram": gram, "backward": backward, "positional": positional, "dtype": dtype}
    config = in_context_config(backbone, layers=layers, **options)
    config.stride = stride or config.stride
    check_model(config)
    pretrained = read_weights(weights, BACKBONES[backbone], preprocessing=preprocessing)
    model = Segmentor(config, pretrained.preprocessing)
    params, _ = load_into(jax.jit(model.init)(jax.random.key(0), blank_batch(64))["params"], pretrained)
    params = place_directions(model, jax.tree.map(jnp.asarray, params))
    return LoadedModel(model, params, {"name": f"{backbone} in context", "step": 0})


def in_context_config(backbone: str, **fields) -> ModelConfig:
    """The configuration of a frozen backbone under `inference=in-context`, other fields given by name."""
    stride = BACKBONES[backbone].usual_stride
    frozen = {"grid": "taps", "stride": stride, "feature_width": 0, "dropout": 0.0}
    return ModelConfig(backbone=backbone, inference="in-context", locality="both", **{**frozen, **fields})


def place_directions(model: Segmentor, params: dict) -> dict:
    """The parameters with the positional directions of the trunk in place, where the model leaves any out.

    They are found in the features of a black image of as many pixels as `BLANK` cells a side take (INSID3's is black,
    too, and of 64 cells).

    Args:
        model: the network.
        params: its parameters, the trunk's weights in place.
    """
    if not model.config.positional:
        return params
    side, geometry = BLANK * model.config.stride, geometry_of(model.config)
    image, size = jnp.zeros((1, side, side, 3), jnp.uint8), jnp.array([[side, side]], jnp.int32)
    encode = jax.jit(partial(model.apply, method="trunk_maps"))
    features = raw_features(encode({"params": {"trunk": params["trunk"]}}, image, size), (side, side), size, geometry)
    cells = np.asarray(features, np.float32).reshape(-1, features.shape[-1])
    directions = positional_directions(cells, model.config.positional)
    return {**params, "neck": {**params.get("neck", {}), "directions": jnp.asarray(directions)}}
