"""Video objects on DAVIS (paper 5.3): the annotated first frame guides, and every frame is segmented on its own.

The claim: a guided network segments the objects of a video from the annotation of its first frame without any
optimisation on it, so in seconds where fine-tuning takes minutes (the paper: about 3 s a video against more than 10
minutes), and five points per label do most of what the dense mask does (the paper: 87 % of its accuracy). On the val
split of DAVIS 2017, dense first frame, the paper's network reaches a positive IU of 33.3 %.

    guided_jax run --config=video_davis --workdir=runs/video_davis \
        --config.data.root=DATA --config.weights=WEIGHTS
    guided_jax video --workdir=runs/video_davis --source=davis:val --points=1,5,dense --config.data.root=DATA

The first command trains, and scores positive IU object by object; the second one scores J and F as DAVIS does, all
objects of a video at once. In a sweep (`experiments.sweep`), each variant is a run for the second one.

It trains on still images (COCO, VOC, ECSSD, as `interactive.py`), since few clips are at hand: support and query are
two views of an image, the whole or one of two random crops, which teaches it an object that has moved, grown or
turned. The reference went on from an interactive network on the clips of DAVIS itself:
`--config=video_davis:clips` trains on these alone, support and query frames of one clip, which takes the
60 of the train split of 2017. `video_davis:same` trains on one view, annotated and segmented.

To read it: `late-global` against `unguided`, which finds what is salient (strong where a video shows one object); 5
points against dense; `late-both`, which adds the similarity to the nearest annotated cell, gains where the annotation
is dense; `untrained-*` are the pretrained features themselves.
"""

import dataclasses
from collections.abc import Iterator

from experiments.configs import interactive
from experiments.configs.bases import BASELINE, Overrides
from experiments.settings.config import Config, EvalConfig, unguided_twin
from experiments.settings.errors import UserError

CANVASES = "480x864, 480x928, 480x1152"
"""For the frames of DAVIS at 480p."""


def get_config(variant: str = "") -> Config:
    """Trained on pairs of views of still images; with `clips`, of frames of DAVIS; with `same`, on the images alone."""
    if variant not in ("", "clips", "same"):
        raise UserError("the variants are clips, same, and none")
    config = interactive.get_config()
    config.name = f"video-davis-{variant}" if variant else "video-davis"
    config.data.buckets += f", {CANVASES}"
    if variant == "clips":
        config.data.mode, config.data.train, config.data.flip = "video", "davis:train:instance", True
    elif variant == "same":
        config.data.flip = True
    else:
        config.data.mode = "views"
    # Scored once, at the end: no checkpoint is chosen by it.
    config.eval = EvalConfig(source="davis:val:instance", mode="video", points="1,5,dense", headline="5", batch_size=4)
    return config


def get_sweep(variant: str = "") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    model = get_config(variant).model
    twin = dataclasses.asdict(unguided_twin(model))
    yield BASELINE, {}
    yield "unguided", {f"model.{name}": value for name, value in twin.items() if value != getattr(model, name)}
    yield "late-both", {"model.locality": "both"}
    untrained = {"model.inference": "distance", "model.feature_width": 0, "train.steps": 0}
    for form, locality in {"prototypes": "global", "neighbours": "local", "both": "both"}.items():
        yield f"untrained-{form}", {**untrained, "model.locality": locality}
