"""Few-shot semantic segmentation (paper 5.2): a class never trained on, from a few annotated images of it.

The paper's claims under test: two labelled pixels come close to the best dense results, and a guide that learnt
from instances, though never from classes, improves with more pixels where one that learnt from classes hardly does.

    guided_jax run --config=few_shot:0 --workdir=runs/few_shot-0 \
        --config.data.root=DATA --config.weights=WEIGHTS

holds PASCAL-5i's fold 0 out of training (5 of the 20 classes of VOC; their pixels stay, as negatives) and evaluates on
these 5; the paper's figure is the mean over the folds 0 to 3. Variants, as `few_shot:0-instances`:

- instances: learns in interactive mode from COCO's instances of all classes but the fold's, evaluated as it is on
  semantic supports ("cross-mode");
- unguided: does not see the support, the floor;
- oracle: learns the fold's classes, too; its result is marked as forced;
- decoder: the spatial decoder (`decoder.py`) in place of the paper's head, learnt from COCO's classes beside VOC's;
- decoder-instances: the same, from pairs of views of COCO's instances: an interactive task poses no other image, and
  shows the decoder where the annotation lies, which a semantic query never does. Two views of one thing are more alike
  than two things of a class, so the trunk's own directions are compared, too, from which the network starts.

By the community's protocols: `--mode=eval --config.eval.protocol=hsnet --config.eval.lists=lists/pascal/val` (which
`guided_jax lists` writes), with `--config.eval.shots=5` for five shots.

VGG-16 lite on cached features, as in `interactive.py`. The reference trains end to end for 100,000 updates and balances
the classes: `--config.data.balance=True`.
"""

from data_pipelines.selection.classes import FOLDS
from experiments.configs import decoder, interactive
from experiments.settings.config import Config, unguided_twin
from experiments.settings.errors import UserError

VARIANTS = ("", "instances", "unguided", "oracle", "decoder", "decoder-instances")


def get_config(text: str = "0") -> Config:
    """Trained on VOC's class masks but a fold's, evaluated on every mask of the fold in VOC val under five draws."""
    fold, _, variant = text.partition("-")
    if fold not in map(str, range(FOLDS)) or variant not in VARIANTS:
        raise UserError(f"write a fold from 0 to 3, and one of {', '.join(VARIANTS[1:])}: 0-oracle")
    config = interactive.get_config()
    config.name = f"few_shot-{text}"
    config.data.train, config.data.mode, config.data.buckets = "voc:trainaug:class", "semantic", "512x512"
    config.data.classes = f"not fold:{fold}"
    config.eval.source, config.eval.mode, config.eval.classes = "voc:val:class", "semantic", f"fold:{fold}"
    config.eval.points, config.eval.headline = "1,2,5,10,20,50,dense", "10"
    config.eval.draws = 5
    if variant == "instances":
        config.data.train, config.data.mode, config.data.max_side = "coco:train2017:instance", "interactive", 512
    elif variant == "unguided":
        config.model = unguided_twin(config.model)
    elif variant.startswith("decoder"):
        _use_decoder(config, from_instances=variant.endswith("instances"))
    elif variant == "oracle":
        config.data.classes, config.eval.force_seen = "", True
    return config


def _use_decoder(config: Config, *, from_instances: bool) -> None:
    """The decoder and its training, on semantic tasks or on views of instances."""
    spatial = decoder.get_config()
    config.model, config.train = spatial.model, spatial.train
    # Similarities alone in part of the episodes: what an image shows by itself is of the classes that were learnt.
    config.model.drop_image = 0.3
    config.train.steps, config.train.corrections = 800, 0
    for field in ("min_area", "evenness", "window", "buckets"):
        setattr(config.data, field, getattr(spatial.data, field))
    config.data.points = "1-5*0.5, 6-50*0.3, dense*0.2"
    if from_instances:
        config.data.train, config.data.mode, config.data.max_side = "coco:train2017:instance", "views", 512
        config.model.principal, config.model.drop_image = 128, 0.5
        config.train.freeze = "trunk, neck/principal"
    else:
        config.data.train = "voc:trainaug:class*2, coco:train2017:class"
