"""A spatial decoder in place of the paper's heads: guides that work on a person's own picture.

The question: how much of what limits guided networks is that guidance pooled over the image knows no place, and that a
head of 1x1 convolutions sees one cell (paper 4.1, 4.2)? The decoder (`guided_jax.inference.decoder`) reads similarities
and the places of the annotation by small 3x3 convolutions; encoder, guide and session are as before.

    guided_jax run --config=decoder --workdir=runs/decoder --parallel=jit \
        --config.data.root=DATA --config.weights=WEIGHTS

It learns from clicks put where it errs, on objects of any kind: COCO's instances, VOC's classes, BSDS500's regions,
street scenes and clothes, in windows of the images, rare classes more often than they come. `interactive` and its
variants are the paper's heads on the same features.
"""

from experiments.configs import interactive
from experiments.settings.config import Config
from guided_jax.model_config import ModelConfig

TRAIN = (
    "coco:train2017:instance*4, voc:trainaug[:90%]:class*3, folder@BSDS500:all[:80%]:instance*3, "
    "folder@CamVid:all[:80%]:class, folder@Clothing:all[:80%]:class"
)
"""What is left of VOC and the folders is for choosing, and for scores on things of any kind."""


def get_config() -> Config:
    """Trained on objects of five data sets; evaluated on VOC's val classes."""
    config = interactive.get_config()
    config.name = "decoder"
    config.model = ModelConfig(
        grid="taps",
        stride=8,
        feature_width=128,
        fc6_kernel=1,
        locality="both",
        inference="decoder",
        head_width=48,
        embedding=64,
        drop_maps=0.15,
        init_std=0.0,
        dropout=0.0,
    )
    data, train = config.data, config.train
    data.train, data.min_area, data.evenness, data.window = TRAIN, 200, 0.5, 320
    # Without points an object begins with one click deep inside, as a person's is; a quarter of these stay alone.
    data.points = "0*0.62, 1*0.22, 1-5*0.06, 6-50*0.06, dense*0.04"
    data.buckets = "320x320, 384x512, 512x384, 512x512"
    train.steps, train.corrections, train.correction_stride, train.dice = 3000, 3, 4, 0.5
    train.learning_rate, train.warmup, train.weight_decay, train.checkpoint_every = 2e-3, 100, 1e-2, 100
    config.eval.points = "1,5,20,dense"
    return config
