"""One of each kind in the model space, as fields over those of `small_models.SMALL`."""

from guided_jax.model_checks import check_mode
from guided_jax.model_config import ModelConfig

EARLY = {"sharing": "unshared"}
REGRESSION = {"inference": "parameter-regression"}
HASHED = {"inference": "hashed-regression", "fusion": "mask", "merge": "union", "way": 2}
DECODER = {"inference": "decoder", "locality": "both", "embedding": 6, "head_width": 4}

VARIANTS = {
    "late": {},
    "late-unshared": {"sharing": "unshared", "merge": "every"},
    "late-maximum": {"pooling": "maximum"},
    "late-learned-mask": {"mask": "learned", "merge": "pooled"},
    "late-interpolated": {"support_grid": "interpolated", "support_stride": 2},
    "late-dilated": {"grid": "exact", "stride": 8, "support_grid": "dilated", "support_stride": 4},
    "late-local": {"locality": "local"},
    "late-local-unshared": {"locality": "local", "sharing": "unshared", "mask": "learned"},
    "late-both": {"locality": "both"},
    "late-both-unshared": {"locality": "both", "sharing": "unshared", "metric": "euclidean"},
    "stacked-discs": {"fusion": "stack", "inference": "direct"},
    "stacked-distance": {"fusion": "stack", "inference": "direct", "encoding": "distance", "head_width": 5},
    "early-stack": {**EARLY, "fusion": "stack", "merge": "pooled"},
    "early-mask": {**EARLY, "fusion": "mask", "pooling": "maximum"},
    "early-local": {**EARLY, "fusion": "stack", "encoding": "distance", "locality": "local"},
    "early-regression": {**EARLY, **REGRESSION, "fusion": "mask"},
    "early-hashed-regression": {**EARLY, **HASHED},
    "regression": REGRESSION,
    "regression-unshared": {**REGRESSION, "sharing": "unshared", "merge": "every"},
    "regression-local": {**REGRESSION, "locality": "local"},
    "prototypes": {"inference": "distance"},
    "prototypes-of-the-trunk": {"inference": "distance", "metric": "euclidean", "feature_width": 0},
    "neighbours": {"inference": "distance", "locality": "local", "support_grid": "interpolated", "support_stride": 2},
    "prototypes-and-neighbours": {"inference": "distance", "locality": "both", "metric": "euclidean"},
    "decoder": {**DECODER, "drop_maps": 0.5},
    "decoder-self-support": {**DECODER, "self_support": 0.6},
    "decoder-principal": {**DECODER, "principal": 5, "drop_image": 0.5},
    "unguided": {"fusion": "none", "inference": "direct"},
    "side-outputs": {"fusion": "none", "inference": "side-outputs", "stride": 2},
}


def takes_another_query(name: str) -> bool:
    """Whether the variant segments other images than the annotated ones."""
    try:
        check_mode(ModelConfig(**VARIANTS[name]), "semantic", "data.mode")
    except ValueError:
        return False
    return True
