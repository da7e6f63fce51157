"""The reference's models with few channels, so that tests run in seconds; and random state dicts of them."""

import dataclasses

import numpy as np

from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.vgg.trunk import STAGES
from guided_jax.backbones.vgg.unit import VGG
from guided_jax.model_config import CHOICES
from guided_jax.snapshots import layout, models


def make_narrow(monkeypatch):
    """Puts narrow twins in the place of the reference's models: fc6 8 and 6 channels wide for 4096 and 256."""
    stages = tuple((4,) * len(widths) for widths in STAGES["vgg16"])
    monkeypatch.setitem(BACKBONES, "narrow", VGG("narrow", "narrow", stages))
    monkeypatch.setitem(CHOICES, "backbone", tuple(BACKBONES))
    for name, model in models.MODELS.items():
        fields = {"backbone": "narrow", "feature_width": 8 if model.config.feature_width == 4096 else 6}
        if model.config.head_width:
            fields["head_width"] = 5
        config = dataclasses.replace(model.config, **fields)
        monkeypatch.setitem(models.MODELS, name, dataclasses.replace(model, config=config))


def random_state(name: str, *, way: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    """A state dict of a model, of such a scale that logits are about 1."""
    rng = np.random.default_rng(seed)
    model = models.find_model(name, way)
    state = {}
    for module, layer in layout.layers_of(model).items():
        scale = np.sqrt(2 / np.prod(layer.shape[1:])) * (0.02 if "conv1_1" in module else 1.0)
        state[f"{module}.weight"] = rng.normal(0, scale, layer.shape).astype(np.float32)
        state[f"{module}.bias"] = rng.normal(0, 0.1, layer.shape[0]).astype(np.float32)
    state |= layout.fixed_kernels(model)
    return state | {key: np.zeros(shape, np.float32) for key, shape in layout.buffers_of(model).items()}
