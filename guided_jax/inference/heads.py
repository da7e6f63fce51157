"""The head of a configuration."""

from collections.abc import Callable

import jax.numpy as jnp

from guided_jax.inference.decoder import Decoder
from guided_jax.inference.distance import Distance
from guided_jax.inference.feature_fusion import FeatureFusion
from guided_jax.inference.hashed_regression import HashedRegression
from guided_jax.inference.in_context import InContext
from guided_jax.inference.linear import Linear
from guided_jax.inference.parameter_regression import ParameterRegression
from guided_jax.model_config import ModelConfig, feature_channels, guidance_labels, head_width

Head = FeatureFusion | ParameterRegression | Distance | Decoder | InContext | Linear
"""A head computes the query's part once by `prepare(features)`; a call with that part and a task gives (scores
[b, k, n, m], regressed weights or None)."""


def make_head(config: ModelConfig, kernel_init: Callable) -> Head:
    """Builds the head.

    Args:
        config: a sound configuration.
        kernel_init: initialises the head's hidden layer, or its only one.
    """
    if config.inference == "distance":
        return Distance(config.metric, config.locality)
    if config.inference == "in-context":
        return InContext(config.clusters or 1, config.gram, config.backward)
    if config.inference == "decoder":
        groups = tuple(filter(None, (config.embedding, config.principal)))
        rates = {field: getattr(config, field) for field in ("drop_maps", "drop_image", "self_support")}
        width, dtype = config.head_width, jnp.dtype(config.dtype)
        return Decoder(config.feature_width, groups, width, learned=1, dtype=dtype, **rates)
    if config.inference == "side-outputs":
        return Linear(feature_channels(config), config.way, kernel_init)
    channels, labels, shared = feature_channels(config), guidance_labels(config), config.sharing == "shared"
    common = {
        "channels": channels,
        "labels": labels,
        "shared": shared,
        "way": config.way,
        "dropout_rate": config.dropout,
        "kernel_init": kernel_init,
        "dtype": jnp.dtype(config.dtype),
    }
    if config.inference == "parameter-regression":
        return ParameterRegression(width=head_width(config), **common)
    if config.inference == "hashed-regression":
        return HashedRegression(width=head_width(config), **common)
    return FeatureFusion(
        width=head_width(config),
        similarity=config.metric if config.locality == "both" else None,
        # The reference's fcn32s keeps the pretrained fc7, and with it the dropout of elements.
        dropout_channels=not (config.inference == "direct" and config.feature_width == 4096),
        **common,
    )
