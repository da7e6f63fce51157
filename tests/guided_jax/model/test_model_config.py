"""Which configurations make a model: all that are not refused build."""

import itertools
import math
import random

import jax
import pytest

from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.model_checks import check_mode, check_model
from guided_jax.model_config import (
    CHOICES,
    ModelConfig,
    feature_channels,
    geometry_of,
    guides_early,
    head_width,
    support_geometry_of,
)
from guided_jax.segmentor import Segmentor
from tests.guided_jax.small_models import make_batch
from tests.guided_jax.variants import VARIANTS

DIRECT = {"inference": "direct"}
DISTANCE = {"inference": "distance"}
TAPS = {"grid": "taps", "stride": 8}

IN_CONTEXT = {"inference": "in-context", "grid": "taps", "stride": 16, "locality": "both", "feature_width": 0}
DINO = {"backbone": "dinov3-s", "grid": "taps", "stride": 16}
HASHED = {"inference": "hashed-regression", "fusion": "mask", "merge": "union", "sharing": "unshared"}
DECODER = {"inference": "decoder", "grid": "taps", "stride": 8, "locality": "both", "embedding": 6, "head_width": 4}

REFUSED = [
    *(({field: "odd"}, rf"^model\.{field}='odd' is not one of {CHOICES[field][0]}, ") for field in CHOICES),
    ({"dropout": 1.0}, r"model\.dropout=1\.0 is not a rate in \[0, 1\)"),
    ({"dropout": -0.1}, r"model\.dropout=-0\.1 is not a rate"),
    ({"way": 1}, r"model\.way=1: at least 2 labels"),
    ({"way": 256}, r"model\.way=256: at most 255 labels: they are uint8, and 255 is unknown"),
    ({"dropout": float("nan")}, r"model\.dropout=nan is not a rate"),
    ({"dropout": float("inf")}, r"model\.dropout=inf is not a rate"),
    *(({"init_std": float(x)}, rf"model\.init_std={x}: must be a finite number") for x in ("inf", "nan")),
    *(({"fc6_kernel": x}, rf"model\.fc6_kernel={x}: must be odd, 1 or more") for x in (-1, 0)),
    ({**TAPS, "feature_width": 0, "fc6_kernel": -1}, r"model\.fc6_kernel=-1: must be odd"),
    *(({"stride": x}, rf"model\.stride, .*: stride {x} does not fit the grid 'exact'") for x in (0, -32)),
    ({"fc6_kernel": 100001}, r"model\.feature_width=4096, model\.fc6_kernel=100001: too large, a layer of \d+ values"),
    ({"feature_width": 10**9}, r"model\.feature_width=1000000000, model\.fc6_kernel=7: too large"),
    ({"head_width": 10**9}, r"model\.feature_width=4096, model\.head_width=1000000000, model\.way=2: too large"),
    ({"sharing": "unshared", "way": 255}, r"model\.feature_width=4096, model\.head_width=0, model\.way=255: too large"),
    (
        {"sharing": "unshared", "inference": "parameter-regression", "way": 255, "head_width": 512},
        r"model\.way=255, model\.inference=parameter-regression: too large",
    ),
    *(({field: -1}, rf"model\.{field}=-1: must not be negative") for field in ("feature_width", "head_width")),
    ({"support_stride": -1}, r"model\.support_stride=-1: must not be negative"),
    ({"init_std": -0.1}, r"model\.init_std=-0\.1: must not be negative"),
    ({"grid": "coarse"}, r"model\.grid, model\.stride, model\.fc6_kernel: grid 'coarse' is not one of exact, dilated"),
    ({"stride": 16}, r"model\.grid, .*: stride 16 does not fit the grid 'exact' .* choose one of 32$"),
    ({"fc6_kernel": 4}, r"model\.grid, .*: fc6's kernel must be odd, 1 or more, not 4"),
    ({"feature_width": 0}, r"model\.feature_width=0: the grid 'exact' is made by fc6; .* need model\.grid=taps"),
    ({**TAPS, "stride": 32, "feature_width": 0}, r"feature_width=0: model\.stride=32 lies behind the trunk's last map"),
    ({**TAPS, **DIRECT, "fusion": "stack", "feature_width": 0}, r"feature_width=0: model\.fusion=stack needs features"),
    ({"fusion": "none"}, r"model\.fusion=none: without an annotation there is nothing to guide by"),
    (DIRECT, r"model\.inference=direct: .* under model\.fusion=stack only"),
    ({**DIRECT, "fusion": "mask"}, r"model\.inference=direct: .* under model\.fusion=stack only"),
    ({**DIRECT, "fusion": "none", "locality": "both"}, r"model\.locality=both: under model\.inference=direct there is"),
    ({**DISTANCE, "fusion": "stack"}, r"inference=distance: model\.fusion=stack .* distances between them mean noth"),
    ({"fusion": "mask", "locality": "both"}, r"locality=both: model\.fusion=mask .* their similarity means nothing"),
    ({"fusion": "mask", "locality": "local"}, r"model\.locality=local: model\.fusion=mask shows .* but the positives"),
    ({"fusion": "stack"}, r"model\.sharing=shared: model\.fusion=stack gives one representation .* set unshared"),
    ({"inference": "parameter-regression", "locality": "both"}, r"model\.locality=both: weights are regressed from gl"),
    ({"locality": "local", "pooling": "maximum"}, r"model\.pooling=maximum: model\.locality=local pools nothing"),
    ({"encoding": "distance"}, r"model\.encoding=distance: only model\.fusion=stack shows the annotation as channels"),
    ({**DIRECT, "fusion": "stack", "mask": "learned"}, r"mask=learned: model\.fusion=stack has no mask on the feat"),
    ({**DIRECT, "fusion": "none", "support_grid": "dilated"}, r"support_grid=dilated: model\.fusion=none has no mask"),
    ({"mask": "learned", "pooling": "maximum"}, r"model\.mask=learned: model\.pooling=maximum .* would not learn"),
    ({**DISTANCE, "mask": "learned", "locality": "local"}, r"model\.mask=learned: nearest neighbours are kept by the"),
    ({"locality": "local", "support_grid": "dilated"}, r"support_grid=dilated: model\.locality=local lays the guidan"),
    ({"support_stride": 8}, r"model\.support_stride=8: model\.support_grid=same has the query's stride; leave it 0"),
    ({**DISTANCE, "head_width": 3}, r"model\.head_width=3: model\.inference=distance has no hidden layer"),
    ({**TAPS, "support_grid": "dilated"}, r"support_grid=dilated: model\.grid=taps is not dilated; set interpolated"),
    ({"support_grid": "interpolated"}, r"model\.support_stride=0: stride 0 does not fit .* choose one of 32, 16, 8, 4"),
    ({"support_grid": "dilated", "support_stride": 4}, r"model\.support_stride=4: .* choose one of 16, 8"),
    ({**TAPS, "support_grid": "interpolated", "support_stride": 8}, r"8: must be finer than model\.stride=8$"),
    ({"embedding": 8}, r"model\.embedding=8: only model\.inference=decoder has it; leave it 0"),
    ({"drop_maps": 0.5}, r"model\.drop_maps=0\.5: only model\.inference=decoder has it; leave it 0"),
    ({**DECODER, "drop_image": 1.0}, r"model\.drop_image=1\.0 is not a rate in \[0, 1\)"),
    ({**DECODER, "self_support": 1.0}, r"model\.self_support=1\.0 is not a rate in \[0, 1\)"),
    ({"self_support": 0.9}, r"model\.self_support=0\.9: only model\.inference=decoder has it; leave it 0"),
    ({**DECODER, "locality": "global"}, r"model\.locality=global: .*decoder is built for model\.locality=both alone"),
    (
        {**DECODER, "sharing": "unshared"},
        r"model\.sharing=unshared: .* model\.sharing=shared alone",
    ),
    ({**DECODER, "metric": "euclidean"}, r"model\.metric=euclidean: .* model\.metric=cosine alone"),
    ({**DECODER, "grid": "exact", "stride": 32}, r"model\.grid=exact: .* model\.grid=taps alone"),
    ({**DECODER, "embedding": 0}, r"model\.embedding=0: .* needs a width there, as 128, 64 and 48"),
    ({**DECODER, "head_width": 0}, r"model\.head_width=0: .* needs a width there"),
    ({**DECODER, "stride": 32}, r"model\.stride=32 lies behind the trunk's last map; choose a finer one"),
    ({**DECODER, "principal": 1025}, r"model\.principal=1025: the trunk's maps have 1024 channels"),
    ({"clusters": 3}, r"model\.clusters=3: only model\.inference=in-context has it; leave it 0"),
    ({**DISTANCE, "backward": True}, r"model\.backward=True: only model\.inference=in-context has it; leave it False"),
    ({**IN_CONTEXT, "locality": "global"}, r"model\.locality=global: .*in-context is built for model\.locality=both"),
    ({**IN_CONTEXT, "metric": "euclidean"}, r"model\.metric=euclidean: .* model\.metric=cosine alone"),
    ({**IN_CONTEXT, "clusters": 65}, r"model\.clusters=65: from 0, the mean alone, to 64"),
    ({**IN_CONTEXT, "positional": 8, "feature_width": 256}, r"model\.positional=8: only the trunk's own maps are"),
    ({**IN_CONTEXT, "positional": 512}, r"model\.positional=512: the trunk's maps have 512 directions; set less"),
    ({"remat": True}, r"model\.remat=True: vgg16 has no blocks to compute again; leave it False"),
    ({"backbone": "dinov3-s"}, r"dinov3-s has the grid of its patches alone: set model\.grid=taps and .*stride=16"),
    ({**DINO, "stride": 14}, r"model\.stride, .*: grid 'taps' with stride 14: dinov3-s has .* model\.stride=16"),
    ({**DINO, "layers": "13"}, r"model\.layers: layer 13: this transformer has the blocks 1 to 12"),
    ({**DINO, **DIRECT, "fusion": "stack"}, r"model\.fusion=stack: a vision transformer's patches have a pretrained"),
    ({**DECODER, "head_width": 20_000}, r"model\.head_width=20000: too large, a layer of"),
    ({"merge": "union"}, r"model\.merge=union: only model\.inference=hashed-regression keeps the shots apart"),
    ({**HASHED, "merge": "every"}, r"model\.merge=every: .*hashed-regression is built for model\.merge=union alone"),
    ({**HASHED, "way": 3}, r"model\.way=3: .* is built for model\.way=2 alone"),
    ({**HASHED, "fusion": "stack"}, r"model\.fusion=stack: .* is built for model\.fusion=mask alone"),
    ({**HASHED, "sharing": "shared"}, r"model\.sharing=shared: model\.fusion=mask gives one representation"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_makes_no_model_is_refused_with_the_reason(fields, message):
    with pytest.raises(ValueError, match=message):
        check_model(ModelConfig(**fields))


@pytest.mark.parametrize(
    ("fields", "width"),
    [
        ({}, 2 * 4096),
        ({"way": 5}, 2 * 4096),
        ({"sharing": "unshared", "way": 3}, 4 * 4096),
        ({"fusion": "stack", "sharing": "unshared"}, 2 * 4096),
        ({**DIRECT, "fusion": "none"}, 4096),
        ({"inference": "parameter-regression"}, 4096),
        ({"inference": "parameter-regression", "head_width": 7}, 7),
        (HASHED, 4096),
        ({"head_width": 7}, 7),
        ({**DECODER, "head_width": 7}, 7),
    ],
    ids=str,
)
def test_width_of_the_head(fields, width):
    assert head_width(ModelConfig(**fields)) == width


def test_the_most_labels_and_wide_heads_make_a_model():
    check_model(ModelConfig(way=255))
    check_model(ModelConfig(sharing="unshared", way=5))


@pytest.mark.parametrize("mode", ["semantic", "video"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**DIRECT, "fusion": "stack"}, "model.inference=direct segments the annotated image itself; where the query"),
        ({"locality": "local"}, "model.locality=local keeps the positions of the support, which mean nothing in anoth"),
    ],
)
def test_a_query_of_its_own_is_refused_where_support_and_query_must_be_one_image(mode, fields, message):
    check_mode(ModelConfig(**fields), "interactive", "data.mode")
    with pytest.raises(ValueError, match=rf"^eval\.mode={mode}: .*{message}"):
        check_mode(ModelConfig(**fields), mode, "eval.mode")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"locality": "both"},
        {**DISTANCE, "locality": "local"},
        {"fusion": "stack", "sharing": "unshared"},
        {"fusion": "none", "inference": "direct"},
    ],
)
@pytest.mark.parametrize("mode", ["interactive", "semantic", "video"])
def test_other_models_segment_any_query(mode, fields):
    check_mode(ModelConfig(**fields), mode, "data.mode")


