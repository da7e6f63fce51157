"""The fields of a model's configuration, and what follows from them."""

from dataclasses import dataclass

from guided_jax.backbones.geometry import Geometry
from guided_jax.backbones.preprocessing import PREPROCESSINGS
from guided_jax.backbones.table import BACKBONES


@dataclass
class ModelConfig:
    """The guided segmentor; the defaults are the reference's `interactive-late-glob`.

    Attributes:
        backbone: name in the table of backbones (`guided_jax.backbones.table`).
        grid: how the feature grid is made: exact, dilated or taps; not every backbone has all of them.
        stride: pixels between the cells of the feature grid.
        layers: which of the trunk's maps are read, by number, as `3,4`; empty: the usual ones of the grid.
        feature_width: channels of fc6's features: 4096, or 256 for the "lite" models, or of each side output; 0: no
            fc6, the trunk's own maps, each scaled to unit length (for prototypes and nearest neighbours without
            training; grid taps).
        fc6_kernel: side of fc6's kernel.
        fusion: how annotation and image meet: late (the annotation is a mask on the features), stack (it is channels
            beside the image's at the input of an encoder), mask (the encoder sees the image where it is positive),
            none (not at all: the foreground-background baseline).
        encoding: what fusion=stack shows of an annotation: discs (dilated points at +-128) or distance (truncated
            distance maps, as DIOS).
        amplitude: factor on these channels, which at 1 are about as large as the image's.
        mask: how late fusion brings an annotation to the feature grid: fixed (by interpolation) or learned.
        support_grid: the feature grid of annotated images under late fusion: same as the query's, or finer, by
            interpolated features (interpolated) or a dilated trunk (dilated).
        support_stride: pixels between the cells of the support's grid where it is finer; else 0.
        locality: what guidance keeps: global (no positions), local (a map over the image, so that support and query
            are one image; with inference=distance every representation, for nearest neighbours), both (global, and
            the head is told the similarity to the nearest representation).
        pooling: how global guidance sums up features: average or maximum.
        merge: how shots become one task: annotating (mean over the shots that annotate the label), every (mean over
            all shots, the reference's unshared form), pooled (mean over the cells of all shots, its early form), union
            (the shots' masks are joined, not their guidance: hashed-regression alone).
        inference: how guidance becomes scores: feature-fusion, parameter-regression, distance (to prototypes where
            guidance is global, to nearest neighbours where it is local), direct (no guidance: from the query's own
            features, with which its annotation is stacked or not), decoder (similarities to both, and the places of
            the annotation, by small convolutions; no head of the paper's), in-context (prototypes of frozen features
            with what was found to help, `guided_jax.inference.in_context`), side-outputs (no guidance: a few channels
            of each of the trunk's stages, as OSVOS), hashed-regression (a logistic regression on the query's features,
            its weights from the masked support through a fixed hash, as OSLSM).
        sharing: shared (one metric scores every label, any number of them) or unshared (one head on all labels).
        metric: similarity of inference=distance and locality=both: cosine or euclidean (squared).
        head_width: channels behind the head's first layer; 0: as the reference: 2 x feature_width shared,
            (1 + way) x feature_width unshared, feature_width direct. Channels of the decoder's convolutions.
        way: number of labels, the negative included.
        dropout: share of values dropped in training, of the features and in the head.
        clusters: prototypes of each label under inference=in-context, the centres of clusters of what is annotated; 0:
            one, the mean.
        gram: whether inference=in-context scores by the labels' Gram matrices, too.
        backward: whether inference=in-context refuses a label where the nearest annotated cell is of another.
        positional: directions of the trunk's own maps that tell the place in the image and are left out; 0: none.
        embedding: channels of the representation that inference=decoder learns to compare by; 0 elsewhere.
        principal: channels of the trunk's own representation, on its principal directions, that the decoder compares by
            as well; 0: none.
        drop_maps: share of the training's episodes in which the decoder is not shown where the annotation lies, so that
            it serves queries that are other images than the annotated ones.
        drop_image: share of the training's episodes in which the decoder sees similarities alone.
        self_support: probability of a label from which on a cell of the query guides the decoder in a second look; 0:
            it looks once.
        init_std: standard deviation of the normal distribution that new layers start from; 0: He's, by the fan-in.
        preprocessing: how images are prepared where no pretrained weights say so: caffe, caffe-ilsvrc or torchvision.
        dtype: type that is computed in: float32 or bfloat16; parameters are float32.
        remat: whether the gradient computes what lies inside the trunk's blocks again in place of keeping it, for
            transformers that learn: a third more time, and a fraction of the memory.
    """

    backbone: str = "vgg16"
    grid: str = "exact"
    stride: int = 32
    layers: str = ""
    feature_width: int = 4096
    fc6_kernel: int = 7
    fusion: str = "late"
    encoding: str = "discs"
    amplitude: float = 1.0
    mask: str = "fixed"
    support_grid: str = "same"
    support_stride: int = 0
    locality: str = "global"
    pooling: str = "average"
    merge: str = "annotating"
    inference: str = "feature-fusion"
    sharing: str = "shared"
    metric: str = "cosine"
    head_width: int = 0
    way: int = 2
    dropout: float = 0.5
    clusters: int = 0
    gram: bool = False
    backward: bool = False
    positional: int = 0
    embedding: int = 0
    principal: int = 0
    drop_maps: float = 0.0
    drop_image: float = 0.0
    self_support: float = 0.0
    init_std: float = 0.001
    preprocessing: str = "caffe"
    dtype: str = "float32"
    remat: bool = False


