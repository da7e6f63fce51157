"""What the experiments on the paper's questions share: the two bases that their variants change."""

from typing import Any

from experiments.configs import interactive, quickstart
from experiments.settings.config import Config, unguided_twin
from experiments.settings.errors import UserError

STEPS = 300
"""Updates of each variant on generated images; fewer than the quickstart's, since there are many."""

TASKS = 300
"""Tasks of the evaluation on generated images, of 716."""

Overrides = dict[str, Any]
"""Other values of a base's fields, by dotted name."""

BASELINE = "late-global"
"""Name of the variant that changes nothing: late fusion, global, feature fusion, shared."""


def base_config(base: str) -> Config:
    """The configuration that every variant starts from.

    Args:
        base: `generated` (images rendered on the spot, a small network, minutes on a laptop) or `interactive`
            (COCO, VOC and ECSSD, VGG-16 lite on cached features).

    Raises:
        UserError: there is no such base.
    """
    if base == "generated":
        config = quickstart.get_config()
        config.model.sharing = "shared"  # the reference's choice for interactive tasks, which the variants change
        config.train.steps = config.train.checkpoint_every = STEPS
        config.eval.points, config.eval.limit, config.eval.during = "1,2,5,20,dense", TASKS, TASKS
        return config
    if base == "interactive":
        return interactive.get_config()
    raise UserError(f"{base!r} is no base; there are: generated, interactive")


def guided_width(base: str) -> int:
    """Width of the guided head's first layer, which heads of another form are given for a fair comparison."""
    return unguided_twin(base_config(base).model).head_width


def learning_first_stage(base: str, trunk: str) -> Overrides:
    """What lets early fusion learn where its base freezes the trunk.

    The first stage of the trunk that sees the annotation learns to take it in; the rest stays as frozen as in late
    fusion. Its features cannot be cached, for every annotation gives others. Nothing where the base freezes nothing.

    Args:
        base: as in `base_config`.
        trunk: the trunk that sees the annotation: `trunk` or `support_trunk`.
    """
    if not base_config(base).train.freeze:
        return {}
    frozen = [f"{trunk}/conv[2-5]"] + ([] if trunk == "trunk" else ["trunk"])
    return {"train.freeze": ", ".join(frozen), "train.cache_features": False}
