"""The fields of a model's configuration, and which combinations of their values make a model."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

from guided_jax.backbones.geometry import Geometry
from guided_jax.backbones.position_free import BLANK
from guided_jax.backbones.preprocessing import PREPROCESSINGS
from guided_jax.backbones.table import BACKBONES
from guided_jax.inputs import MOST_LABELS

LARGEST_LAYER = 2**31
"""Values of a layer at most, 8 GiB in float32; the reference's largest, its fc6, has 103 million."""


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


def check_model(config: ModelConfig) -> None:
    """Raises ValueError with the reason where the configuration makes no model."""
    for field in fields(ModelConfig):
        value = getattr(config, field.name)
        if type(value) is not field.type and not (field.type is float and type(value) is int):
            raise ValueError(f"model.{field.name}={value!r} is not of type {field.type.__name__}")
    for field, allowed in CHOICES.items():
        if (value := getattr(config, field)) not in allowed:
            raise ValueError(f"model.{field}={value!r} is not one of {', '.join(allowed)}")
    for field in ("dropout", "drop_maps", "drop_image"):
        if not 0 <= (value := getattr(config, field)) < 1:
            raise ValueError(f"model.{field}={value} is not a rate in [0, 1)")
    if config.way < 2:
        raise ValueError(f"model.way={config.way}: at least 2 labels, the negative and one positive")
    if config.way > MOST_LABELS:
        raise ValueError(f"model.way={config.way}: at most {MOST_LABELS} labels: they are uint8, and 255 is unknown")
    if not math.isfinite(config.init_std):
        raise ValueError(f"model.init_std={config.init_std}: must be a finite number")
    if config.fc6_kernel < 1:
        raise ValueError(f"model.fc6_kernel={config.fc6_kernel}: must be odd, 1 or more")
    for field in ("feature_width", "head_width", "support_stride", "init_std", "embedding", "principal"):
        if (value := getattr(config, field)) < 0:
            raise ValueError(f"model.{field}={value}: must not be negative")
    if not 0 < config.amplitude <= 1e6:
        raise ValueError(f"model.amplitude={config.amplitude}: must be above 0, and at most 1e6")
    if config.init_std > 1e38:
        raise ValueError(f"model.init_std={config.init_std}: at most 1e38, the greatest number of float32")
    try:
        geometry_of(config)
    except ValueError as error:
        layers = ", model.layers" if config.layers else ""
        raise ValueError(f"model.grid, model.stride, model.fc6_kernel{layers}: {error}") from error
    if not config.feature_width and geometry_of(config).fades:
        raise ValueError(
            f"model.feature_width=0: the grid {config.grid!r} is made by fc6; the trunk's own maps need model.grid=taps"
        )
    for reason in _conflicts(config):
        raise ValueError(reason)
    if config.support_grid != "same":
        _check_support_grid(config)
    for names, values in _layers(config).items():
        if values > LARGEST_LAYER:
            named = ", ".join(f"model.{name}={getattr(config, name)}" for name in names)
            raise ValueError(f"{named}: too large, a layer of {values} values; at most {LARGEST_LAYER}")


def _layers(config: ModelConfig) -> dict[tuple[str, ...], int]:
    """The number of values of the largest layers, by the fields that it follows from."""
    if config.inference == "decoder":
        taps = max(trunk_channels(config))
        return {
            ("feature_width",): taps * config.feature_width,
            ("feature_width", "embedding"): config.feature_width * config.embedding,
            ("principal",): taps * 4 * config.principal,
            ("head_width",): 9 * (config.head_width + config.feature_width) * config.head_width,
        }
    channels, labels = feature_channels(config), guidance_labels(config)
    blocks = 1 if config.sharing == "shared" and labels else labels
    regresses = config.inference == "parameter-regression"
    width = head_width(config)
    layers = {("feature_width", "fc6_kernel"): config.fc6_kernel**2 * trunk_channels(config)[-1] * channels}
    if config.inference not in UNTRAINED:
        inputs = channels * (1 if regresses or config.inference == "hashed-regression" else 1 + blocks)
        layers["feature_width", "head_width", "way"] = inputs * width
    if regresses:
        outputs = 1 if config.sharing == "shared" else config.way
        layers["feature_width", "head_width", "way", "inference"] = channels * blocks * outputs * (width + 1)
    return layers


