"""Which combinations of the fields of a model's configuration make a model, and for which tasks."""

import math
from collections.abc import Iterator
from dataclasses import fields

from guided_jax.backbones.position_free import BLANK
from guided_jax.backbones.table import BACKBONES
from guided_jax.inputs import MOST_LABELS
from guided_jax.model_config import (
    CHOICES,
    UNGUIDED,
    UNTRAINED,
    ModelConfig,
    feature_channels,
    geometry_of,
    guidance_labels,
    head_width,
    keeps_positions,
    query_sees_annotation,
    support_geometry_of,
    trunk_channels,
)

LARGEST_LAYER = 2**31
"""Values of a layer at most, 8 GiB in float32; the reference's largest, its fc6, has 103 million."""


def check_model(config: ModelConfig) -> None:
    """Raises ValueError with the reason where the configuration makes no model."""
    for field in fields(ModelConfig):
        value = getattr(config, field.name)
        if type(value) is not field.type and not (field.type is float and type(value) is int):
            raise ValueError(f"model.{field.name}={value!r} is not of type {field.type.__name__}")
    for field, allowed in CHOICES.items():
        if (value := getattr(config, field)) not in allowed:
            raise ValueError(f"model.{field}={value!r} is not one of {', '.join(allowed)}")
    for field in ("dropout", "drop_maps", "drop_image", "self_support"):
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
        for field in ("embedding", "principal", "drop_maps", "drop_image", "self_support"):
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
