import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import guided_jax
from guided_jax.loaded_model import LoadedModel
from tests.guided_jax.bad_inputs.refusals import check_refused
from tests.guided_jax.small_models import small_model

PATHS = {
    "none": (None, "the path of a model is None; it must be a str or a Path"),
    "number": (3, "the path of a model is 3; it must be a str or a Path"),
    "list": (["a.safetensors"], "the path of a model is a list; it must be a str or a Path"),
    "nothing there": ("there/is/none.safetensors", "there/is/none.safetensors: no such file or folder"),
    "long": ("a" * 300, "cannot be read: "),
    "null": ("a\0b", "no such file or folder"),
    "nobody's home": ("~nobody-of-this-name/a.safetensors", "cannot be read: "),
}


@pytest.mark.parametrize(("path", "message"), PATHS.values(), ids=PATHS)
def test_what_is_no_path(path, message):
    check_refused(lambda: guided_jax.load(path), message)


@pytest.mark.parametrize("step", ["100", 100.0, True])
def test_what_is_no_step(step, tmp_path):
    check_refused(lambda: guided_jax.load(tmp_path, step=step), f"step is {step!r}; it must be a whole number")


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    check_refused(lambda: guided_jax.load("~/guide.safetensors"), f"{tmp_path}/guide.safetensors: no such file")


def changed(**leaves):
    """The parameters of the small model with other leaves; None takes one away."""
    params = {**flatten_dict(small_model()[1], sep="/"), **leaves}
    return unflatten_dict({name: leaf for name, leaf in params.items() if leaf is not None}, sep="/")


NOT_THOSE = "params: its parameters are not those of its model"
PARAMS = {
    "missing": (lambda: changed(**{"head/score/bias": None}), f"{NOT_THOSE}: head/score/bias is missing, not (1,)"),
    "extra": (lambda: changed(extra=np.zeros(3)), f"{NOT_THOSE}: extra is (3,), not a parameter"),
    "shape": (lambda: changed(**{"head/score/bias": np.zeros(5)}), f"{NOT_THOSE}: head/score/bias is (5,), not (1,)"),
    "several": (lambda: small_model(feature_width=4)[1], " more"),
    "empty": (dict, f"{NOT_THOSE}: "),
    "variables": (lambda: {"params": small_model()[1]}, 'give what lies in it: params["params"]'),
    "a list": (lambda: [1], "params is a list; it must be a dict"),
    "a leaf of None": (
        lambda: {"head": {"score": {"bias": None}}},
        "params: head/score/bias is None; it must be an array",
    ),
    "a leaf that is a list": (lambda: changed(**{"head/score/bias": [0.0, 0.0]}), "head/score/bias is a list"),
    "numbers as names": (lambda: {1: {2: np.zeros(3)}}, f"{NOT_THOSE}: "),
}


@pytest.mark.parametrize("kind", [guided_jax.Session, guided_jax.VideoSegmentor])
@pytest.mark.parametrize(("params", "message"), PARAMS.values(), ids=PARAMS)
def test_parameters_that_do_not_fit_the_model(kind, params, message):
    model = small_model()[0]
    check_refused(lambda: kind(model, params()), message)
    check_refused(lambda: kind(LoadedModel(model, params(), {})), message)
