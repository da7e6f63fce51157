"""The reference, point by point: what its model does, and where this one departs from it on purpose.

The items are those of the checklist on the model, 1 to 22, in their order; each test's docstring begins with its
item. The reference's defaults, where code and paper differ, are ours, with these exceptions, shown where they belong:
an empty shot is skipped (20), z is a mean over annotating shots in the unshared form, too (19), new layers start from
N(0, 0.001) with zero biases, fc7's too (18), and the default mean pixel is that of VGG's authors (1).
"""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from guided_jax.backbones.neck import Neck, he_normal
from guided_jax.backbones.preprocessing import CAFFE_ILSVRC, normalise
from guided_jax.backbones.pretrained import Pretrained, load_into
from guided_jax.episode import UNKNOWN
from guided_jax.guides import guidance, late
from guided_jax.guides.guidance import Guidance, Task
from guided_jax.inference.heads import make_head
from guided_jax.learning.loss import cross_entropy
from guided_jax.model_checks import check_mode, check_model
from guided_jax.model_config import ModelConfig, geometry_of
from guided_jax.resample import interpolate, label_planes
from guided_jax.segmentor import Segmentor
from tests.guided_jax.backbones.small_weights import LAYERS, only_convs
from tests.guided_jax.guides.sums import add
from tests.guided_jax.model.graphs import equations, named
from tests.guided_jax.small_models import SMALL, make_batch, shapes_of, small_model

EXACT = geometry_of(ModelConfig())

GLOB = {}  # interactive-late-glob, cofeat-late
LOCAL = {"locality": "local"}  # interactive-late
UNSHARED = {"sharing": "unshared"}  # cofeat-late-lite-unshared
COFEAT_EARLY = {"fusion": "stack", "sharing": "unshared", "merge": "pooled"}
LITE_EARLY = {**COFEAT_EARLY, "feature_width": 256, "head_width": 256}  # as the reference's cofeat-early is
INTERACTIVE_EARLY = {"fusion": "stack", "sharing": "unshared", "inference": "direct"}
FCN = {"fusion": "none", "inference": "direct"}  # fcn32s, fgbg


@cache
def shapes(**fields) -> dict:
    """Shapes of the parameters of a model of the reference's own size, by path."""
    config = ModelConfig(preprocessing="caffe-ilsvrc", **fields)
    check_model(config)
    return shapes_of(Segmentor(config, CAFFE_ILSVRC))


@cache
def compiled(method=None, **fields):
    """A small model, its parameters, and one of its methods."""
    model, params = small_model(**fields)
    call = partial(model.apply, {"params": params}, method=method)
    return jax.jit(call, static_argnames=("canvas",))


def logits_of(batch, **fields):
    """Of the only draw: [b, k, h, w]."""
    return np.asarray(compiled(**fields)(batch))[0]


@cache
def watched(**fields):
    """A small model that gives what its necks give, each call: of the query's encoder, and of the support's own."""
    model, params = small_model(**fields)
    watch = {"capture_intermediates": lambda module, _: isinstance(module, Neck), "mutable": "intermediates"}
    return jax.jit(lambda batch, keys: model.apply({"params": params}, batch, keys, **watch)[1]["intermediates"])


def features_of(batch, keys=None, **fields):
    return {name: each["__call__"] for name, each in watched(**fields)(batch, keys).items()}


def annotate(shape, **points) -> np.ndarray:
    """Unknown but for the pixels of `negative` and `positive`."""
    annotation = np.full(shape, UNKNOWN, np.uint8)
    for label, name in enumerate(("negative", "positive")):
        for index in points.get(name, ()):
            annotation[index] = label
    return annotation


def exact_masks(annotation):
    planes = label_planes(jnp.asarray(annotation), 2)
    return np.asarray(late.fixed_masks(planes, EXACT, jnp.array(annotation.shape, jnp.int32)))


def bilinear(stride) -> np.ndarray:
    """The reference's kernel, [2 stride, 2 stride]."""
    profile = 1 - np.abs(np.arange(2 * stride) - (stride - 0.5)) / stride
    return np.outer(profile, profile)


def relu(values):
    return np.maximum(values, 0)


# Geometry and backbone


