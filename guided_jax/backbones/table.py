"""The backbones by their names: a row each. What a row gives is told in `guided_jax.backbones.backbone`."""

from guided_jax.backbones.backbone import Backbone
from guided_jax.backbones.resnet.unit import RESNETS
from guided_jax.backbones.vgg.unit import VGGS
from guided_jax.backbones.vit.unit import TRANSFORMERS

BACKBONES: dict[str, Backbone] = {each.name: each for each in (*VGGS, *RESNETS, *TRANSFORMERS)}
"""By the values of `model.backbone`."""
