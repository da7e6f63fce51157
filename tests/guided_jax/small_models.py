"""Small models, as they initialise themselves or with random parameters in every layer, and batches for them."""

from functools import cache

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.episode import UNKNOWN, Episode, blank_batch
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
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


def make_batch(size=(41, 50), canvas=(48, 56), *, count=4, draws=1, shots=None, seed=0) -> Episode:
    """Random images of one size on a canvas; three positive points and two negative ones a draw and shot."""
    rng = np.random.default_rng(seed)
    (h, w), images = size, (count,) if shots is None else (count, shots)

    def pictures(lead):
        full = np.zeros((*lead, *canvas, 3), np.uint8)
        full[..., :h, :w, :] = rng.integers(0, 256, (*lead, h, w, 3), np.uint8)
        return full

    target = np.full((count, *canvas), UNKNOWN, np.uint8)
    target[:, :h, :w] = rng.integers(0, 2, (count, h, w), np.uint8)
    annotation = np.full((count, draws, shots or 1, *canvas), UNKNOWN, np.uint8)
    for plane in annotation.reshape(-1, *canvas):
        for label in (1, 1, 1, 0, 0):
            plane[rng.integers(h), rng.integers(w)] = label
    sizes = np.tile(np.array(size, np.int32), (count, 1))
    support = None if shots is None else pictures(images)
    support_size = None if shots is None else np.tile(np.array(size, np.int32), (count, shots, 1))
    return Episode(
        query=pictures((count,)),
        query_size=sizes,
        target=target,
        support=support,
        support_size=support_size,
        annotation=annotation,
        task_class=np.arange(count, dtype=np.int32) % 3,
        index=np.arange(count, dtype=np.uint32),
        real=np.ones(count, bool),
    )


def make_model(batch: Episode | None = None, *, randomise=True, **fields) -> tuple[Segmentor, dict]:
    """A small model as it initialises itself; the last layer, then zero, gets random weights so that outputs differ."""
    model = Segmentor(ModelConfig(**{**SMALL, **fields}), CAFFE)
    params = jax.jit(model.init)(jax.random.key(1), batch or make_batch(count=1))["params"]
    if randomise:
        for layer, scale in {"score": 1e-3, "regressor": 1e-6}.items():
            if layer in params["head"]:
                shape = params["head"][layer]["kernel"].shape
                params["head"][layer]["kernel"] = scale * jax.random.normal(jax.random.key(2), shape)
    return model, params


def shapes_of(model: Segmentor, batch: Episode | None = None) -> dict:
    """Shapes of the parameters by path; nothing is computed."""
    params = jax.eval_shape(model.init, jax.random.key(0), batch or blank_batch(64))["params"]
    return flatten_dict(params, sep="/")


@cache
def small_model(seed=0, **fields) -> tuple[Segmentor, dict]:
    """A sound small model, not compiled for its start: parameters are random in every layer, by He, biases too."""
    config = ModelConfig(**{**SMALL, **fields})
    check_model(config)
    model = Segmentor(config, CAFFE)
    rng = np.random.default_rng(seed)

    def draw(path, shape):
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 1
        scale = np.float32(GAIN.get(path, 1.0) * np.sqrt(2 / fan_in))
        # `jnp.asarray` would compile a program for each shape.
        return jax.device_put(scale * rng.standard_normal(shape, np.float32))

    params = {path: draw(path, leaf.shape) for path, leaf in shapes_of(model, blank_batch(16)).items()}
    return model, unflatten_dict(params, sep="/")
