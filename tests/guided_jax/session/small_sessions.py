"""Sessions on small images that share their compiled programs over the tests of this folder."""

from functools import cache

import numpy as np

from guided_jax.session import Session
from tests.guided_jax.small_models import small_model
from tests.guided_jax.variants import VARIANTS

SIZES = {"a": (9, 12), "b": (9, 12), 3: (7, 5)}
CANVAS = (9, 12)
PICTURES = {
    name: np.random.default_rng(i).integers(0, 256, (*size, 3), np.uint8)
    for i, (name, size) in enumerate(SIZES.items())
}
BINARY = {"sharing": "unshared", "feature_width": 4, "head_width": 3}
KINDS = {
    "prototypes": VARIANTS["prototypes"],
    "neighbours": VARIANTS["neighbours"],
    "binary": BINARY,
    "early": {"fusion": "stack", **BINARY},
    "stacked": {"fusion": "stack", "inference": "direct", **BINARY},
    "local": {**BINARY, "locality": "local"},
    "decoder": VARIANTS["decoder"],
    "three": {**BINARY, "way": 3},
}


@cache
def opened(kind: str, way: int = 0, seed: int = 0, **options) -> Session:
    return Session(*small_model(seed, **KINDS[kind]), way=way, canvases=(CANVAS,), **options)


def session_of(kind: str, *names, way: int = 0, **options) -> Session:
    """A fresh session with some of the images."""
    session = opened(kind, way, **options).fresh()
    for name in names:
        session.add(name, PICTURES[name])
    return session


def same(one: Session, other: Session) -> None:
    """Both hold the same images, annotated alike, and give the same to the bit."""
    assert one.names == other.names and one.way == other.way
    for name in one.names:
        np.testing.assert_array_equal(one.annotation(name), other.annotation(name))
        np.testing.assert_array_equal(one.logits(name), other.logits(name))