CHOICES = {
    "backbone": tuple(BACKBONES),
    "fusion": ("late", "stack", "mask", "none"),
    "encoding": ("discs", "distance"),
    "mask": ("fixed", "learned"),
    "support_grid": ("same", "interpolated", "dilated"),
    "locality": ("global", "local", "both"),
    "pooling": ("average", "maximum"),
    "merge": ("annotating", "every", "pooled", "union"),
    "inference": (
        "feature-fusion",
        "parameter-regression",
        "distance",
        "direct",
        "decoder",
        "in-context",
        "side-outputs",
        "hashed-regression",
    ),
    "sharing": ("shared", "unshared"),
    "metric": ("cosine", "euclidean"),
    "preprocessing": tuple(PREPROCESSINGS),
    "dtype": ("float32", "bfloat16"),
}
"""The values of the fields that are choices."""


UNTRAINED = ("distance", "in-context")
"""Kinds of inference that compare features, and learn a temperature at most."""

UNGUIDED = ("direct", "side-outputs")
"""Kinds of inference by which the query's own features alone give the scores."""


def geometry_of(config: ModelConfig) -> Geometry:
    """Where the cells of the query's grid lie."""
    kernel = config.fc6_kernel if config.feature_width else 1
    return BACKBONES[config.backbone].geometry(config.grid, config.stride, kernel, config.layers)


def support_geometry_of(config: ModelConfig) -> Geometry:
    """Where the cells of the support's grid lie; interpolated features lie as those of the grid `taps` do."""
    if config.support_grid == "same":
        return geometry_of(config)
    grid, layers = ("taps", "") if config.support_grid == "interpolated" else ("dilated", config.layers)
    return BACKBONES[config.backbone].geometry(grid, config.support_stride, geometry_of(config).kernel, layers)


def trunk_channels(config: ModelConfig) -> tuple[int, ...]:
    """Channels of each map that the trunk gives."""
    return BACKBONES[config.backbone].channels(geometry_of(config))


def feature_channels(config: ModelConfig) -> int:
    """Channels of the features that guide."""
    if config.inference == "decoder":
        return config.embedding + config.principal
    if config.inference == "side-outputs":
        return config.feature_width * len(geometry_of(config).taps)
    return config.feature_width or sum(trunk_channels(config))


def guides_early(config: ModelConfig) -> bool:
    """Whether a support encoder of its own sees image and annotation together."""
    return config.fusion in ("stack", "mask") and config.inference != "direct"


def query_sees_annotation(config: ModelConfig) -> bool:
    """Whether the query's own encoder sees the annotation of the query itself, stacked at its input."""
    return config.fusion == "stack" and config.inference == "direct"


def places_annotation(config: ModelConfig) -> bool:
    """Whether the head is shown where the annotation of the query itself lies, the encoder not."""
    return config.inference == "decoder"


def keeps_positions(config: ModelConfig) -> bool:
    """Whether guidance is a map over the cells of the image, so that support and query must be one image.

    Nearest neighbours (`inference=distance`) are local, too, but forget where in the support they lay.
    """
    return config.locality == "local" and config.inference != "distance"


def guides_by_coordinates(config: ModelConfig) -> bool:
    """Whether clicks guide by their coordinates alone, without a pass over the annotation as a map."""
    return config.fusion == "late" and config.mask == "fixed"


def guidance_labels(config: ModelConfig) -> int:
    """Number of rows of the task representation: one a label in late fusion, one in all in early fusion."""
    return 0 if config.inference in UNGUIDED else config.way if config.fusion == "late" else 1


def head_width(config: ModelConfig) -> int:
    """Channels behind the head's first layer."""
    if config.inference == "decoder":
        return config.head_width
    if config.inference in ("parameter-regression", "hashed-regression"):
        return config.head_width or feature_channels(config)
    labels = guidance_labels(config)
    blocks = 1 if config.sharing == "shared" and labels else labels
    return config.head_width or feature_channels(config) * (1 + blocks)
