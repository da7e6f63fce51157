"""Frozen features of a backbone, in context: few-shot classes, clicks and video objects without any training.

The question: how far pretrained features go by themselves, and what of that which the field adds to them helps.

    guided_jax run --config=in_context:BACKBONE --workdir=runs/in-context \
        --config.data.root=DATA --config.weights=WEIGHTS

evaluates PASCAL-5i (`--config.eval.classes=fold:2` for a fold) with a densely annotated shot, by the head that
`guided_jax.inference.in_context` describes. No update is made; the workdir then serves the commands `clicks`, `video`,
`segment` and `annotate`. A backbone is one of `guided_jax.backbones.table`; without a name it is VGG-16.

The sweep turns on one option at a time, from its baseline (the cosine to the mean of each label), with its source:

- clusters: ten prototypes a label by k-means, their greatest similarity times the mean (FSSDINO, 2026);
- gram: the energy of the query under each label's Gram matrix is one more map (FSSDINO);
- backward: a label is refused where the nearest annotated cell is of another (INSID3, 2026);
- positional: twenty directions that tell the place are left out, found on a black image (INSID3);
- guided-filter: logits follow the edges of the image (He, Sun, Tang 2013);
- finer and coarser layers are `--config.model.layers` and `--config.model.stride`.
"""

from collections.abc import Iterator

from experiments.configs.bases import BASELINE, Overrides
from experiments.settings.config import Config, DataConfig, EvalConfig
from experiments.settings.errors import UserError
from guided_jax.backbones.table import BACKBONES
from guided_jax.learning.config import TrainConfig
from guided_jax.without_training import in_context_config


def get_config(backbone: str = "") -> Config:
    """Evaluated on every mask of VOC's val under one dense shot; no step of training."""
    name = backbone or next(iter(BACKBONES))
    if name not in BACKBONES:
        raise UserError(f"there is no backbone {name!r}; there are {', '.join(BACKBONES)}")
    return Config(
        name=f"in_context-{name}",
        weights="weights/vgg16_imagenet_conv_fp16.npz" if not backbone else "",
        data=DataConfig(train="voc:trainaug:class", mode="semantic", points="dense", buckets="512x512"),
        model=in_context_config(name),
        train=TrainConfig(steps=0),
        eval=EvalConfig(source="voc:val:class", points="dense", draws=1, batch_size=1),
    )


def get_sweep(backbone: str = "") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    del backbone
    yield BASELINE, {}
    yield "clusters", {"model.clusters": 10}
    yield "gram", {"model.gram": True}
    yield "clusters-gram", {"model.clusters": 10, "model.gram": True}
    yield "backward", {"model.backward": True}
    yield "positional", {"model.positional": 20}
    yield "guided-filter", {"eval.guided_filter": True}
