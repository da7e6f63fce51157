"""Probabilities and uncertainty are those of the logits."""

import numpy as np
import pytest

from tests.guided_jax.session.small_sessions import session_of


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
