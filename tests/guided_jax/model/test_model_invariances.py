"""What changes no logits of any kind in the model space: the canvas, what lies on it, other draws, the shots' order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor
from tests.guided_jax.small_models import make_batch
from tests.guided_jax.variants import VARIANTS, takes_another_query

SIZE, CANVAS = (21, 26), (24, 32)
# Of another backbone, whose cells lie on other pixels and whose convolutions have a shift behind them.
RESNETS = {
    "resnet-decoder": {"backbone": "resnet-tiny", **VARIANTS["decoder-principal"]},
    "resnet-stacked": {"backbone": "resnet-tiny", "grid": "dilated", "stride": 8, **VARIANTS["early-stack"]},
    "resnet-learned-mask": {"backbone": "resnet-tiny", "layers": "2,4", **VARIANTS["late-learned-mask"]},
}
KINDS = {**VARIANTS, **RESNETS}
SMALL = {"backbone": "vgg-tiny", "grid": "taps", "stride": 4, "feature_width": 8, "fc6_kernel": 3}


def random_network(name, batch):
    """The compiled logits of a variant with random parameters."""
    config = ModelConfig(**{**SMALL, **KINDS[name]})
    check_model(config)
    model, rng = Segmentor(config, CAFFE), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.tree.map(lambda leaf: leaf[:1], batch))

    def draw(leaf):
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.1
        return jnp.asarray(rng.normal(0, scale, leaf.shape), jnp.float32)

    params = jax.tree.map(draw, shapes)
    apply = jax.jit(model.apply)
    return lambda batch: np.asarray(apply(params, batch))


def assert_close(got, expected, tolerance=2e-5):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def scribbled(batch):
    """With other things on the padding: in the images, and points of the annotation."""
    (h, w), outside = SIZE, np.ones(CANVAS, bool)
    outside[:h, :w] = False
    images = [each if each is None else each.copy() for each in (batch.query, batch.support)]
    for image in filter(lambda each: each is not None, images):
        image[..., outside, :] = 177
    annotation = batch.annotation.copy()
    annotation[..., h + 1, 3], annotation[..., 3, w + 2] = 1, 0
    return batch._replace(query=images[0], support=images[1], annotation=annotation)


FORMS = [(name, None) for name in VARIANTS] + [(name, 3) for name in VARIANTS if takes_another_query(name)]
FORMS += [(name, None) for name in RESNETS]


@pytest.mark.parametrize(("name", "shots"), FORMS)
def test_what_changes_no_logits(name, shots):
    options = {"count": 2, "draws": 2, "shots": shots}
    cut, batch = make_batch(SIZE, SIZE, **options), make_batch(SIZE, CANVAS, **options)
    logits_of = random_network(name, batch)
    logits = logits_of(batch)
    assert logits.shape == (2, 2, 2, *CANVAS) and np.isfinite(logits).all()
    assert_close(logits[..., : SIZE[0], : SIZE[1]], logits_of(cut))
    np.testing.assert_array_equal(logits_of(scribbled(batch)), logits)
    turned = batch._replace(annotation=batch.annotation[:, ::-1])
    np.testing.assert_array_equal(logits_of(turned), logits[::-1])
    apart = np.abs(logits[0] - logits[1]).max() / np.abs(logits).max()
    assert apart == 0 if KINDS[name].get("fusion") == "none" else apart > 1e-3
    if shots:
        order = [2, 0, 1]
        turned = batch._replace(support=batch.support[:, order], annotation=batch.annotation[:, :, order])
        assert_close(logits_of(turned), logits)