def _conflicts(config: ModelConfig) -> Iterator[str]:
    """The reasons why fields that are sound alone contradict each other."""
    early, backbone = config.fusion in ("stack", "mask"), BACKBONES[config.backbone]
    named = {name: f"model.{name}={getattr(config, name)}" for name in vars(config)}
    fusion, inference, locality = named["fusion"], named["inference"], named["locality"]
    if config.fusion == "none" and config.inference not in UNGUIDED:
        yield f"{fusion}: without an annotation there is nothing to guide by; set model.inference=direct"
    if config.fusion == "stack" and backbone.no_stack:
        yield f"{fusion}: {backbone.no_stack}"
    if config.remat and not backbone.remats:
        yield f"{named['remat']}: {backbone.name} has no blocks to compute again; leave it False"
    yield from _side_conflicts(config, named)
    if config.inference == "direct" and config.fusion not in ("stack", "none"):
        yield (
            f"{inference}: the query's own features hold the annotation under model.fusion=stack only (and none of it "
            "under model.fusion=none)"
        )
    if config.inference in UNGUIDED and config.locality != "global":
        yield f"{locality}: under {inference} there is no guidance to keep positions of; leave it global"
    differ = f"{fusion} represents the support in other features than the query's (paper 4.1)"
    if early and config.inference == "distance":
        yield f"{inference}: {differ}, so distances between them mean nothing; set model.fusion=late"
    if early and config.locality == "both":
        yield f"{locality}: {differ}, so their similarity means nothing; set model.fusion=late, or global"
    if config.fusion == "mask" and config.locality == "local":
        yield f"{locality}: {fusion} shows the support's encoder nothing but the positives; set global"
    if early and config.inference != "direct" and config.sharing == "shared":
        yield f"{named['sharing']}: {fusion} gives one representation of the task, not one a label; set unshared"
    if config.inference == "parameter-regression" and config.locality == "both":
        yield f"{locality}: weights are regressed from global or from local guidance; choose one"
    yield from _decoder_conflicts(config, named)
    yield from _in_context_conflicts(config, named)
    yield from _hashed_conflicts(config, named)
    if config.locality == "local" and config.pooling == "maximum":
        yield f"{named['pooling']}: {locality} pools nothing; leave it average"
    if config.fusion != "stack" and config.encoding != "discs":
        yield f"{named['encoding']}: only model.fusion=stack shows the annotation as channels"
    if config.fusion != "stack" and config.amplitude != 1:
        yield f"{named['amplitude']}: only model.fusion=stack shows the annotation as channels; leave it 1"
    for field, plain in {"mask": "fixed", "support_grid": "same"}.items():
        if config.fusion != "late" and getattr(config, field) != plain:
            yield f"{named[field]}: {fusion} has no mask on the features; leave it {plain}, or set model.fusion=late"
    if config.mask == "learned" and config.pooling == "maximum":
        yield f"{named['mask']}: {named['pooling']} asks only where a mask is, so it would not learn; set fixed"
    if config.mask == "learned" and config.inference == "distance" and config.locality == "local":
        yield f"{named['mask']}: nearest neighbours are kept by the nearest cell, without a mask; leave it fixed"
    if keeps_positions(config) and config.support_grid != "same":
        yield f"{named['support_grid']}: {locality} lays the guidance on the query's cells; leave it same"
    if config.support_grid == "same" and config.support_stride:
        yield f"{named['support_stride']}: model.support_grid=same has the query's stride; leave it 0"
    if config.inference == "distance" and config.head_width:
        yield f"{named['head_width']}: {inference} has no hidden layer; leave it 0"
    if config.feature_width == 0 and config.fusion != "late":
        yield f"{named['feature_width']}: {fusion} needs features that learn; set a width"
    if config.feature_width == 0 and not geometry_of(config).taps:
        yield f"{named['feature_width']}: {named['stride']} lies behind the trunk's last map; choose a finer one"


def _side_conflicts(config: ModelConfig, named: dict[str, str]) -> Iterator[str]:
    if config.inference != "side-outputs":
        return
    inference = named["inference"]
    for field, value in {"fusion": "none", "head_width": 0}.items():
        if getattr(config, field) != value:
            yield f"{named[field]}: {inference} is built for model.{field}={value} alone; set that"
    yield from _tap_conflicts(config, named)
    if not config.feature_width:
        yield f"{named['feature_width']}: {inference} needs a width of its outputs, as 16"