def test_channels_and_grids():
    plain, raw = ModelConfig(), ModelConfig(grid="taps", stride=8, feature_width=0, fc6_kernel=7)
    assert (feature_channels(plain), feature_channels(raw)) == (4096, 512 + 512)
    assert geometry_of(raw).kernel == 1
    assert support_geometry_of(plain) == geometry_of(plain)
    fine = support_geometry_of(ModelConfig(support_grid="interpolated", support_stride=4))
    assert (fine.grid, fine.stride, fine.stages) == ("taps", 4, 5)
    dilated = support_geometry_of(ModelConfig(support_grid="dilated", support_stride=8))
    assert (dilated.grid, dilated.stride, dilated.kernel) == ("dilated", 8, 7)
    early = [("stack", "direct"), ("stack", "feature-fusion"), ("mask", "parameter-regression"), ("late", "distance")]
    assert [guides_early(ModelConfig(fusion=f, inference=i)) for f, i in early] == [False, True, True, False]


TURNED = (
    "fusion",
    "encoding",
    "mask",
    "support_grid",
    "locality",
    "pooling",
    "inference",
    "sharing",
    "merge",
    "metric",
)


def every_combination():
    for values in itertools.product(*(CHOICES[field] for field in TURNED)):
        fields = dict(zip(TURNED, values, strict=True))
        stride = 0 if fields["support_grid"] == "same" else 2
        small = {"backbone": "vgg-tiny", "grid": "dilated", "stride": 4, "feature_width": 4, "fc6_kernel": 3}
        small |= {"grid": "taps", "embedding": 3, "head_width": 2} if fields["inference"] == "decoder" else {}
        small |= {"grid": "taps"} if fields["inference"] in ("side-outputs", "in-context") else {}
        yield ModelConfig(**small, support_stride=stride, **fields)


