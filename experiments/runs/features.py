"""Computes the features of a frozen trunk once an image, and keeps them on disk."""

import hashlib
import itertools
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import flax.traverse_util
import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from data_pipelines.canvas import choose_canvas, pad_to_canvas, parse_canvases
from data_pipelines.compose import CachedFeatures
from data_pipelines.features.missing import count_images, images_without_features
from data_pipelines.features.store import FeatureStore
from data_pipelines.views import View
from experiments.runs.data import OpenSource
from experiments.settings.config import Config
from guided_jax.model_config import geometry_of, trunk_channels
from guided_jax.segmentor import Segmentor

logger = logging.getLogger(__name__)


def trunk_key(model: Segmentor, trunk: dict) -> str:
    """Name of a trunk: hash of its weights, of the preprocessing, and of the maps that it gives."""
    geometry = geometry_of(model.config).key()
    digest = hashlib.sha256(f"{model.preprocessing.key()} {geometry} {model.config.dtype}".encode())
    for path, value in sorted(flax.traverse_util.flatten_dict(trunk, sep="/").items()):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:16]


def cache_features(
    config: Config, model: Segmentor, params: dict, sources: Sequence[OpenSource], views: Sequence[View]
) -> CachedFeatures:
    """Fills the cache with what is missing of the sources' images, and opens it.

    An interrupted filling goes on where it was. Several hosts share the work by images.

    Args:
        config: of the experiment.
        model: whose trunk computes the features.
        params: of the model.
        sources: whose images are needed.
        views: which of them are needed of each image.
    """
    geometry = geometry_of(config.model)
    canvases = parse_canvases(config.data.buckets)
    channels = trunk_channels(config.model)
    shapes = {
        canvas: tuple(zip(geometry.tap_sizes(canvas[0]), geometry.tap_sizes(canvas[1]), channels, strict=True))
        for canvas in canvases
    }
    store = FeatureStore(Path(config.data.prepared) / "features" / trunk_key(model, params["trunk"]))
    splits = [(each.split, each.tasks) for each in sources]
    missing = partial(images_without_features, store, splits, views)
    encode = partial(jax.jit(partial(model.apply, method="trunk_maps")), {"params": {"trunk": params["trunk"]}})
    fill = partial(_fill, store, geometry, canvases, encode, total=count_images(splits, views))
    hosts, host = jax.process_count(), jax.process_index()
    if hosts > 1:
        # By the key, not by the position: what is missing changes while the other hosts write.
        fill((key, image) for key, image in missing() if int(key[:8], 16) % hosts == host)
        multihost_utils.sync_global_devices("features")
    fill(missing())  # where hosts share no disk, the other hosts' images too
    return CachedFeatures(store, shapes, geometry.tap_sizes)


def _fill(store, geometry, canvases, encode, images, *, total):
    images = iter(images)
    first = next(images, None)
    if first is None:
        return
    logger.info("computing the trunk's features into %s", store.directory)
    pending = None
    bar = tqdm(
        itertools.chain([first], images), desc="features", unit="image", total=total, mininterval=1, disable=None
    )
    for key, image in bar:
        height, width = image.shape[:2]
        canvas = choose_canvas(height, width, canvases)
        maps = encode(pad_to_canvas(image, canvas, 0)[None], np.array([[height, width]], np.int32))
        # One image behind: the device computes the next while this one is written.
        if pending:
            _write(store, geometry, *pending)
        pending = key, maps, (height, width)
    _write(store, geometry, *pending)


def _write(store, geometry, key, maps, size):
    sizes = zip(geometry.tap_sizes(size[0]), geometry.tap_sizes(size[1]), strict=True)
    store.write(key, [np.asarray(each)[0, :h, :w] for each, (h, w) in zip(maps, sizes, strict=True)])