@cache
def traced_encoder(size):
    """The graph of VGG-16's features at a size of image, and their shape."""
    model, params = Segmentor(ModelConfig(), CAFFE_ILSVRC), unflatten_dict(shapes(), sep="/")
    image, sizes = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8), jax.ShapeDtypeStruct((1, 2), jnp.int32)

    def encode(params, image, size):
        return model.apply({"params": params}, image, (image.shape[1], image.shape[2]), size, method="encode")

    return equations(encode, params, image, sizes), jax.eval_shape(encode, params, image, sizes).shape


def test_item_01_vgg16_and_its_input():
    """1: VGG-16, 13 convolutions and fc6 as a 7x7 one; Caffe's input: BGR, 0-255, minus the mean, no deviation.

    Departure: the default `preprocessing=caffe` is the mean of VGG's authors; `caffe-ilsvrc` is the reference's.
    """
    widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    kernels = {path: leaf.shape for path, leaf in shapes().items() if path.startswith("trunk/") and "kernel" in path}
    names = [f"conv{stage}_{i}" for stage, last in enumerate([2, 2, 3, 3, 3], 1) for i in range(1, last + 1)]
    assert [path.split("/")[1] for path in kernels] == names
    assert list(kernels.values()) == [(3, 3, i, o) for i, o in itertools.pairwise([3, *widths])]
    assert shapes()["neck/fc6/kernel"].shape == (7, 7, 512, 4096)
    pixel = normalise(jnp.array([[[10, 20, 200]]], jnp.uint8), CAFFE_ILSVRC, jnp.float32)
    np.testing.assert_allclose(pixel[0, 0], [200 - 104.01, 20 - 116.67, 10 - 122.68], atol=0.01)


