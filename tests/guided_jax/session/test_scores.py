"""Probabilities and uncertainty are those of the logits."""

import numpy as np
import pytest

from guided_jax.session import Session
from tests.guided_jax.session.small_sessions import session_of
from tests.guided_jax.small_models import small_model
from tests.guided_jax.variants import VARIANTS


@pytest.mark.parametrize(("kind", "way"), [("prototypes", 0), ("prototypes", 3), ("binary", 3)])
def test_probabilities_and_uncertainty(kind, way):
    session = session_of(kind, "a", 3, way=way)
    session.click("a", 1, 2, 1)
    session.click("a", 7, 9, 0)
    session.click("a", 4, 4, session.way - 1)
    for name, size in (("a", (9, 12)), (3, (7, 5))):
        logits = session.logits(name).astype(np.float64)
        wanted = np.exp(logits) / np.exp(logits).sum(0)
        found, unsure = session.probabilities(name), session.uncertainty(name)
        assert found.shape == (session.way, *size) and unsure.shape == size
        assert found.dtype == unsure.dtype == np.float32 and found.flags.writeable
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        ordered = np.sort(wanted, 0)
        np.testing.assert_allclose(unsure, 1 - (ordered[-1] - ordered[-2]), atol=2e-6)
        assert np.ptp(unsure) > 1e-4 and 0 <= unsure.min() <= unsure.max() <= 1


def test_shots_with_scores_of_their_own_are_joined_by_or():
    """OSLSM's: what any shot says is positive is, in the mask as in the logits; and an object more is another task."""
    session = Session(*small_model(5, **VARIANTS["early-hashed-regression"]), canvases=((24, 32),))
    rng = np.random.default_rng(0)
    for name in "abq":
        session.add(name, rng.integers(0, 256, (21, 26, 3), np.uint8))
    labels = {name: np.zeros((21, 26), np.uint8) for name in "ab"}
    labels["a"][4:15, 3:20], labels["b"][4:15, 3:12] = 1, 1
    masks = {}
    for shots in ("a", "b", "ab"):
        session.clear()
        for name in shots:
            session.annotate(name, labels[name])
        masks[shots] = session.mask("q")
        np.testing.assert_array_equal(masks[shots], session.logits("q").argmax(0))
    assert 0.1 < masks["a"].mean() < masks["b"].mean() < 0.9
    np.testing.assert_array_equal(masks["ab"], np.maximum(masks["a"], masks["b"]))
    assert session.add_object() == 2
    session.annotate("a", 2 * labels["a"])
    np.testing.assert_array_equal(session.mask("q"), session.logits("q").argmax(0))
