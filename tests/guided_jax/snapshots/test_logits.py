"""Imported snapshots give the logits of the reference's graph (checklist 1-8, 10-17, 19, 20, 34)."""

import jax
import numpy as np
import pytest

from guided_jax.episode import UNKNOWN, Episode
from guided_jax.segmentor import Segmentor
from guided_jax.snapshots.layout import from_state
from guided_jax.snapshots.models import PREPROCESSING, find_model
from tests.guided_jax.small_models import make_batch
from tests.guided_jax.snapshots.narrow import make_narrow, random_state

pytest.importorskip("torch", reason="the oracle is a PyTorch graph: pip install 'guided_jax[test]'")

from tests.guided_jax.snapshots import oracle

LARGE, WIDE, SMALL = (97, 130), (75, 200), (33, 33)
UNSHARED = {"shared": False, "every_shot": True}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    make_narrow(monkeypatch)


def points_of(size, canvas, shots, way=2, seed=0):
    """A point in a corner; of several shots the last lacks label 1."""
    rng = np.random.default_rng(seed)
    annotation = np.full((1, 1, shots, *canvas), UNKNOWN, np.uint8)
    for shot in range(shots):
        for label in (1, 1, *range(way)):
            annotation[0, 0, shot, rng.integers(size[0]), rng.integers(size[1])] = label
    annotation[0, 0, 0, 0, 0] = 1
    if shots > 1:
        last = annotation[0, 0, -1]
        last[last == 1] = UNKNOWN
    return annotation


def batch_of(size, shots, way=2) -> Episode:
    canvas = (size[0] + 20, size[1] + 9)
    batch = make_batch(size, canvas, count=1, shots=shots)
    return batch._replace(annotation=points_of(size, canvas, shots or 1, way))


def ours(state, name, batch, way=2):
    model = Segmentor(find_model(name, way).config, PREPROCESSING)
    return np.asarray(jax.jit(model.apply)({"params": from_state(state, name, way=way)}, batch))[:, 0]


def parts_of(batch, size):
    """The query and the shots on their own size."""
    crop = tuple(slice(side) for side in size)
    images = [batch.query[0]] if batch.support is None else list(batch.support[0])
    return batch.query[0][crop], [
        (image[crop], annotation[crop]) for image, annotation in zip(images, batch.annotation[0, 0], strict=True)
    ]


def check(logits, expected, size):
    assert np.abs(expected).max() > 1e-2
    assert logits.shape[0] == len(expected)
    np.testing.assert_allclose(logits[:, : size[0], : size[1]], expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize(("name", "size"), [("fcn32s", LARGE), ("fgbg-lite", SMALL)])
def test_unguided(name, size):
    state, batch = random_state(name), batch_of(size, None)
    check(ours(state, name, batch)[0], oracle.direct(state, parts_of(batch, size)[0]), size)


def test_fcn32s_of_many_classes():
    state, batch = random_state("fcn32s", way=5), batch_of(SMALL, None)
    check(ours(state, "fcn32s", batch, way=5)[0], oracle.direct(state, parts_of(batch, SMALL)[0]), SMALL)


@pytest.mark.parametrize(
    ("name", "size", "positive_first"),
    [
        ("interactive-early", LARGE, False),
        ("interactive-early-lite", SMALL, False),
        ("interactive-early@image-seg", WIDE, True),
    ],
)
def test_interactive_early(name, size, positive_first):
    """Also without a positive, and without any point."""
    state, batch = random_state(name), batch_of(size, None)
    draws = [batch.annotation, np.where(batch.annotation == 1, UNKNOWN, batch.annotation)]
    draws.append(np.full_like(batch.annotation, UNKNOWN))
    logits = ours(state, name, batch._replace(annotation=np.concatenate(draws, 1)))
    for each, annotation in zip(logits, draws, strict=True):
        image, [(_, points)] = parts_of(batch._replace(annotation=annotation), size)
        check(each, oracle.direct(state, image, points, positive_first=positive_first), size)
    image, [(_, points)] = parts_of(batch, size)
    turned = oracle.direct(state, image, points, positive_first=not positive_first)
    assert np.abs(turned - logits[0, :, : size[0], : size[1]]).max() > 1e-2 * np.abs(turned).max()


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("interactive-late", LARGE, {"local": True}),
        ("interactive-late", SMALL, {"local": True}),
        ("interactive-late@image-seg", WIDE, {"local": True, "shared": False}),
        ("interactive-late-glob", WIDE, {}),
        ("interactive-late-glob-lite", SMALL, {}),
        ("interactive-late-glob@image-seg", LARGE, UNSHARED),
    ],
)
def test_interactive_late(name, size, options):
    """Under three annotations: of both labels, of the positive alone, of the negative alone."""
    state, batch = random_state(name), batch_of(size, None)
    draws = [np.where(batch.annotation == lacking, UNKNOWN, batch.annotation) for lacking in (77, 0, 1)]
    logits = ours(state, name, batch._replace(annotation=np.concatenate(draws, 1)))
    for each, annotation in zip(logits, draws, strict=True):
        parts = parts_of(batch._replace(annotation=annotation), size)
        check(each, oracle.late(state, *parts, **options), size)


