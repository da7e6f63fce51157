"""Interactive segmentation (paper 5.1) with a frozen trunk: a useful guide in minutes on a laptop.

The paper's claim under test: guidance that is fused late and pooled globally segments what the dots point
at, and improves with more of them; the foreground-background network sets the floor.

    guided_jax run --config=interactive --workdir=runs/interactive \
        --config.data.root=DATA --config.weights=WEIGHTS

The floor, an unguided network: `--config=interactive:unguided`; the start: `--config.train.steps=0`.
`interactive:unshared` has a metric for each of the two labels: better at a few points, and for two labels alone.
`interactive:clicks` is for an annotator who corrects. It scores a pixel by its similarity to the prototype of each
label and to the nearest click, and learns from clicks that are put where it errs. Guidance that is pooled alone, learnt
from random dots, loses the object at the first negative that looks like it, and no further click brings it back.
VGG-16 lite (fc6 256 wide) on a grid of stride 8 from conv4_3 and conv5_3, whose features are computed
once an image. This departs from the reference, whose grid has stride 32, whose whole network learns by
SGD, one episode at a time, for 100,000 updates.
"""

from experiments.settings.config import Config, DataConfig, EvalConfig, unguided_twin
from experiments.settings.errors import UserError
from guided_jax.learning.config import TrainConfig
from guided_jax.model_config import ModelConfig


def get_config(variant: str = "") -> Config:
    """COCO instances, VOC classes and ECSSD figures in one mixture; evaluated on VOC's val classes."""
    if variant not in ("", "unshared", "clicks", "unguided"):
        raise UserError("the variants are unshared, clicks, unguided and none")
    model = ModelConfig(grid="taps", stride=8, feature_width=256, fc6_kernel=3, init_std=0.0, dropout=0.0)
    if variant == "unshared":
        model.sharing = "unshared"
    config = Config(
        name=f"interactive-{variant}" if variant else "interactive",
        weights="weights/vgg16_imagenet_conv_fp16.npz",
        data=DataConfig(
            train="coco:train2017:instance*2, voc:trainaug[:60%]:class*2, folder@ECSSD:all[:50%]:instance",
            min_area=500,
            points="1-20*0.4, 0-99*0.5, dense*0.1",
            buckets="384x512, 512x384, 512x512",
        ),
        model=unguided_twin(model) if variant == "unguided" else model,
        train=TrainConfig(
            steps=800,
            batch_size=8,
            optimizer="adamw",
            learning_rate=1e-3,
            schedule="cosine",
            warmup=50,
            weight_decay=1e-2,
            clip_norm=1.0,
            freeze="trunk",
            cache_features=True,
            log_every=20,
            checkpoint_every=100,
        ),
        eval=EvalConfig(source="voc:val:class", points="1,2,4,5,8,16,20,32,64,128,dense", headline="5", batch_size=4),
    )
    if variant == "clicks":
        config.model.inference, config.model.locality, config.train.corrections = "distance", "both", 8
        # Without dense annotations, whose every cell would be searched for the nearest.
        config.data.points, config.train.steps = "0*0.4, 1-20*0.6", 300
        config.eval.points = "1,2,5,20,64,128,dense"
    return config
