"""Small models with random parameters in every layer, without the compilation that their own initialisation takes."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.episode import Episode, blank_batch
from guided_jax.model_config import ModelConfig, check_model
from guided_jax.segmentor import Segmentor

SMALL = {
    "backbone": "vgg-tiny",
    "grid": "taps",
    "stride": 4,
    "feature_width": 8,
    "fc6_kernel": 3,
    "init_std": 0.0,
    "dropout": 0.5,
}
# Images are 0 to 255 in scale: small weights keep the logits near 1.
GAIN = {"head/score/kernel": 1e-2, "head/regressor/kernel": 1e-6, "mask/log_kernel": 0.1, "head/log_temperature": 0.1}


def shapes_of(model: Segmentor, batch: Episode | None = None) -> dict:
    """Shapes of the parameters by path; nothing is computed."""
    params = jax.eval_shape(model.init, jax.random.key(0), batch or blank_batch(64))["params"]
    return flatten_dict(params, sep="/")


@cache
def small_model(seed=0, **fields) -> tuple[Segmentor, dict]:
    """A sound small model, and parameters: by He, biases too."""
    config = ModelConfig(**{**SMALL, **fields})
    check_model(config)
    model = Segmentor(config, CAFFE)
    rng = np.random.default_rng(seed)

    def draw(path, shape):
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 1
        scale = np.float32(GAIN.get(path, 1.0) * np.sqrt(2 / fan_in))
        return jnp.asarray(scale * rng.standard_normal(shape, np.float32))

    params = {path: draw(path, leaf.shape) for path, leaf in shapes_of(model, blank_batch(16)).items()}
    return model, unflatten_dict(params, sep="/")
