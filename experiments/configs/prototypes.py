"""Guided inference by distance: prototypes and nearest neighbours (paper 4.2).

The claim: classifying a query's features by their distance to the pooled guidance (prototypes), or to the kept local
representations (nearest neighbours), is less accurate than feature fusion, whose head learns the distance; the paper
finds it difficult to optimise for structured output, perhaps since the features of a task have many modes.

    guided_jax sweep --config=prototypes --workdir=runs/prototypes --launcher=local

Base: `generated`, or on real images with `--config=prototypes:interactive`, where the same is also asked
of the pretrained features themselves, without any training (`untrained-*`). `late-global` is feature fusion,
for comparison. Distances are the cosine or the squared Euclidean, under a learned temperature.

To read it: rows against `late-global` at the same points; prototypes against neighbours over the points (with more of
them, neighbours can follow several modes and a prototype cannot); and `untrained-*` as what the trunk gives
for nothing.
"""

from collections.abc import Iterator

from experiments.configs.bases import BASELINE, Overrides, base_config
from experiments.settings.config import Config

FORMS = {"prototypes": "global", "neighbours": "local", "both": "both"}
"""Locality of the guidance by what the query is compared with."""


def get_config(base: str = "generated") -> Config:
    """The base of the sweep; see `experiments.configs.bases`."""
    return base_config(base)


def get_sweep(base: str = "generated") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    distance = {"model.inference": "distance"}
    yield BASELINE, {}
    for form, locality in FORMS.items():
        for metric in ("cosine", "euclidean"):
            yield f"{form}-{metric}", {**distance, "model.locality": locality, "model.metric": metric}
    if base == "interactive":
        untrained = {**distance, "model.feature_width": 0, "train.steps": 0}
        for form, locality in FORMS.items():
            yield f"untrained-{form}", {**untrained, "model.locality": locality}
