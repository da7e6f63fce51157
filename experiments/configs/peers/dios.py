"""DIOS (Xu et al. 2016, Deep Interactive Object Selection): early fusion of image and clicks.

The paper's claims under test (5.1): guidance that is fused late and pooled globally is more accurate than DIOS with
very few points, and faster to update, since DIOS runs its whole network for every click.

    guided_jax run --config=dios --workdir=runs/dios --config.data.root=DATA --config.weights=WEIGHTS

`dios:generated` is the small network of the quickstart on generated images, in minutes on a laptop; `dios:stage`
learns the first stage of the trunk, which sees the clicks, and the layers behind the trunk alone.

Reproduced: the clicks as two Euclidean distance maps, cut off at 255, beside the image at the input of VGG-16 in
fully convolutional form (section 3.3); positive clicks and the three strategies of negative ones in training, with
the numbers and distances of the publication (section 3.2, `data_pipelines.selection.user_clicks`); SBD's training
instances in the whole configuration, and SGD as the reference trains its early-fusion network (its
`train-interactive.sh`: 1e-5, momentum 0.99, decay 5e-4, 100,000 updates of one image), for DIOS's own schedule of
three stages (FCN-32s, -16s, -8s) is of another loss.

Not reproduced: the refinement of the masks by graph cut (no library that the project keeps has one); skip layers that
are added one after the other (taps of stride 8, all at once); training pairs that are drawn beforehand (drawn anew
here).

To read it: against `interactive` at the same points, and the milliseconds of `guided_jax clicks`.
"""

from experiments.configs import interactive, quickstart
from experiments.configs.bases import learning_first_stage
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import with_overrides
from guided_jax.learning.config import TrainConfig

EARLY = {
    "model.fusion": "stack",
    "model.inference": "direct",
    "model.encoding": "distance",
    "model.sharing": "unshared",
}
"""Early fusion with distance maps, whose own query it segments."""


def get_config(variant: str = "") -> Config:
    """SBD's instances, VGG-16 as a whole; or VOC, COCO and ECSSD; or generated images."""
    if variant not in ("", "stage", "generated"):
        raise UserError("the variants are stage, generated, and none")
    base = quickstart.get_config() if variant == "generated" else interactive.get_config()
    config = with_overrides(base, EARLY)
    config.name = f"dios-{variant}" if variant else "dios"
    config.data.points = "clicks"
    if variant == "generated":
        # The object in 96 x 96 pixels is smaller than a band of 40: dots of any number are mixed in.
        config.data.points = "clicks*0.5, 1-20*0.5"
        return config
    if variant == "stage":
        return with_overrides(config, learning_first_stage("interactive", "trunk"))
    config.data.train = "sbd:train:instance"
    config.train = TrainConfig()
    return config
