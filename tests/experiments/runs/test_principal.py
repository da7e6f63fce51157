"""Where the fixed representation of the decoder comes from."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.datasets.record import decode_image, to_record
from experiments.experiment import initial_parameters, open_data, open_experiment
from experiments.settings.command_line import parse
from guided_jax.backbones.neck import raw_features
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.backbones.principal import principal_directions
from guided_jax.model_config import geometry_of
from tests.experiments.tiny_weights import write_tiny_weights

DECODER = {"inference": "decoder", "locality": "both", "sharing": "shared", "embedding": 3, "head_width": 4}


def test_the_directions_are_those_of_the_training_images(command, prepared, tmp_path):
    """Orthonormal, of the trunk's own maps, and the same from images and from the cache, which holds float16."""
    write_tiny_weights(tmp_path / "tiny.safetensors", CAFFE)
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "datasets").symlink_to(prepared / "datasets")
    fields = {f"model.{name}": value for name, value in DECODER.items()}
    fields |= {"model.principal": 5, "model.fc6_kernel": 1, "weights": tmp_path / "tiny.safetensors"}
    fields |= {"data.prepared": tmp_path / "prepared", "data.train": "generated:val[:5]:instance"}
    fields |= {"train.freeze": "trunk, neck/principal"}
    kernels = []
    for cached in ("false", "true"):
        words = command(tmp_path / cached, **fields, **{"train.cache_features": cached})
        config = parse(words).config
        experiment, params = open_experiment(config, "jit", *open_data(config, training=True))
        kernels.append(np.asarray(params["neck"]["principal"]["kernel"]))
    start = initial_parameters(config)[1]["neck"]["principal"]["kernel"]
    assert kernels[0].shape == start.shape and np.abs(kernels[0] - start).max() > 0.1
    np.testing.assert_allclose(kernels[0].T @ kernels[0], np.eye(5), atol=1e-5)
    np.testing.assert_allclose(kernels[0], kernels[1], atol=2e-2)
    # Of all five images alike: the greatest directions of the second moments of all of their cells.
    moment, encode = 0.0, jax.jit(partial(experiment.model.apply, {"params": params}, method="trunk_maps"))
    for i in range(5):
        image = jnp.asarray(decode_image(to_record(experiment.train_sources[0].split.records[i]).image))
        sizes = jnp.array([image.shape[:2]], jnp.int32)
        cells = np.asarray(
            raw_features(encode(image[None], sizes), image.shape[:2], sizes, geometry_of(config.model)), np.float64
        )
        moment = moment + np.einsum("bnmc,bnmd->cd", cells, cells)
    np.testing.assert_allclose(kernels[0], principal_directions(moment, 5), atol=1e-3)
