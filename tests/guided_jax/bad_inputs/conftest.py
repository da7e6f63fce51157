"""The package as users call it: the suite checks every signature at run time, and would refuse first."""

import jaxtyping
import pytest


@pytest.fixture(autouse=True)
def unchecked_signatures():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
