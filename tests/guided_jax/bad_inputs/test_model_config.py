"""Types of a model's fields, where a program and no command line sets them."""

import pytest

from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
from tests.guided_jax.bad_inputs.refusals import check_refused

TYPES = [
    *(({"way": x}, f"model.way={x!r} is not of type int") for x in (2.0, True, "2", None)),
    ({"stride": 32.0}, "model.stride=32.0 is not of type int"),
    ({"dropout": "0.5"}, "model.dropout='0.5' is not of type float"),
    ({"init_std": True}, "model.init_std=True is not of type float"),
    ({"backbone": 16}, "model.backbone=16 is not of type str"),
    ({"fusion": ["late"]}, "model.fusion=['late'] is not of type str"),
]


@pytest.mark.parametrize(("fields", "message"), TYPES, ids=str)
def test_what_is_of_another_type(fields, message):
    check_refused(lambda: check_model(ModelConfig(**fields)), message)


def test_a_whole_number_is_a_float():
    check_model(ModelConfig(dropout=0, init_std=1))
