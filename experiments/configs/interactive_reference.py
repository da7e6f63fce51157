"""Interactive segmentation (paper 5.1) as the reference trains it: `interactive-late-glob` on SBD instances.

    guided_jax run --config=interactive_reference --workdir=runs/reference \
        --config.data.root=DATA --config.weights=WEIGHTS

SBD `train` instances, VGG-16 with fc6 4096 wide on the exact grid of stride 32, SGD with momentum 0.99 and
decay 5e-4 at a constant 1e-5, one episode an update, 100,000 updates, points uniform in 0..99 per label.
`--config=interactive_reference:lite` makes fc6 256 wide and new. Evaluated on VOC val classes; the reference's own
split `valid` is not defined.
"""

from experiments.settings.config import Config, DataConfig, EvalConfig
from experiments.settings.errors import UserError
from guided_jax.model_config import ModelConfig


def get_config(variant: str = "") -> Config:
    """The reference's settings are the defaults of the configuration."""
    if variant not in ("", "lite"):
        raise UserError("the variants are lite and none")
    return Config(
        name="interactive-reference",
        weights="weights/vgg16-00b39a1b.pth",
        data=DataConfig(train="sbd:train:instance", buckets="384x512, 512x384, 512x512"),
        model=ModelConfig(feature_width=256 if variant == "lite" else 4096),
        eval=EvalConfig(source="voc:val:class", points="1,2,4,8,16,32,64,128,dense", headline="1", limit=0, during=0),
    )