def _tap_conflicts(config: ModelConfig, named: dict[str, str]) -> Iterator[str]:
    geometry = geometry_of(config)
    if geometry.fades:
        yield f"{named['grid']}: {named['inference']} is built for model.grid=taps alone; set that"
    if not geometry.taps:
        yield f"{named['stride']} lies behind the trunk's last map; choose a finer one"


def _hashed_conflicts(config: ModelConfig, named: dict[str, str]) -> Iterator[str]:
    inference = named["inference"]
    if config.inference != "hashed-regression":
        if config.merge == "union":
            yield f"{named['merge']}: only model.inference=hashed-regression keeps the shots apart; leave it annotating"
        return
    for field, value in {"fusion": "mask", "merge": "union", "way": 2}.items():
        if getattr(config, field) != value:
            yield f"{named[field]}: {inference} is built for model.{field}={value} alone; set that"


def _decoder_conflicts(config: ModelConfig, named: dict[str, str]) -> Iterator[str]:
    inference = named["inference"]
    if config.inference != "decoder":
        for field in ("embedding", "principal", "drop_maps", "drop_image"):
            if getattr(config, field):
                yield f"{named[field]}: only model.inference=decoder has it; leave it 0"
        return
    wanted = {"fusion": "late", "locality": "both", "support_grid": "same", "mask": "fixed"}
    wanted |= {"sharing": "shared", "pooling": "average", "metric": "cosine"}
    for field, value in wanted.items():
        if getattr(config, field) != value:
            yield f"{named[field]}: {inference} is built for model.{field}={value} alone; set that"
    yield from _tap_conflicts(config, named)
    for field in ("feature_width", "embedding", "head_width"):
        if not getattr(config, field):
            yield f"{named[field]}: {inference} needs a width there, as 128, 64 and 48"
    if config.principal > (most := sum(trunk_channels(config))):
        yield f"{named['principal']}: the trunk's maps have {most} channels, and no more directions; set at most that"


MOST_CLUSTERS, MOST_POSITIONAL = 64, BLANK**2 - 1


def _in_context_conflicts(config: ModelConfig, named: dict[str, str]) -> Iterator[str]:
    inference = named["inference"]
    if config.inference != "in-context":
        for field in ("clusters", "gram", "backward"):
            if getattr(config, field):
                yield f"{named[field]}: only model.inference=in-context has it; leave it {getattr(ModelConfig, field)}"
    else:
        for field, value in {"fusion": "late", "locality": "both", "metric": "cosine", "head_width": 0}.items():
            if getattr(config, field) != value:
                yield f"{named[field]}: {inference} is built for model.{field}={value} alone; set that"
    if not 0 <= config.clusters <= MOST_CLUSTERS:
        yield f"{named['clusters']}: from 0, the mean alone, to {MOST_CLUSTERS}"
    if config.positional and (config.feature_width or config.inference not in UNTRAINED):
        yield (
            f"{named['positional']}: only the trunk's own maps are without positions: set model.feature_width=0 and "
            "model.inference=in-context"
        )
    if config.positional and not 0 <= config.positional < (most := min(sum(trunk_channels(config)), MOST_POSITIONAL)):
        yield f"{named['positional']}: the trunk's maps have {most} directions; set less, or 0"


def _check_support_grid(config: ModelConfig) -> None:
    if config.support_grid == "dilated" and config.grid == "taps":
        raise ValueError("model.support_grid=dilated: model.grid=taps is not dilated; set interpolated")
    try:
        geometry = support_geometry_of(config)
    except ValueError as error:
        raise ValueError(f"model.support_stride={config.support_stride}: {error}") from error
    if geometry.stride >= config.stride:
        raise ValueError(
            f"model.support_stride={config.support_stride}: must be finer than model.stride={config.stride}"
        )


def check_mode(config: ModelConfig, mode: str, field: str) -> None:
    """Raises ValueError where the model cannot segment the queries of a mode.

    Args:
        config: a sound model.
        mode: interactive, semantic, video or views.
        field: that sets the mode, for the message.
    """
    if mode == "interactive":
        return
    if query_sees_annotation(config):
        raise ValueError(
            f"{field}={mode}: model.fusion=stack with model.inference=direct segments the annotated image itself; "
            "where the query is another image set model.inference=feature-fusion (a support encoder of its own)"
        )
    if keeps_positions(config):
        raise ValueError(
            f"{field}={mode}: model.locality=local keeps the positions of the support, which mean nothing in another "
            "query image (paper 4.1); set model.locality=global or both"
        )