def test_item_02_padding_and_pools():
    """2: All five pools in ceil mode; conv1_1 padded by 81; fc6 not padded; a stride of 32."""
    graph, _ = traced_encoder((97, 130))
    convs = [each.params for each in named(graph, "conv_general_dilated")]
    assert [each["padding"] for each in convs] == [((81, 81),) * 2] + [((1, 1),) * 2] * 12 + [((0, 0),) * 2]
    assert {each["window_strides"] for each in convs} | {each["rhs_dilation"] for each in convs} == {(1, 1)}
    pools = named(graph, "reduce_window_max")
    assert len(pools) == 5
    for pool in pools:
        assert pool.params["window_dimensions"] == pool.params["window_strides"] == (1, 2, 2, 1)
        sides, halves = pool.invars[0].aval.shape[1:3], pool.outvars[0].aval.shape[1:3]
        assert halves == tuple(-(-side // 2) for side in sides)
    assert any(side % 2 for pool in pools for side in pool.invars[0].aval.shape[1:3])  # where ceil and floor differ
    assert EXACT.pad == 81 and EXACT.stride == 32


def test_item_03_sizes():
    """3: For sides 33 to 600 the features have ceil(side / 32) - 1 cells, as the masks have.

    Images with a side below 33 have no cell; data sets that hold one are refused with the reason
    (tests/experiments/runs/test_data.py).
    """
    sides = np.arange(33, 601)
    cells = np.ceil(sides / 32).astype(int) - 1
    np.testing.assert_array_equal(EXACT.cells(sides), cells)
    # fc6 is valid: its map is the last pooling's, less 6 cells.
    np.testing.assert_array_equal(EXACT.stage_sizes(sides)[-1] - 6, cells)
    assert [EXACT.pixel_weights(side).shape for side in sides.tolist()] == list(zip(sides, cells, strict=True))
    for size, shape in {(97, 130): (3, 4), (33, 64): (1, 1), (65, 33): (2, 1)}.items():
        assert traced_encoder(size)[1] == (1, *shape, 4096)
        assert exact_masks(annotate(size)).shape == (2, *shape)
    assert EXACT.minimum_size == 33
    assert EXACT.cells(32) == 0


def test_item_04_upsampling():
    """4: Logits of exactly h x w by the fixed bilinear transposed convolution, cropped at 0; faded at the border."""
    model, params = small_model(grid="exact", stride=8)
    batch = jax.tree.map(jnp.asarray, make_batch((41, 50), (41, 50), count=1))

    def call(module):
        features = module.encode(batch.query, (41, 50), batch.query_size)
        query = module.prepare(features, batch.query_size)
        task = module.merge(module.guide(features[:, None], batch.annotation[:, 0], batch.query_size[:, None]))
        return module.head(query, task, None)[0], module.segment(query, task, (41, 50), batch.query_size)

    scores, logits = jax.jit(lambda: model.apply({"params": params}, method=call))()
    assert scores.shape == (1, 2, 5, 6) and logits.shape == (1, 2, 41, 50)
    expected = np.zeros((2, 8 * 6, 8 * 7))
    for i, j in np.ndindex(5, 6):
        expected[:, 8 * i : 8 * i + 16, 8 * j : 8 * j + 16] += np.asarray(scores)[0, :, i, j, None, None] * bilinear(8)
    np.testing.assert_allclose(logits[0], expected[:, :41, :50], atol=1e-5 * np.abs(scores).max())
    assert set(params) == {"trunk", "neck", "head"}  # no parameter upsamples
    # The reference's own: 32 pixels of fading.
    weights = EXACT.pixel_weights(97)
    up = np.asarray(interpolate(jnp.ones((1, 3, 3)), weights, weights))[0]
    assert up[0, 32] == pytest.approx(0.015625)
    assert up[0, 0] == pytest.approx(0.000244140625)
    assert up[32, 32] == 1.0


def test_item_05_input_channels_of_annotations():
    """5: Early fusion's conv1_1 has 5 input channels; the kernels of the 2 more are the mean of the pretrained 3."""
    kernels = shapes(**INTERACTIVE_EARLY)["trunk/conv1_1/kernel"], shapes(**LITE_EARLY)["support_trunk/conv1_1/kernel"]
    assert {kernel.shape for kernel in kernels} == {(3, 3, 5, 64)}
    pretrained = LAYERS["conv1_1"]["kernel"]
    trunk = {name: jax.tree.map(jnp.zeros_like, layer) for name, layer in only_convs(LAYERS).items()}
    trunk["conv1_1"]["kernel"] = jnp.zeros((3, 3, 5, pretrained.shape[-1]))
    loaded, _ = load_into({"trunk": trunk}, Pretrained(only_convs(LAYERS), CAFFE_ILSVRC, "0" * 64, "a file", "conv1_1"))
    kernel = loaded["trunk"]["conv1_1"]["kernel"]
    np.testing.assert_array_equal(kernel[:, :, :3], pretrained)
    for channel in (3, 4):
        np.testing.assert_allclose(kernel[:, :, channel], pretrained.mean(2), rtol=1e-5, atol=1e-7)


# The late guide


def test_item_06_masks():
    """6: A mask is the annotation, padded by 31 below and right, under the normalised 64x64 kernel at stride 32.

    A lone point inside touches four cells, with 9.766e-4 in all before it is normalised.
    """
    lone = exact_masks(annotate((480, 640), positive=[(200, 300)]))
    assert lone.shape == (2, 14, 19)
    assert not lone[0].any()
    # 8.5 and 23.5 pixels from the centres of rows 5 and 6, 12.5 and 19.5 from those of columns 8 and 9.
    four = np.outer([23.5, 8.5], [19.5, 12.5]) / 32**4
    np.testing.assert_allclose(lone[1, 5:7, 8:10], four, rtol=1e-6)
    assert np.count_nonzero(lone) == 4
    assert lone.sum() == pytest.approx(9.766e-4, rel=1e-4)
    rng = np.random.default_rng(0)
    annotation = rng.choice(np.array([0, 1, UNKNOWN], np.uint8), (97, 130))
    for label, mask in enumerate(exact_masks(annotation)):
        plane = np.pad(annotation == label, ((0, 31), (0, 31)))
        windows = np.lib.stride_tricks.sliding_window_view(plane, (64, 64))[::32, ::32]
        np.testing.assert_allclose(mask, np.einsum("nmij,ij->nm", windows, bilinear(32) / 1024), rtol=1e-5)


def test_item_07_masks_are_normalised_alone():
    """7: Each mask is normalised per image and per label, with 1e-6 inside the denominator.

    Kept for parity: a point in the corner gives 0.19 of its feature. The reference sums over a batch; we do not.
    """
    inside, edge, corner = [(200, 300)], [(0, 320)], [(0, 0)]
    pairs = [(inside, corner), (edge, inside), ([*inside, *edge, *corner], [])]
    annotations = np.stack([annotate((480, 640), negative=a, positive=b) for a, b in pairs])
    planes, sizes = label_planes(jnp.asarray(annotations), 2), jnp.full((3, 2), jnp.array([480, 640], jnp.int32))
    masks = late.fixed_masks(planes, EXACT, sizes)
    shots = late.guide(jnp.ones((3, 14, 19, 1)), masks, late.count_points(planes))
    z = guidance.pool_shots(jax.tree.map(lambda leaf: leaf[:, None], shots))[..., 0]
    np.testing.assert_allclose(z, [[0.99898, 0.1925], [0.9385, 0.99898], [0.99899, 0.0]], atol=1e-4)


def test_item_08_masked_average():
    """8: z_k is the sum of mask x fc6: of a constant map that constant, up to the epsilon."""
    rng = np.random.default_rng(0)
    features, masks = rng.random((1, 5, 6, 3), np.float32), rng.random((1, 2, 5, 6), np.float32)

    def z(features):
        shot = late.guide(jnp.asarray(features), jnp.asarray(masks), jnp.ones((1, 2)))
        return guidance.pool_shots(jax.tree.map(lambda leaf: leaf[:, None], shot))

    normalised = masks / (1e-6 + masks.sum((2, 3), keepdims=True))
    np.testing.assert_allclose(z(features), np.einsum("bnmc,bknm->bkc", features, normalised), rtol=1e-5)
    np.testing.assert_allclose(z(np.full_like(features, 2.5)), np.full((1, 2, 3), 2.5), rtol=1e-5)


LATE = {
    "global": GLOB,
    "local": LOCAL,
    "unshared": UNSHARED,
    "learned mask": {"mask": "learned"},
    "both": {"locality": "both"},
    "maximum": {"pooling": "maximum"},
    "regression": {"inference": "parameter-regression"},
    "neighbours": {"inference": "distance", "locality": "local"},
}


@pytest.mark.parametrize("name", LATE)
def test_item_09_a_click_runs_no_convolution_of_the_encoder(name):
    """9: Annotations never enter the encoder: changing points runs mask, pool and head again, nothing else."""
    model, params = small_model(**LATE[name])
    batch, canvas = jax.tree.map(jnp.asarray, make_batch()), (48, 56)

    def encode(params):
        return model.apply({"params": params}, batch.query, canvas, batch.query_size, method="encode")

    def update(params, features, query, annotation):
        def call(module):
            task = module.merge(module.guide(features, annotation, batch.query_size[:, None]))
            return module.segment(query, task, canvas, batch.query_size)

        return model.apply({"params": params}, method=call)

    assert len(named(equations(encode, params), "conv_general_dilated")) == 4
    features = jax.eval_shape(encode, params)
    query = jax.eval_shape(lambda f: model.apply({"params": params}, f, batch.query_size, method="prepare"), features)
    shots = jax.ShapeDtypeStruct((4, 1, *features.shape[1:]), features.dtype)
    found = named(equations(update, params, shots, query, batch.annotation[:, 0]), "conv_general_dilated")
    # A learned mask is a convolution of its own, on the annotation.
    expected = [params["mask"]["log_kernel"].shape] if name == "learned mask" else []
    assert [each.invars[1].aval.shape[:2] for each in found] == expected


def test_item_09_features_are_bit_identical():
    """9: Features are bit-identical whatever the annotations (late)."""
    batch = make_batch()
    features = [
        features_of(batch._replace(annotation=annotation))["neck"]
        for annotation in (batch.annotation, make_batch(seed=1).annotation, np.full_like(batch.annotation, UNKNOWN))
    ]
    assert features[0][0].any()
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0], features[2])


