"""The benchmark of training: the network that is measured against is the same, and the rows say what was counted."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import train
from experiments.benchmarks.command import parse_numbers
from experiments.benchmarks.roof import Roof, count_operations
from experiments.benchmarks.timing import alternate, median_ratio
from experiments.settings.errors import UserError
from guided_jax.layers.convolution import convolve
from tests.guided_jax.snapshots.narrow import make_narrow

torch = pytest.importorskip("torch", reason="PyTorch is measured against: pip install 'guided_jax[test]'")

from experiments.benchmarks import torch_guided  # noqa: E402

SIZE = 40, 66
ROOF = Roof({"float32": 1e9, "bfloat16": 3e9}, {"float32": 2e9, "bfloat16": 1e9}, 1e9)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    make_narrow(monkeypatch)
    monkeypatch.setattr(torch_guided, "STAGES", tuple((4,) * len(widths) for widths in torch_guided.STAGES))
    monkeypatch.setattr(torch_guided, "WIDTH", 6)
    torch.set_num_threads(1)


@pytest.fixture
def network():
    """Of such a scale that its logits tell labels apart."""
    found, _ = torch_guided.training_step("reference")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.mul_(3).add_(0.05 * torch.randn(parameter.shape))
        found.encoder.conv1_1.weight.mul_(0.02)
    return found


@pytest.mark.parametrize("shots", [0, 2])
def test_it_is_the_same_network(network, shots):
    episodes = train.draw_episodes(2, *SIZE, shots)
    params = train.reference_params(network)
    assert train.compare_losses(network, params, episodes) < 1e-5
    with torch.no_grad():
        logits = [network.eval()(train.for_torch(episodes), together=way) for way in (False, True)]
    torch.testing.assert_close(*logits)
    assert (logits[0][:, 1] - logits[0][:, 0]).std() > 1e-4
    changed = jax.tree.map(lambda leaf: leaf * 1.2, params)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        train.compare_losses(network, changed, episodes)


@pytest.mark.parametrize("kind", ["reference", "modern"])
def test_pytorch_learns(kind):
    network, step = torch_guided.training_step(kind)
    episodes = train.for_torch(train.draw_episodes(2, *SIZE, 1))
    weight = network.head["score"].weight
    before = weight.detach().clone()
    assert 0.4 < step(episodes) < 1.2
    assert weight.grad.abs().max() > 1e-3
    torch.testing.assert_close(weight.detach(), before - 1e-5 * (weight.grad + 5e-4 * before), rtol=0, atol=3e-8)
    assert all(torch.isfinite(each.grad).all() for each in network.parameters())


def test_the_rows_of_a_table(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(train, "measure_roof", lambda: ROOF)
    words = ["--sizes=40x66", "--shots=2", "--batch=2", "--rounds=1", f"--workdir={tmp_path}"]
    train.main(["train", *words])
    (table,) = json.loads((tmp_path / "train.json").read_text())["tables"]
    assert (table["height"], table["width"], table["shots"]) == (40, 66, 2)
    rows = {row["name"]: row for row in table["rows"]}
    assert rows[train.REFERENCE]["ratio"] == 1
    for row in rows.values():
        assert row["episodes_per_second"] == pytest.approx(1000 * row["batch"] / row["ms"])
        # One round: the ratio is that of the two times, for an episode.
        assert row["ratio"] == pytest.approx(row["batch"] * rows[train.REFERENCE]["ms"] / row["ms"])
        if "roof" in row:
            assert row["roof"] == pytest.approx(row["operations"] / (row["ms"] / 1000) / ROOF.of(row["dtype"]))
    frozen, cached = (rows[f"{way}, 2 episodes, float32"]["operations"] for way in ("frozen", "cached"))
    full, batch = (rows[f"full, {many}, bfloat16"]["operations"] for many in ("1 episode", "2 episodes"))
    assert cached < frozen < batch and batch == pytest.approx(2 * full, rel=0.1)
    printed = capsys.readouterr().out
    assert "40x66, semantic, S = 2" in printed and all(name in printed for name in rows)


def test_the_greater_of_two_rates_is_the_roof():
    assert (ROOF.of("float32"), ROOF.of("bfloat16")) == (2e9, 3e9)


def test_functions_take_turns():
    called = []
    times = alternate({name: lambda name=name: called.append(name) for name in "ab"}, 2)
    assert called == ["a", "b", "a", "b"] and [len(times[name]) for name in "ab"] == [2, 2]
    assert median_ratio([1.0, 6.0, 8.0], [1.0, 2.0, 4.0]) == 2.0


@pytest.mark.parametrize("texts", [["-1"], ["1.5"], ["101"], [""], ["1", "x"], []])
def test_numbers_out_of_range(texts):
    assert parse_numbers(["0", "100"], "--shots", 0, 100, "0,1") == [0, 100]
    with pytest.raises(UserError, match=r"--shots=.*: expects numbers from 0 to 100, as 0,1"):
        parse_numbers(texts, "--shots", 0, 100, "0,1")


def test_episodes_as_they_are_drawn():
    episodes = train.draw_episodes(3, *SIZE, 2)
    assert episodes.support.shape == (3, 2, *SIZE, 3) and episodes.annotation.shape == (3, 1, 2, *SIZE)
    for label in range(2):
        many = (episodes.annotation == label).sum((-2, -1))
        assert np.all((many >= 1) & (many <= train.POINTS))
    assert train.draw_episodes(1, *SIZE, 0).support is None


def test_operations_are_those_of_a_program_without_loops():
    """Two convolutions for the layer and the gradient of its kernel, which a CPU's program makes in a loop."""
    maps, kernel = jnp.ones((1, 64, 64, 4)), jnp.ones((3, 3, 4, 8))

    def total(kernel):
        same = {"rhs_dilation": (1, 1), "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        return jnp.square(convolve(maps, kernel, (1, 1), [(1, 1), (1, 1)], **same)).sum()

    assert count_operations(jax.jit(jax.grad(total)).trace(kernel)) == pytest.approx(
        2 * 2 * 64 * 64 * 9 * 4 * 8, rel=0.05
    )
