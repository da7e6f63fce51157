import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import TrainState, create_state

ABOUT = {"config": {"seed": 1, "nested": [1.5, "x"]}, "code": "abc"}


def make_state(step=3, optimizer="sgd", seed=0) -> TrainState:
    """All kinds of numbers that must survive: the smallest, the largest, signed zeros."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(3, 4)).astype(np.float32)
    kernel[0] = [np.float32(1e-45), np.finfo(np.float32).max, -0.0, np.nextafter(np.float32(1), np.float32(2))]
    params = {"trunk": {"kernel": rng.normal(size=5).astype(np.float32)}, "head": {"kernel": kernel, "bias": kernel[1]}}
    transform = make_optimizer(TrainConfig(optimizer=optimizer, clip_norm=1.0, schedule="cosine"))
    state = create_state(jax.tree.map(jnp.asarray, params), transform, "trunk")
    noise = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape).astype(leaf.dtype)), state.opt_state)
    return state._replace(step=jnp.asarray(step, jnp.int32), opt_state=noise)


def assert_same_bits(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def open_checkpoints(path, keep_last=2, keep_best=1) -> Checkpoints:
    return Checkpoints(path, keep_last=keep_last, keep_best=keep_best)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_round_trip_to_the_bit(tmp_path, optimizer):
    state = make_state(optimizer=optimizer)
    kept = open_checkpoints(tmp_path)
    kept.save(state, ABOUT, {"pos_iu": 0.25, "class_mean": 0.5})
    kept.close()
    again = open_checkpoints(tmp_path)
    assert again.newest() == again.best() == 3
    assert_same_bits(again.restore(3, make_state(0, optimizer, seed=1)), state)
    assert again.about(3) == json.loads((tmp_path / "3" / "about" / "metadata").read_text()) == ABOUT
    again.close()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_parameters_alone(tmp_path, optimizer):
    """Those that learnt and the frozen ones, whatever the optimiser, without its state; of a step before the newest."""
    state = make_state(optimizer=optimizer)
    kept = open_checkpoints(tmp_path)
    assert kept.steps() == []
    kept.save(make_state(5, optimizer, seed=1), ABOUT, None)
    kept.save(state, ABOUT, None)
    kept.wait()
    assert kept.steps() == [3, 5]
    assert set(state.frozen) == {"trunk/kernel"}
    assert_same_bits(kept.parameters(3), {**state.frozen, **state.learning})
    assert_same_bits(kept.restore(3, make_state(0, optimizer, seed=2)), state)  # the same manager resumes, too
    kept.close()


def test_a_checkpoint_without_parameters_is_refused(tmp_path):
    kept = open_checkpoints(tmp_path)
    kept.save(make_state(), ABOUT, None)
    kept.wait()
    folder = tmp_path / "3" / "state"
    shutil.rmtree(folder)
    ocp.PyTreeCheckpointer().save(folder, {"step": np.zeros((), np.int32), "learning": {"a": np.zeros(2)}})
    with pytest.raises(ValueError, match=r"state: the field frozen is missing: it is not the state of a training"):
        kept.parameters(3)
    kept.close()


def test_the_state_may_be_donated_while_it_is_written(tmp_path):
    state = jax.device_put(make_state())
    before = jax.device_get(state)
    kept = open_checkpoints(tmp_path)
    kept.save(state, ABOUT, None)
    jax.jit(lambda tree: jax.tree.map(jnp.zeros_like, tree), donate_argnums=0)(state)
    kept.wait()
    assert_same_bits(kept.restore(3, make_state(0)), before)
    kept.close()


def test_what_is_kept(tmp_path):
    """The newest two, and the best one by positive IU; without a score none is the best."""
    scores = {1: None, 2: 0.9, 3: np.nan, 4: 0.6, 5: None, 6: None, 7: 0.8}
    left = []
    for step, score in scores.items():
        if step in (1, 5):  # a run that was interrupted knows the best of before
            kept = open_checkpoints(tmp_path)
        kept.save(make_state(step), ABOUT, None if score is None else {"pos_iu": score})
        kept.wait()
        left.append(sorted(int(path.name) for path in tmp_path.iterdir()))
        if step == 4:
            kept.close()
    assert left == [[1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5], [2, 5, 6], [2, 6, 7]]
    assert (kept.newest(), kept.best()) == (7, 2)
    kept.close()


def test_of_equally_good_ones_the_newer_is_kept(tmp_path):
    kept = open_checkpoints(tmp_path, keep_last=1, keep_best=2)
    for step, score in {1: 0.5, 2: 0.5, 3: 0.5, 4: 0.1}.items():
        kept.save(make_state(step), ABOUT, {"pos_iu": score})
    kept.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "4"]
    assert kept.best() == 3
    kept.close()


def test_fewer_good_ones_than_are_kept(tmp_path):
    kept = open_checkpoints(tmp_path, keep_last=1, keep_best=5)
    for step in range(1, 5):
        kept.save(make_state(step), ABOUT, {"pos_iu": 1 / step})
    kept.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3", "4"]
    kept.close()


def test_keep_last_alone(tmp_path):
    kept = open_checkpoints(tmp_path, keep_last=1, keep_best=0)
    for step, score in {1: 0.9, 2: 0.1}.items():
        kept.save(make_state(step), ABOUT, {"pos_iu": score})
    kept.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["2"]
    assert kept.best() == 2
    kept.close()


def test_an_empty_folder(tmp_path):
    kept = open_checkpoints(tmp_path / "new")
    assert kept.newest() is kept.best() is None
    kept.close()


def test_the_best_of_none_scored_is_the_newest(tmp_path):
    kept = open_checkpoints(tmp_path)
    for step in (1, 2):
        kept.save(make_state(step), ABOUT, None)
    kept.wait()
    assert kept.best() == 2
    kept.close()


def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path):
    kept = open_checkpoints(tmp_path)
    kept.save(make_state(1), ABOUT, None)
    kept.close()
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "2.orbax-checkpoint-tmp" / "state").write_text("half")
    again = open_checkpoints(tmp_path)
    assert again.newest() == 1
    again.save(make_state(2), ABOUT, None)
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_a_reader_leaves_alone_what_is_being_written(tmp_path):
    kept = open_checkpoints(tmp_path)
    kept.save(make_state(1), ABOUT, None)
    kept.close()
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    reader = Checkpoints(tmp_path, keep_last=1, keep_best=0, read_only=True)
    assert reader.newest() == 1
    reader.close()
    assert (tmp_path / "2.orbax-checkpoint-tmp").is_dir()
    nowhere = Checkpoints(tmp_path / "no", keep_last=1, keep_best=0, read_only=True)
    assert nowhere.newest() is None
    nowhere.close()
    assert not (tmp_path / "no").exists()


def test_a_state_of_another_shape_is_refused(tmp_path):
    kept = open_checkpoints(tmp_path)
    state = make_state()
    kept.save(state, ABOUT, None)
    kept.wait()
    other = state._replace(learning={**state.learning, "head/bias": jnp.zeros(9)})
    with pytest.raises(ValueError, match=r"step 3: .*head/bias.* has shape \(4,\), not \(9,\)"):
        kept.restore(3, other)
    with pytest.raises(ValueError, match="another/one"):
        kept.restore(3, state._replace(learning={**state.learning, "another/one": jnp.zeros(1)}))
    kept.close()