def test_item_10_encoders():
    """10: Support and query have the same encoder under late fusion, each its own in cofeat-early."""
    batch = make_batch(shots=2)
    batch = batch._replace(support=np.stack([batch.query, batch.support[:, 0]], 1))  # the first shot is the query
    features = features_of(batch)
    (together,) = features["neck"]
    assert set(features) == {"neck"}
    together = together.reshape(4, 3, *together.shape[1:])
    np.testing.assert_array_equal(together[:, 0], together[:, 1])
    assert np.abs(together[:, 0] - together[:, 2]).max() > 1
    assert set(small_model()[1]) == {"trunk", "neck", "head"}
    early = features_of(batch, **COFEAT_EARLY)
    assert {name: [each.shape[0] for each in calls] for name, calls in early.items()} == {
        "neck": [4],
        "support_neck": [8],
    }
    assert set(small_model(**COFEAT_EARLY)[1]) == {"trunk", "neck", "support_trunk", "support_neck", "head"}


def test_item_11_positions():
    """11: Local guidance keeps the map, so support and query must be one image; global guidance forgets positions."""
    rng = np.random.default_rng(0)
    features, masks = rng.random((1, 1, 5, 6, 3), np.float32), rng.random((1, 1, 2, 5, 6), np.float32)
    points = jnp.ones((1, 1, 2))
    moved = np.roll(features, (2, 3), (2, 3)), np.roll(masks, (2, 3), (3, 4))
    z = [guidance.pool_shots(late.guide(jnp.asarray(f), jnp.asarray(m), points)) for f, m in [(features, masks), moved]]
    np.testing.assert_allclose(z[0], z[1], rtol=1e-6)

    def keep(features, masks):
        shot = late.guide(jnp.asarray(features), jnp.asarray(masks), points)
        return guidance.keep_positions(shot._replace(features=jnp.asarray(features), weights=jnp.asarray(masks)))

    normalised = masks / (1e-6 + masks.sum((3, 4), keepdims=True))
    expected = features[:, 0][:, None] * normalised[:, 0][..., None]
    np.testing.assert_allclose(keep(features, masks), expected, rtol=1e-5)
    np.testing.assert_allclose(keep(*moved), np.roll(keep(features, masks), (2, 3), (2, 3)), rtol=1e-5)
    for mode in ("semantic", "video"):
        with pytest.raises(ValueError, match=f"data.mode={mode}: model.locality=local keeps the positions"):
            check_mode(ModelConfig(**LOCAL), mode, "data.mode")
        check_mode(ModelConfig(), mode, "data.mode")
    check_mode(ModelConfig(**LOCAL), "interactive", "data.mode")


