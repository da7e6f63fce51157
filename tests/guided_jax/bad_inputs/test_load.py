import pytest

import guided_jax
from tests.guided_jax.bad_inputs.refusals import check_refused

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
