import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from guided_jax.backbones.vit.positions import bicubic_weights, resized_positions, rotary_angles, rotate


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("cells", [(37, 37), (30, 54), (4, 61), (1, 2)])
def test_resizing_is_that_of_torch(cells, antialias):
    values = np.random.default_rng(0).standard_normal((37, 37, 3), np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(values).permute(2, 0, 1)[None], size=cells, mode="bicubic", antialias=antialias
    )
    resize = jax.jit(lambda cells: resized_positions(jnp.asarray(values), (54, 61), cells, antialias=antialias))
    ours = np.asarray(resize(np.array([cells], np.int32)))[0, : cells[0], : cells[1]]
    np.testing.assert_allclose(ours, theirs[0].permute(1, 2, 0).numpy(), atol=2e-5)


@pytest.mark.parametrize("antialias", [False, True])
def test_the_learned_grid_stays_as_it_is_and_constants_too(antialias):
    weights = jax.jit(lambda sides: bicubic_weights(5, sides, 5, antialias=antialias))
    own, other = np.asarray(weights(np.array([5, 3], np.int32)))
    np.testing.assert_allclose(own, np.eye(5), atol=1e-6)
    np.testing.assert_allclose(other[:3].sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(other[:3], other[2::-1, ::-1], atol=1e-5)  # a mirrored side is resized alike


def test_angles_by_hand():
    """Heads of 8 channels: frequencies 1 and 1 / 10 for rows, then the same for columns, then all again."""
    angles = np.asarray(rotary_angles((3, 2), jnp.array([[2, 1]], jnp.int32), 8)).reshape(3, 2, 8)
    rows, columns = np.array([-0.5, 0.5]), 0.0  # centres of two patches, and of one
    for i, y in enumerate(rows):
        half = 2 * np.pi * np.array([y, y / 10, columns, columns])
        np.testing.assert_allclose(angles[i, 0], [*half, *half], atol=1e-6)


def test_a_turn_keeps_lengths_and_leaves_the_first_tokens():
    tokens = np.random.default_rng(0).standard_normal((1, 3, 2, 8), np.float32)
    angles = rotary_angles((1, 2), jnp.array([[1, 2]], jnp.int32), 8)
    turned = np.asarray(rotate(jnp.asarray(tokens), angles))
    np.testing.assert_array_equal(turned[:, 0], tokens[:, 0])
    assert np.abs(turned[:, 1:] - tokens[:, 1:]).max() > 0.1
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(tokens, axis=-1), rtol=1e-5)
