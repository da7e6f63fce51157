"""Videos by a network that is fitted to their annotated frames: as single episodes are fitted."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.episode import Episode
from guided_jax.inference.union import binary_task
from guided_jax.tuning.config import TuneConfig
from guided_jax.tuning.episodes import Start, tuned_labels
from guided_jax.video import VideoSegmentor
from tests.guided_jax.small_models import small_model
from tests.guided_jax.test_video import FRAMES, SIZE, annotate, one_device, segment

HEAD = TuneConfig(steps=30, pixels=16, learning_rate=0.05)
UNGUIDED = {"fusion": "none", "inference": "direct", "sharing": "unshared", "dropout": 0.0}


@pytest.fixture(scope="module")
def network():
    return small_model(**UNGUIDED)


def as_episodes(network, annotation, config, steps):
    """Label maps [t, a, h, w] of episodes whose support is the first frames."""
    model, params = network
    number, shots = len(FRAMES), annotation.shape[1]
    batch = Episode(
        query=FRAMES,
        query_size=np.tile(np.array(SIZE, np.int32), (number, 1)),
        target=np.zeros((number, *SIZE), np.uint8),
        support=np.broadcast_to(FRAMES[:shots], (number, shots, *FRAMES.shape[1:])),
        support_size=np.tile(np.array(SIZE, np.int32), (number, shots, 1)),
        annotation=np.broadcast_to(annotation, (number, *annotation.shape)),
        task_class=np.zeros(number, np.int32),
        index=np.zeros(number, np.uint32),
        real=np.ones(number, bool),
    )
    step = jax.jit(partial(tuned_labels, model=model, config=config, seed=0))
    return np.asarray(step(Start(params, jnp.int32(steps)), batch))


def test_frames_are_single_episodes(network):
    """With all annotated pixels in every update the order that they are drawn in does not matter."""
    annotation = annotate(draws=2, shots=2)
    video = one_device(*network, tune=HEAD, chunk=3)
    found = segment(video, annotation)
    assert np.mean(found != as_episodes(network, annotation, HEAD, 30)) < 0.005
    assert np.mean(found != as_episodes(network, annotation, HEAD, 0)) > 0.05
    assert np.mean(segment(video, annotation, fit=False) != as_episodes(network, annotation, HEAD, 0)) < 0.002
    assert video.compiled() == 3  # with updates or without them it is the same program


def test_several_objects_are_fitted_one_by_one(network):
    annotation = annotate(way=3)
    found = segment(one_device(*network, tune=HEAD, union=True), annotation, way=3)[:, 0]
    tasks = [binary_task(annotation, label) for label in (1, 2)]
    alone = [segment(one_device(*network, tune=HEAD), task)[:, 0] == 1 for task in tasks]
    for label, single, other in ((1, *alone), (2, *alone[::-1])):
        assert (found[single & ~other] == label).mean() > 0.99
    assert not (found[~alone[0] & ~alone[1]] > 0).any()


def test_a_whole_network_is_fitted_to_views_of_the_frame(network):
    config = TuneConfig(steps=6, freeze="", pixels=0, learning_rate=0.02, augment=True)
    annotation = annotate(points=40)
    found = [segment(one_device(*network, tune=config, seed=seed), annotation) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_a_guided_network_is_refused():
    with pytest.raises(ValueError, match=r"model\.fusion=late is guided by it"):
        VideoSegmentor(*small_model(), tune=HEAD)
    VideoSegmentor(*small_model(), tune=TuneConfig(steps=0))
