"""The tree of a config as names, docs and dictionaries."""

import pytest

from experiments.settings.config import Config
from experiments.settings.fields import (
    describe_fields,
    differences,
    field_types,
    from_dict,
    read_stored,
    to_dict,
    with_overrides,
)
from guided_jax.stored_config import FieldError


def test_every_field_is_documented():
    lines = describe_fields(Config()).splitlines()
    assert [line for line in lines if line.rstrip().endswith(":")] == []
    assert len(lines) == 2 * len(field_types(Config))


def test_dict_and_back():
    config = Config(name="x")
    config.train.learning_rate = 1e-5
    assert from_dict(to_dict(config)) == config


def test_bad_dicts():
    values = to_dict(Config())
    del values["train"]["steps"]
    with pytest.raises(FieldError, match=r"here: the field train\.steps is missing"):
        from_dict(values, "here")
    with pytest.raises(FieldError, match=r"no field is called train\.step; did you mean steps\?"):
        from_dict({**values, "train": {"step": 1}})
    with pytest.raises(FieldError, match="seed=True is not of type int"):
        from_dict({**to_dict(Config()), "seed": True})
    with pytest.raises(FieldError, match="data must be a group of fields, not 3"):
        from_dict({**to_dict(Config()), "data": 3})


def test_what_an_older_version_wrote():
    """What came later has its default; what there is no more is refused."""
    config = Config(name="x", seed=7)
    config.model.stride, config.train.learning_rate = 16, 1.0
    values = to_dict(config)
    assert read_stored(values, "here") == config
    values["train"]["learning_rate"] = 1
    del values["train"]["corrections"], values["model"]["locality"], values["eval"], values["weights"]
    again = read_stored(values, "here")
    assert again == config
    assert type(again.train.learning_rate) is float
    again.eval.draws = 3  # the defaults of one are not those of another
    assert read_stored(values, "here") == config
    with pytest.raises(FieldError, match=r"^here: no field is called train\.colour$"):
        read_stored({**values, "train": {"colour": 1}}, "here")
    with pytest.raises(FieldError, match=r"^here: eval must be a group of fields, not 3$"):
        read_stored({**values, "eval": 3}, "here")
    with pytest.raises(FieldError, match=r"^here: it must be a group of fields, not \[\]$"):
        read_stored([], "here")


def test_overrides_make_a_copy():
    config = Config()
    changed = with_overrides(config, {"train.steps": 3, "train.learning_rate": 1, "name": "x"})
    assert (changed.train.steps, changed.train.learning_rate, changed.name) == (3, 1.0, "x")
    assert type(changed.train.learning_rate) is float
    assert config == Config()
    assert with_overrides(config, {}) == config


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.stps": 1}, r"here: no field is called train\.stps; did you mean train\.steps or tune\.steps\?"),
        ({"train": {}}, "here: no field is called train"),
        ({"train.steps": 1.5}, r"here: train\.steps=1\.5 is not of type int"),
    ],
)
def test_bad_overrides(overrides, message):
    with pytest.raises(FieldError, match=message):
        with_overrides(Config(), overrides, "here")


def test_differences_name_absent_fields():
    assert differences({"a": {"b": 1}}, {"a": {"c": "x"}}) == [
        "a.c: absent (workdir) != 'x' (now)",
        "a.b: 1 (workdir) != absent (now)",
    ]
