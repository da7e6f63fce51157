"""One step that learns all of a ResNet: the same numbers by pmap, by jit and on one device."""

import numpy as np
import pytest

from guided_jax.learning.config import TrainConfig
from tests.guided_jax.learning.test_step import Trainer, batch_number, errors
from tests.guided_jax.small_models import small_model


def test_devices_do_not_change_the_training():
    model, params = small_model(backbone="resnet-tiny", grid="dilated", stride=8, layers="3,4")
    config = TrainConfig(learning_rate=1e-5, batch_size=8)
    expected, totals = Trainer(model, config).run(params, [batch_number(0)])
    assert np.isfinite(totals[0].loss)
    for mode in ("pmap", "jit"):
        state, others = Trainer(model, config, mode, 4).run(params, [batch_number(0)])
        assert others[0].loss == pytest.approx(totals[0].loss, rel=1e-5)
        wrong = {path: error for path, error in errors(state, expected).items() if not error <= 1e-4}
        assert not wrong