@pytest.mark.parametrize(
    ("name", "size", "shots", "options"),
    [
        ("cofeat-late", LARGE, 1, {}),
        ("cofeat-late", LARGE, 3, {}),
        ("cofeat-late-lite", SMALL, 3, {}),
        ("cofeat-late-lite-unshared", WIDE, 1, UNSHARED),
        ("cofeat-late-lite-unshared", LARGE, 3, UNSHARED),
        ("cofeat-late@image-seg", SMALL, 2, UNSHARED),
    ],
)
def test_cofeat_late(name, size, shots, options):
    """Also behind an empty shot, where the reference's `guide()` ends: the paper divides annotations over shots."""
    state, batch = random_state(name), batch_of(size, shots)
    draws = [batch.annotation, batch.annotation.copy()]
    draws[1][0, 0, (shots - 1) // 2] = UNKNOWN
    logits = ours(state, name, batch._replace(annotation=np.concatenate(draws, 1)))
    for each, annotation in zip(logits, draws, strict=True):
        parts = parts_of(batch._replace(annotation=annotation), size)
        check(each, oracle.late(state, *parts, **options), size)


def test_a_shared_snapshot_serves_any_way():
    state, batch = random_state("cofeat-late"), batch_of(WIDE, 2, way=4)
    logits = ours(state, "cofeat-late", batch, way=4)
    check(logits[0], oracle.late(state, *parts_of(batch, WIDE), way=4), WIDE)


def test_the_oracle_dilutes_what_is_unshared():
    """By shots without the label; so the agreement above is one in that, too."""
    state, batch = random_state("cofeat-late-lite-unshared"), batch_of(LARGE, 3)
    diluted = oracle.late(state, *parts_of(batch, LARGE), **UNSHARED)
    undiluted = oracle.late(state, *parts_of(batch, LARGE), shared=False)
    assert np.abs(diluted - undiluted).max() > 1e-3 * np.abs(diluted).max()


@pytest.mark.parametrize(
    ("name", "size", "shots"),
    [
        ("cofeat-early", LARGE, 1),
        ("cofeat-early", WIDE, 3),
        ("cofeat-early@image-seg", SMALL, 2),
    ],
)
def test_cofeat_early(name, size, shots):
    state, batch = random_state(name), batch_of(size, shots)
    query, supports = parts_of(batch, size)
    options = {"positive_first": "@" in name}
    check(ours(state, name, batch)[0], oracle.cofeat_early(state, query, supports, **options), size)


def test_cofeat_early_weighs_shots_by_their_size():
    """Supports of two sizes: every cell of every shot counts the same."""
    name, size = "cofeat-early", (97, 130)
    state, batch = random_state(name), batch_of(size, 2)
    small = (40, 70)
    batch.support_size[0, 1] = small
    batch.support[0, 1, small[0] :], batch.support[0, 1, :, small[1] :] = 0, 0
    batch.annotation[0, 0, 1, small[0] :], batch.annotation[0, 0, 1, :, small[1] :] = UNKNOWN, UNKNOWN
    batch.annotation[0, 0, 1, 20, 30] = 0
    query, [first, (image, annotation)] = parts_of(batch, size)
    crop = tuple(slice(side) for side in small)
    expected = oracle.cofeat_early(state, query, [first, (image[crop], annotation[crop])])
    check(ours(state, name, batch)[0], expected, size)
