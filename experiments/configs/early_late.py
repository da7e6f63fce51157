"""Early against late fusion, local against global guidance (paper 4.1).

The claim: late fusion, which masks the features of the image by the annotation, is more accurate than early fusion,
which shows the annotation to the network beside the image (stack: DIOS, co-FCN) or blackens what is not annotated
(mask: OSLSM), because support and query share their features and need not learn to be compared; and a click costs
a fraction of a pass, because the features are cached. Local guidance is a choice where the support is the query.

    guided_jax sweep --config=early_late --workdir=runs/early_late --launcher=local

Base: `generated`, or on real images with `--config=early_late:interactive`. All variants have the
same trunk, width of the head, updates and episodes. The early ones have a second encoder but for
`early-stack-direct-*`, where one network sees image and annotation, and segments. `early-mask-global` does not see
the negatives.

To read it: rows by positive IU at the same points. The claim holds where `late-global` lies above every `early-*` by
more than the spread, above all at few points, and its click costs a small part of a whole pass. Few updates favour
what need not be learnt: whether early fusion catches up with more, a longer run says (`--config.train.steps=...`).
"""

from collections.abc import Iterator

from experiments.configs.bases import BASELINE, Overrides, base_config, guided_width, learning_first_stage
from experiments.settings.config import Config


def get_config(base: str = "generated") -> Config:
    """The base of the sweep; see `experiments.configs.bases`."""
    return base_config(base)


def get_sweep(base: str = "generated") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    direct = {
        "model.fusion": "stack",
        "model.inference": "direct",
        "model.sharing": "unshared",
        "model.head_width": guided_width(base),
        **learning_first_stage(base, "trunk"),
    }
    separate = {"model.sharing": "unshared", **learning_first_stage(base, "support_trunk")}
    yield BASELINE, {}
    yield "late-local", {"model.locality": "local"}
    yield "early-stack-direct-discs", {**direct, "model.encoding": "discs"}
    yield "early-stack-direct-distance", {**direct, "model.encoding": "distance"}
    yield "early-stack-global", {**separate, "model.fusion": "stack"}
    yield "early-stack-local", {**separate, "model.fusion": "stack", "model.locality": "local"}
    yield "early-mask-global", {**separate, "model.fusion": "mask"}