# Heads


@pytest.mark.parametrize("fields", [GLOB, LOCAL, {"inference": "parameter-regression"}], ids=str)
def test_item_12_exchanging_labels(fields):
    """12: Shared metric: exchanging the two labels exchanges the two outputs exactly (evaluation)."""
    batch = make_batch()
    swapped = np.where(batch.annotation == UNKNOWN, UNKNOWN, 1 - batch.annotation).astype(np.uint8)
    logits = logits_of(batch, **fields)
    assert np.abs(logits[:, 0] - logits[:, 1]).max() > 1e-3
    np.testing.assert_array_equal(logits_of(batch._replace(annotation=swapped), **fields), logits[:, ::-1])


def test_item_13_many_labels():
    """13: Any number of labels with one head, and a softmax over them; with one positive it is the binary task.

    A union of binary tasks is there besides (`guided_jax.inference.union`).
    """
    batch = make_batch()
    jax.tree.map(np.testing.assert_array_equal, small_model(way=4)[1], small_model()[1])
    binary = logits_of(batch)
    among = logits_of(batch, way=4)
    assert among.shape == (4, 4, 48, 56)
    np.testing.assert_allclose(among[:, :2], binary, atol=1e-5 * np.abs(binary).max())
    assert np.abs(binary[:, 0] - binary[:, 1]).max() > 1e-3
    np.testing.assert_array_equal(among[:, 2], among[:, 3])  # labels without annotation
    rng = np.random.default_rng(0)
    points = np.where(rng.random(batch.annotation.shape) < 0.01, rng.integers(0, 4, batch.annotation.shape), UNKNOWN)
    order = np.array([2, 0, 3, 1])
    renamed = np.where(points == UNKNOWN, UNKNOWN, order[points % 4])
    logits = [logits_of(batch._replace(annotation=each.astype(np.uint8)), way=4) for each in (points, renamed)]
    np.testing.assert_allclose(logits[1][:, order], logits[0], atol=1e-5 * np.abs(logits[0]).max())
    loss, pixels = cross_entropy(jnp.asarray(logits[0]), jnp.asarray(batch.target))
    likelihood = jax.nn.softmax(logits[0], axis=1)[:, :, :41, :50]
    chosen = np.take_along_axis(np.asarray(likelihood), batch.target[:, None, :41, :50].astype(int), 1)
    np.testing.assert_allclose(np.asarray(loss) / np.asarray(pixels), -np.log(chosen).mean((1, 2, 3)), rtol=1e-4)


