"""The benchmark of several devices: what the compiled program sends, by hand and in a small network."""

import json

import jax
import numpy as np
import pytest

from experiments.benchmarks import scale
from experiments.settings.errors import UserError
from guided_jax.episode import blank_batch
from guided_jax.segmentor import Segmentor
from guided_jax.snapshots.models import PREPROCESSING, find_model
from tests.guided_jax.snapshots.narrow import make_narrow

PROGRAM = """
  %all-reduce.1 = (f32[3,4]{1,0}, s32[], bf16[2]{0}) all-reduce(%a, %b, %c), replica_groups={}
  %ag = f32[8]{0} all-gather-start(%x), dimensions={0}
  ROOT %add = f32[100]{0} add(%all-reduce.1, %y)
"""


def test_collectives_by_hand():
    assert scale.find_collectives(PROGRAM) == [("all-reduce", 48 + 4 + 4), ("all-gather", 32)]
    assert scale.find_collectives("%add = f32[100] add(%a, %b)") == []


def test_devices_send_each_other_the_gradients_and_nothing_else(monkeypatch, tmp_path, capsys):
    make_narrow(monkeypatch)
    scale.main(["scale", "--devices=1,2", "--batch=2", "--size=33x40", "--rounds=1", f"--workdir={tmp_path}"])
    one, two = json.loads((tmp_path / "scale.json").read_text())["rows"]
    assert (one["collectives"], one["bytes"], set(two["collectives"])) == ({}, 0, {"all-reduce"})
    model = Segmentor(find_model(scale.MODEL).config, PREPROCESSING)
    params = jax.eval_shape(model.init, jax.random.key(0), blank_batch(64))["params"]
    gradients = 4 * sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert 0 <= two["bytes"] - gradients < 100  # the sums of the loss besides
    assert 0.45 < two["operations"] / one["operations"] < 0.65
    assert " 2 " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--devices=3"], "--devices=3: each must divide --batch=8"),
        (["--devices=0"], "--devices=0: expects numbers from 1 to 1024, as 1,2,4"),
        (["--devices=512", "--batch=512"], "--devices=512: "),
    ],
)
def test_wrong_use(words, message):
    with pytest.raises(UserError) as error:
        scale.main(["scale", *words])
    assert str(error.value).startswith(message)