def reason(check, *args) -> str | None:
    try:
        check(*args)
    except ValueError as error:
        return str(error)
    return None


def test_every_combination_is_refused_with_a_reason_or_builds():
    """Of the sound ones that differ in merge and metric alone, one is built: these change no shape."""
    reasons = [(config, reason(check_model, config)) for config in every_combination()]
    assert len(reasons) == math.prod(len(CHOICES[field]) for field in TURNED)
    assert all(why.startswith("model.") and len(why) > 40 for _, why in reasons if why)
    sound = [config for config, why in reasons if why is None]
    kinds = {(config.fusion, config.inference, config.locality) for config in sound}
    assert kinds == {
        *itertools.product(["late"], ["feature-fusion", "distance"], CHOICES["locality"]),
        *itertools.product(["late", "stack"], ["feature-fusion", "parameter-regression"], ["global", "local"]),
        *itertools.product(["mask"], ["feature-fusion", "parameter-regression"], ["global"]),
        ("stack", "direct", "global"),
        ("none", "direct", "global"),
        ("none", "side-outputs", "global"),
        ("late", "decoder", "both"),
        ("late", "in-context", "both"),
        ("mask", "hashed-regression", "global"),
    }
    assert len(sound) == 792 + 3 + 24 + 36 + 4
    others = {}
    for config in sound:
        others.setdefault(tuple(getattr(config, field) for field in TURNED[:-2]), []).append(config)
    batch = make_batch((9, 11), (10, 12), count=1, draws=2)
    apart = make_batch((9, 11), (10, 12), count=1, shots=2)
    draw = random.Random(0)
    for alike in others.values():
        # The decoder and in-context inference compare by cosines alone, and OSLSM merges in one way alone.
        numbers = {"decoder": 3, "in-context": 3, "hashed-regression": 2}
        assert len(alike) == numbers.get(alike[0].inference, 6)
        config = draw.choice(alike)
        model, any_query = Segmentor(config, CAFFE), reason(check_mode, config, "semantic", "data.mode") is None
        params = jax.eval_shape(model.init, jax.random.key(0), apart if any_query else batch)
        logits = jax.eval_shape(model.apply, params, batch)
        assert (logits.shape, logits.dtype) == ((2, 1, 2, 10, 12), "float32"), config
        own = ["support_trunk", "support_neck"] if guides_early(config) else []
        own += ["mask"] if config.mask == "learned" else []
        assert set(params["params"]) == {"trunk", "neck", "head", *own}, config


@pytest.mark.parametrize("more", [{"way": 3}, {"way": 4, "dtype": "bfloat16", "head_width": 7}])
def test_one_of_each_kind_builds_with_more_labels_and_in_half_precision(more):
    small = {"backbone": "vgg-tiny", "grid": "taps", "stride": 4, "feature_width": 4, "fc6_kernel": 3}
    batch = make_batch((9, 11), (10, 12), count=1, draws=2)
    keys = jax.random.split(jax.random.key(0), 1)
    for name, fields in VARIANTS.items():
        config = ModelConfig(**{**small, **more, **fields})
        if config.inference in ("distance", "in-context", "side-outputs"):
            config.head_width = 0
        check_model(config)
        model = Segmentor(config, CAFFE)
        params = jax.eval_shape(model.init, jax.random.key(0), batch)
        assert all(leaf.dtype == "float32" for leaf in jax.tree.leaves(params)), name
        gradient = jax.grad(lambda params, batch, model=model: model.apply(params, batch, keys).sum())
        assert jax.eval_shape(gradient, params, batch) == params, name
        logits = jax.eval_shape(model.apply, params, batch)
        assert (logits.shape, logits.dtype) == ((2, 1, config.way, 10, 12), "float32"), name