def head_on(fields):
    """A head's scores, its inputs and its parameters, all in numpy."""
    rng = np.random.default_rng(1)
    features, z = rng.random((2, 3, 4, 8), np.float32), rng.random((2, 2, 8), np.float32)
    model, params = small_model(**fields)
    query, task = jnp.asarray(features), Task(jnp.asarray(z))

    def score(module):
        return module.head(module.head.prepare(query), task, None)[0]

    scores = model.apply({"params": params}, method=score)
    tile = np.broadcast_to(z[:, :, None, None], (2, 2, 3, 4, 8))
    return np.asarray(scores), features, tile, jax.tree.map(np.asarray, params["head"])


def two_layers(head, joined):
    hidden = relu(joined @ head["fc7"]["kernel"] + head["fc7"]["bias"])
    return hidden @ head["score"]["kernel"] + head["score"]["bias"]


def test_item_14_unshared_head():
    """14: The unshared head concatenates [query, +, -], 768 wide in the reference, with 2 outputs."""
    scores, query, z, head = head_on(UNSHARED)
    expected = two_layers(head, np.concatenate([query, z[:, 1], z[:, 0]], -1))
    np.testing.assert_allclose(scores, np.moveaxis(expected, -1, 1), rtol=1e-4, atol=1e-6)
    lite = shapes(**UNSHARED, feature_width=256)
    assert lite["head/fc7/kernel"].shape == (768, 768)
    assert lite["head/score/kernel"].shape == (768, 2)


@pytest.mark.parametrize(
    ("fields", "fc7"),
    [
        (GLOB, (8192, 8192)),
        ({"feature_width": 256}, (512, 512)),
        ({**UNSHARED, "feature_width": 256}, (768, 768)),
        (FCN, (4096, 4096)),
        (LITE_EARLY, (512, 256)),
        (INTERACTIVE_EARLY, (4096, 4096)),
    ],
    ids=str,
)
def test_item_15_widths(fields, fc7):
    """15: Widths 4096 (fc7 8192) and lite 256 (512, 768); `snapshots/test_layout.py` has the numbers of parameters.

    Departure: fg-bg takes the width of the guided model that it is compared with, through `feature_width`.
    """
    assert shapes(**fields)["head/fc7/kernel"].shape == fc7


def test_item_16_features_and_head():
    """16: The features are relu(fc6), not negative; fc7 comes after the fusion of [query, z_k]."""
    (features,) = features_of(make_batch(), grid="exact", stride=8)["neck"]
    assert features.min() == 0 and features.max() > 1
    scores, query, z, head = head_on(GLOB)
    for label in range(2):
        expected = two_layers(head, np.concatenate([query, z[:, label]], -1))[..., 0]
        np.testing.assert_allclose(scores[:, label], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("width", "channels"), [(4096, False), (8, True)])
def test_item_17_dropout(width, channels):
    """17: Dropout 0.5, of elements for the pretrained fc6, of channels elsewhere; off in evaluation.

    The support and the query have masks of their own, but where they are one image, encoded once.
    """
    assert ModelConfig().dropout == 0.5
    batch, keys = make_batch((18, 20), (20, 24), count=2), jax.random.split(jax.random.key(0), 2)
    batch = batch._replace(support=batch.query[:, None], support_size=batch.query_size[:, None])
    fields = {"feature_width": width, "head_width": 4}
    outputs = (features_of(batch, each, **fields)["neck"][0] for each in (None, keys))
    plain, dropped = (np.asarray(each).reshape(2, 2, -1, width) for each in outputs)  # the queries, then the shots
    np.testing.assert_array_equal(plain[:, 0], plain[:, 1])
    kept = dropped > 0
    np.testing.assert_array_equal(dropped, np.where(kept, 2 * plain, 0))
    alive = plain > 0
    assert 0.2 < kept[alive].mean() < 0.8
    mixed = (kept & alive).any(2) & (~kept & alive).any(2)
    assert mixed.any() != channels
    assert (kept[:, 0] != kept[:, 1]).any(), "support and query"
    assert (kept[0] != kept[1])[alive[0] & alive[1]].any(), "episodes"
    alone = batch._replace(support=None, support_size=None)
    (features,) = features_of(alone, keys, **fields)["neck"]
    assert features.shape[0] == 2


