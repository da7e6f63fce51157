"""A small guided network on generated images: the configuration of `make quickstart`."""

from experiments.settings.config import Config, DataConfig, EvalConfig
from guided_jax.learning.config import TrainConfig
from guided_jax.model_config import ModelConfig


def get_config() -> Config:
    """96x96 images with several objects; which one is meant only the dots say."""
    return Config(
        name="quickstart",
        data=DataConfig(train="generated:train:instance", buckets="96x96", points="1-20*0.4, 0-99*0.5, dense*0.1"),
        model=ModelConfig(
            backbone="vgg-small",
            grid="taps",
            stride=4,
            feature_width=64,
            fc6_kernel=3,
            sharing="unshared",
            init_std=0.0,
            dropout=0.0,
            preprocessing="torchvision",
        ),
        train=TrainConfig(
            steps=600,
            batch_size=16,
            optimizer="adamw",
            learning_rate=3e-3,
            schedule="cosine",
            warmup=50,
            weight_decay=1e-4,
            clip_norm=1.0,
            log_every=50,
            checkpoint_every=200,
        ),
        eval=EvalConfig(
            source="generated:test:instance", points="1,2,4,5,8,16,32,64,dense", headline="5", batch_size=32
        ),
    )
