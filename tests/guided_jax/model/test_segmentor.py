from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones import neck
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.backbones.vgg.trunk import Trunk
from guided_jax.episode import blank_batch
from guided_jax.inference import feature_fusion
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor
from tests.guided_jax.small_models import SMALL, make_batch, make_model, shapes_of, small_model

GRIDS = [("taps", 8), ("taps", 4), ("taps", 2), ("exact", 8), ("dilated", 4), ("dilated", 2)]


def apply(model, params, method):
    return jax.jit(partial(model.apply, {"params": params}, method=method), static_argnames=("canvas",))


def logits_of(model, params, batch):
    return np.asarray(jax.jit(model.apply)({"params": params}, batch))


@pytest.mark.parametrize(("grid", "stride"), GRIDS)
def test_the_canvas_does_not_change_the_logits(grid, stride):
    exact, padded = make_batch((41, 50), (41, 50)), make_batch((41, 50), (64, 56))
    model, params = make_model(grid=grid, stride=stride)
    alone, on_canvas = logits_of(model, params, exact), logits_of(model, params, padded)
    assert alone.shape == (1, 4, 2, 41, 50)
    assert np.abs(alone).max() > 1e-3
    np.testing.assert_allclose(on_canvas[..., :41, :50], alone, atol=2e-5 * np.abs(alone).max())


def test_what_lies_on_the_padding_does_not_matter():
    batch = make_batch()
    model, params = make_model()
    noisy = batch.query.copy()
    noisy[:, 41:], noisy[:, :, 50:] = 77, 200
    np.testing.assert_array_equal(
        logits_of(model, params, batch), logits_of(model, params, batch._replace(query=noisy))
    )


def test_dilated_grid_sees_what_the_exact_one_sees():
    """At every second cell the dilated features are those of the undilated net under the same padding."""
    model, params = make_model(grid="exact", stride=8)
    fine, _ = make_model(grid="dilated", stride=4)
    batch = make_batch((64, 72), (64, 72))
    size, pad = np.array([[64, 72]] * 4, np.int32), 4
    wide = np.pad(batch.query, ((0, 0), (pad, 0), (pad, 0), (0, 0)))
    coarse = apply(model, params, "encode")(batch.query, canvas=(64, 72), size=size)
    features = apply(fine, params, "encode")(batch.query, canvas=(64, 72), size=size)
    assert wide.shape[1] == 68
    # Cell c of the fine grid is centred on 4c + 3.5, of the coarse one on 8c + 7.5; away from borders they agree.
    np.testing.assert_allclose(features[:, 3:-2:2, 3:-2:2], coarse[:, 1:-1, 1:-1], atol=1e-4)


def test_the_parameters_of_a_guide_on_several_maps():
    """Their names and shapes are those of every file that was written: one product without bias a further map."""
    config = ModelConfig(**{**SMALL, "stride": 2, "sharing": "unshared"})
    found = {name: leaf.shape for name, leaf in shapes_of(Segmentor(config, CAFFE), blank_batch(16)).items()}
    assert found == {
        "trunk/conv1_1/kernel": (3, 3, 3, 4),
        "trunk/conv1_1/bias": (4,),
        "trunk/conv2_1/kernel": (3, 3, 4, 8),
        "trunk/conv2_1/bias": (8,),
        "trunk/conv3_1/kernel": (3, 3, 8, 8),
        "trunk/conv3_1/bias": (8,),
        "neck/fc6/kernel": (3, 3, 8, 8),
        "neck/fc6/bias": (8,),
        "neck/tap2/kernel": (8, 8),
        "head/fc7/kernel": (24, 24),
        "head/fc7/bias": (24,),
        "head/score/kernel": (24, 2),
        "head/score/bias": (2,),
    }