def test_item_17_dropout_in_the_head():
    """17: In the head whole channels are dropped, but in VGG's own fc7 of fcn32s; nothing in evaluation."""
    wide = {name: make_head(ModelConfig(**fields), he_normal) for name, fields in {"late": GLOB, "fcn32s": FCN}.items()}
    assert wide["late"].dropout_channels and not wide["fcn32s"].dropout_channels
    assert wide["late"].dropout_rate == 0.5
    model, params = small_model()
    batch, keys = make_batch(), jax.random.split(jax.random.key(0), 4)
    batch, call = jax.tree.map(jnp.asarray, batch), partial(model.apply, {"params": params})
    assert named(equations(call, batch, keys), "random_bits")
    assert not named(equations(call, batch), "random_bits")


@pytest.mark.parametrize(
    "fields", [{"way": 3}, UNSHARED, COFEAT_EARLY, FCN, {"inference": "parameter-regression"}], ids=str
)
def test_item_18_the_first_loss(fields):
    """18: The score starts at zero: the first loss is exactly ln K, dropout or not.

    Departure: other new layers start from N(0, 0.001) and all biases from 0, fc7's too, as the reference means to.
    """
    model = Segmentor(ModelConfig(**{**SMALL, "init_std": 0.001, **fields}), CAFFE_ILSVRC)
    batch, way = make_batch(count=2), fields.get("way", 2)
    keys = jax.random.split(jax.random.key(0), 2)
    (logits,), variables = jax.jit(model.init_with_output)(jax.random.key(1), batch, keys)
    assert logits.shape == (2, way, 48, 56)
    assert not logits.any()
    one = np.full((2, 48, 56), UNKNOWN, np.uint8)
    one[:, 3, 4] = way - 1
    np.testing.assert_array_equal(cross_entropy(logits, jnp.asarray(one))[0], np.full(2, np.log(np.float32(way))))
    params = flatten_dict(variables["params"], sep="/")
    assert params["head/fc7/kernel"].std() == pytest.approx(0.001, rel=0.2)
    assert params["neck/fc6/kernel"].std() == pytest.approx(0.001, rel=0.2)
    assert not any(values.any() for path, values in params.items() if "bias" in path)


# Shots, interaction


def three_shots():
    """Label 1 in the first and the last shot, of different masses, label 0 in none."""
    total = np.zeros((3, 2, 2), np.float32)
    total[0, 1], total[2, 1] = [2.0, 4.0], [30.0, 10.0]
    points = np.array([[0, 1], [0, 0], [0, 7]], np.float32)
    return Guidance(jnp.asarray(total), jnp.asarray(points * 2), jnp.asarray(points))


def test_item_19_mean_over_shots():
    """19: z is the mean over the shots that annotate the label, each of the same weight; without any it is zeros.

    Departure: the default is the same for the unshared form, whose reference divides by all shots: `merge=every`.
    """
    z = guidance.pool_shots(three_shots())
    first, last = np.array([2, 4]) / 2, np.array([30, 10]) / 14
    np.testing.assert_allclose(z[1], (first + last) / 2, rtol=1e-5)
    assert not np.asarray(z[0]).any()
    assert ModelConfig(**UNSHARED).merge == "annotating"
    every = guidance.pool_shots(three_shots(), "every")
    np.testing.assert_allclose(every, np.asarray(z) * 2 / 3, rtol=1e-6)
    pooled = guidance.pool_shots(three_shots(), "pooled")
    np.testing.assert_allclose(pooled[1], np.array([32, 14]) / 16, rtol=1e-5)


