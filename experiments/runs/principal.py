"""The fixed representation of the spatial decoder: principal directions of the trunk on the training's images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.canvas import choose_canvas, pad_to_canvas, parse_canvases
from data_pipelines.compose import CachedFeatures
from data_pipelines.datasets.record import to_record
from data_pipelines.views import View, view_image, view_key
from experiments.runs.data import OpenSource
from experiments.settings.config import Config
from guided_jax.backbones.neck import raw_features
from guided_jax.backbones.principal import principal_directions
from guided_jax.model_config import geometry_of
from guided_jax.segmentor import Segmentor

IMAGES = 64
"""As many images, spread evenly over each source, tell the directions."""

ROUND = 64
"""Pixels to whose multiples the sides of canvases of cached maps are rounded up."""


def set_principal(
    config: Config, model: Segmentor, params: dict, sources: list[OpenSource], features: CachedFeatures | None
) -> dict:
    """The parameters with the principal directions of the trunk's maps in place, where the model has any.

    Args:
        config: of the experiment.
        model: the network.
        params: of the model, the trunk's weights in place.
        sources: whose images count.
        features: where the trunk's maps are; None: they are computed.

    Raises:
        DatasetError: an image cannot be read, or its features cannot.
    """
    if not config.model.principal:
        return params
    canvases, view = parse_canvases(config.data.buckets), View(config.data.max_side)
    encode = jax.jit(partial(model.apply, {"params": {"trunk": params["trunk"]}}, method="trunk_maps"))
    geometry, moment = geometry_of(config.model), 0.0
    for each in sources:
        rows = np.unique(each.tasks.record)
        for row in rows[np.unique(np.linspace(0, len(rows) - 1, IMAGES).astype(int))].tolist():
            record = to_record(each.split.records[row])
            image = view_image(record, view)
            size = image.shape[:2]
            sizes = jnp.array([size], jnp.int32)
            if features is None:
                canvas = choose_canvas(*size, canvases, name=f"{each.split.name}: image {record.image_id!r}")
                maps = encode(pad_to_canvas(image, canvas, 0)[None], sizes)
            else:
                canvas = tuple(-(-side // ROUND) * ROUND for side in size)
                maps = _lay(features.store.read(view_key(record, view)), canvas, geometry)
            moment = moment + np.asarray(_moment(maps, sizes, canvas=canvas, geometry=geometry), np.float64)
    kernel = principal_directions(moment, config.model.principal)
    neck = {**params["neck"], "principal": {"kernel": jnp.asarray(kernel)}}
    return {**params, "neck": neck}


def _lay(maps, canvas, geometry):
    """Cached maps on a canvas, so that few shapes are compiled."""
    sides = zip(*map(geometry.tap_sizes, canvas), strict=True)
    return tuple(jnp.asarray(pad_to_canvas(each, shape, 0))[None] for each, shape in zip(maps, sides, strict=True))


@partial(jax.jit, static_argnames=("canvas", "geometry"))
def _moment(maps, sizes, *, canvas, geometry):
    """Sum of the outer products of an image's features with themselves."""
    cells = raw_features(maps, canvas, sizes, geometry).astype(jnp.float32)
    cells = cells.reshape(-1, cells.shape[-1])
    return jnp.matmul(cells.T, cells, precision="highest")