def test_draws_are_independent():
    batch = make_batch(draws=3)
    model, params = make_model()
    together = logits_of(model, params, batch)
    for draw in range(3):
        alone = logits_of(model, params, batch._replace(annotation=batch.annotation[:, draw : draw + 1]))
        np.testing.assert_allclose(together[draw], alone[0], atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_interactive_support_equals_the_query_given_as_support():
    batch = make_batch()
    model, params = make_model()
    given = batch._replace(support=batch.query[:, None], support_size=batch.query_size[:, None])
    np.testing.assert_allclose(logits_of(model, params, batch), logits_of(model, params, given), atol=1e-5)


def test_unguided_ignores_the_support_and_guided_does_not():
    batch, other = make_batch(), make_batch(seed=1)
    moved = batch._replace(annotation=other.annotation)
    for sharing in ("shared", "unshared"):
        model, params = make_model(sharing=sharing)
        assert np.abs(logits_of(model, params, batch) - logits_of(model, params, moved)).max() > 1e-3
    model, params = make_model(fusion="none", inference="direct")
    np.testing.assert_array_equal(logits_of(model, params, batch), logits_of(model, params, moved))


def test_maps_in_place_of_the_image():
    batch = make_batch()
    model, params = make_model()
    maps = apply(model, params, "trunk_maps")(batch.query, batch.query_size)
    cached = batch._replace(query=tuple(np.asarray(m).astype(np.float16) for m in maps))
    logits = logits_of(model, params, batch)
    np.testing.assert_allclose(logits_of(model, params, cached), logits, atol=5e-3 * np.abs(logits).max())


def test_bfloat16_stays_close():
    batch = make_batch()
    model, params = make_model()
    half, _ = make_model(dtype="bfloat16")
    expected, got = logits_of(model, params, batch), logits_of(half, params, batch)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "vgg17"}, "model.backbone='vgg17' is not one of vgg16"),
        ({"grid": "exact", "stride": 16}, "choose one of 32"),
        ({"dropout": 1.0}, "not a rate"),
        ({"way": 1}, "at least 2 labels"),
        ({"dtype": "float16"}, "model.dtype='float16' is not one of float32, bfloat16"),
    ],
)
def test_impossible_models_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        check_model(ModelConfig(**fields))


def test_an_image_too_small_for_the_grid_is_refused():
    model, params = make_model(grid="exact", stride=8)
    image, size = jnp.zeros((1, 8, 30, 3), jnp.uint8), jnp.array([[8, 30]], jnp.int32)
    with pytest.raises(
        ValueError, match=r"an image of 8x30 px: model.grid=exact with model.stride=8 needs 9 px a side"
    ):
        model.apply({"params": params}, image, (8, 30), size, method="encode")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"grid": "exact", "stride": 8, "support_grid": "dilated", "support_stride": 4},
        {"fusion": "stack", "sharing": "unshared"},
        {"fusion": "mask", "sharing": "unshared"},
        {"fusion": "stack", "inference": "direct"},
        {"fusion": "none", "inference": "direct"},
    ],
    ids=str,
)
def test_every_encoder_sees_the_colours_in_the_order_of_its_weights(fields):
    """Caffe's are blue, green, red; of query and support, whatever else lies beside or over them."""
    model, params = small_model(**fields)
    apart = fields.get("inference") != "direct"
    batch = make_batch((16, 16), (16, 16), count=1, shots=1 if apart else None)
    query = np.full_like(batch.query, (200, 100, 50))
    support = np.full_like(batch.support, (10, 20, 30)) if apart else None
    annotation = np.ones_like(batch.annotation)  # a positive everywhere: masking hides nothing

    def inputs_of_trunks(episode):
        seen = []

        def watch(call, args, kwargs, context):
            if isinstance(context.module, Trunk) and context.method_name == "__call__":
                seen.append(args[0][..., :3].astype(jnp.float32))
            return call(*args, **kwargs)

        with nn.intercept_methods(watch):
            model.apply({"params": params}, episode)
        return seen

    seen = jax.jit(inputs_of_trunks)(batch._replace(query=query, support=support, annotation=annotation))
    pixels = np.unique(np.concatenate([np.asarray(each).reshape(-1, 3) for each in seen]), axis=0)
    mean = np.array([103.939, 116.779, 123.68])
    expected = [np.array([50, 100, 200]) - mean] + [np.array([30, 20, 10]) - mean] * ("fusion" not in fields or apart)
    np.testing.assert_allclose(pixels, sorted(map(tuple, expected)), rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "shots", "dropouts"),
    [
        ({}, 2, 4),  # a query, two shots and a head
        ({}, None, 2),  # query and shot are one
        ({"fusion": "stack", "sharing": "unshared"}, 2, 4),
        ({"fusion": "stack", "sharing": "unshared"}, None, 3),  # an encoder each
    ],
)
def test_every_dropout_of_every_episode_has_a_key_of_its_own(fields, shots, dropouts, monkeypatch):
    """Of queries, shots and heads: the same key would drop the same places of each."""
    model, params = small_model(**fields)
    batch = make_batch((16, 16), (16, 16), count=2, shots=shots)
    used = []

    def watch(values, keys, rate, *, channels):
        used.append(jax.random.key_data(keys))
        return values

    def used_keys(batch, keys):
        model.apply({"params": params}, batch, keys)
        return used

    for module in (neck, feature_fusion):
        monkeypatch.setattr(module, "dropout", watch)
    found = jax.jit(used_keys)(batch, jax.random.split(jax.random.key(0), 2))
    seen = [tuple(key) for keys in found for key in np.asarray(keys).tolist()]
    assert len(seen) == 2 * dropouts
    assert len(set(seen)) == len(seen)