def interaction():
    """Methods of one model, and the features of a batch of three shots."""
    batch = make_batch(shots=3)
    batch.annotation[:, :, 0][batch.annotation[:, :, 0] == 1] = UNKNOWN  # negatives
    batch.annotation[:, :, 1] = UNKNOWN
    batch.annotation[:, :, 2][batch.annotation[:, :, 2] == 0] = UNKNOWN  # positives
    encode = partial(compiled("encode"), canvas=(48, 56))
    shots = jax.tree.map(lambda leaf: leaf.reshape(12, *leaf.shape[2:]), (batch.support, batch.support_size))
    features = encode(shots[0], size=shots[1]).reshape(4, 3, 12, 14, 8)
    return batch, features, compiled("guide"), compiled("merge")


def test_item_20_annotations_divided_over_shots():
    """20: A shot may hold only positives or only negatives, and shots after an empty one still count.

    Departure: the reference's guide returns at the first empty shot.
    """
    batch, features, guide, merge = interaction()
    whole = merge(guide(features, batch.annotation[:, 0], batch.support_size)).z
    alone = [guide(features[:, [s]], batch.annotation[:, 0, [s]], batch.support_size[:, [s]]) for s in range(3)]
    negatives, nothing, positives = (merge(each).z for each in alone)
    assert np.asarray(negatives[:, 0]).any() and not np.asarray(negatives[:, 1]).any()
    assert not np.asarray(nothing).any()
    np.testing.assert_allclose(whole, negatives + positives, rtol=1e-5)
    # End to end, each with its own features.
    without = batch._replace(
        support=batch.support[:, [0, 2]],
        support_size=batch.support_size[:, [0, 2]],
        annotation=batch.annotation[:, :, [0, 2]],
    )
    np.testing.assert_allclose(logits_of(batch), logits_of(without), atol=1e-5)


def test_item_21_interaction():
    """21: Guiding shot by shot is guiding by all of them; a clear forgets; z is all that inference needs."""
    batch, features, guide, merge = interaction()
    annotation = make_batch(shots=3, seed=5).annotation[:, 0]
    annotation[:, 1][annotation[:, 1] == 1] = UNKNOWN
    whole = guide(features, annotation, batch.support_size)
    shots = [guide(features[:, [s]], annotation[:, [s]], batch.support_size[:, [s]]) for s in range(3)]
    together = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, 1), *shots)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), together, whole)
    z, number = jnp.zeros((4, 2, 8)), jnp.zeros((4, 2, 1))
    for shot in shots:  # the running mean that the reference keeps
        annotates = (shot.points[:, 0] > 0).astype(jnp.float32)[..., None]
        number = number + annotates
        z = z + (merge(shot).z - z) * annotates / jnp.maximum(number, 1)
    task = merge(whole)
    np.testing.assert_allclose(task.z, z, rtol=1e-4)
    cleared = guide(features, np.full_like(annotation, UNKNOWN), batch.support_size)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(cleared))
    again = add(cleared, whole)
    jax.tree.map(np.testing.assert_array_equal, again, whole)
    features = compiled("encode")(batch.query, canvas=(48, 56), size=batch.query_size)
    query = compiled("prepare")(features, size=batch.query_size)
    logits = compiled("segment")(query, Task(task.z), canvas=(48, 56), size=batch.query_size)
    np.testing.assert_allclose(logits, logits_of(batch._replace(annotation=annotation[:, None])), atol=1e-5)


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_item_22_any_shots_and_points(shots):
    """22: The same weights take any number of shots and points: trained with one, evaluated with any."""
    batch = make_batch(shots=1)
    model, params = small_model()
    repeated = batch._replace(
        support=np.repeat(batch.support, shots, 1),
        support_size=np.repeat(batch.support_size, shots, 1),
        annotation=np.repeat(batch.annotation, shots, 2),
    )
    assert {path: leaf.shape for path, leaf in shapes_of(model, repeated).items()} == {
        path: leaf.shape for path, leaf in flatten_dict(params, sep="/").items()
    }
    np.testing.assert_allclose(logits_of(repeated), logits_of(batch), atol=1e-5)
    dense = repeated.annotation.copy()
    dense[:, 0, :, :41, :50] = batch.target[:, None, :41, :50]
    logits = logits_of(repeated._replace(annotation=dense))
    assert np.isfinite(logits).all()
    assert np.abs(logits - logits_of(batch)).max() > 1e-3
