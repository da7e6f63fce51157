"""The trunk of a vision transformer: from a normalised image to the tokens of its patches, as maps."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from guided_jax.backbones.vit.architecture import Architecture
from guided_jax.backbones.vit.geometry import ViTGeometry
from guided_jax.backbones.vit.positions import resized_positions, rotary_angles, rotate
from guided_jax.resample import keep_valid, valid_cells

_init = nn.initializers.truncated_normal(0.02)


def _norm(eps: float, name: str) -> Callable:
    """LayerNorm, computed in float32 whatever the type of the tokens."""
    layer = nn.LayerNorm(eps, name=name)
    return lambda tokens: layer(tokens.astype(jnp.float32)).astype(tokens.dtype)


class Block(nn.Module):
    """Attention and MLP, each behind a LayerNorm and before a LayerScale.

    Attributes:
        architecture: whose block it is.
        dtype: type that is computed in; parameters are float32.
    """

    architecture: Architecture
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b t c"], seen: Bool[Array, "b t"], angles: Float[Array, "b p d"] | None
    ) -> Float[Array, "b t c"]:
        """Applies the block.

        Args:
            tokens: of class, registers and patches.
            seen: which tokens the others attend to: all but those of the padding.
            angles: of the patches, for rotary positions; None: learned ones lie in the tokens.
        """
        width, heads = self.architecture.width, self.architecture.heads
        norm = partial(_norm, self.architecture.eps)
        dense = partial(nn.Dense, dtype=self.dtype, kernel_init=_init)

        values = norm("norm1")(tokens)
        query, key, value = (
            dense(width, use_bias=name != "key" or angles is None, name=name)(values).reshape(
                *values.shape[:2], heads, -1
            )
            for name in ("query", "key", "value")
        )
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        with jax.numpy_dtype_promotion("standard"):  # JAX's own code mixes bfloat16 and float32
            values = jax.nn.dot_product_attention(query, key, value, mask=seen[:, None, None])
        tokens = tokens + self._scale("scale1") * dense(width, name="out")(values.reshape(tokens.shape))

        values = dense(4 * width, name="expand")(norm("norm2")(tokens))
        values = dense(width, name="contract")(nn.gelu(values, approximate=False))
        return tokens + self._scale("scale2") * values

    def _scale(self, name: str) -> Float[Array, "1 1 c"]:
        scale = self.param(name, nn.initializers.ones, (self.architecture.width,))
        return scale[None, None].astype(self.dtype)


class Trunk(nn.Module):
    """The patches, the tokens of class and registers, the blocks, and the last LayerNorm.

    Attributes:
        architecture: a value of `VITS`.
        remat: whether the gradient computes what lies inside a block again, in place of keeping it.
        dtype: type that is computed in; parameters are float32.
    """

    architecture: Architecture
    remat: bool = False
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 3"], size: Int32[Array, "b 2"], geometry: ViTGeometry
    ) -> tuple[Float[Array, "b n m c"], ...]:
        """Encodes normalised images on a canvas.

        The canvas, and an image whose sides are no multiples of the patch, go on in zeros: the mean colour. The grid of
        an image has as many rows and columns as there are patches with a pixel of it. Positions are those of this
        grid, and nothing attends to a patch of the padding.

        Args:
            image: normalised; what lies on the padding does not matter.
            size: true height and width of each image in pixels.
            geometry: the blocks that are read; those behind the last of them do not exist.

        Returns:
            The tokens of the patches behind each of these blocks, all of them under the last LayerNorm (as Meta's
            `get_intermediate_layers` gives them; that behind the last block is HF's `last_hidden_state`); 0 on the
            padding. The same, to rounding, as those of each image alone on a canvas of its own size.
        """
        a, lead = self.architecture, 1 + self.architecture.registers
        patches = to_patches(keep_valid(image.astype(self.dtype), size), a.patch)
        batch, grid = len(patches), patches.shape[1:3]
        cells = -(-size // a.patch)
        tokens = nn.Dense(a.width, dtype=self.dtype, kernel_init=_init, name="patches")(patches)
        angles = None
        if a.learned:
            learned = self.param("positions", _init, (a.learned, a.learned, a.width))
            tokens += resized_positions(learned, grid, cells, antialias=a.antialias).astype(self.dtype)
        else:
            angles = rotary_angles(grid, cells, a.width // a.heads)
        others = [self.param("class_token", _init, (1, a.width))]
        if a.registers:
            others.append(self.param("registers", _init, (a.registers, a.width)))
        others = jnp.broadcast_to(jnp.concatenate(others)[None], (batch, lead, a.width)).astype(self.dtype)
        tokens = jnp.concatenate([others, tokens.reshape(batch, -1, a.width)], 1)
        seen = jnp.concatenate([jnp.ones((batch, lead), bool), valid_cells(grid, cells).reshape(batch, -1)], 1)

        block = nn.remat(Block) if self.remat else Block
        norm = _norm(a.eps, "norm")
        maps = {}
        for number in range(1, geometry.blocks[-1] + 1):
            tokens = block(a, self.dtype, name=f"block{number}")(tokens, seen, angles)
            if number in geometry.blocks:
                maps[number] = keep_valid(norm(tokens)[:, lead:].reshape(batch, *grid, a.width), cells)
        return tuple(maps[number] for number in geometry.blocks)


def to_patches(image: Float[Array, "b h w k"], patch: int) -> Float[Array, "b n m p"]:
    """The values of every patch side by side, by row, column and channel; zeros fill the last row and column."""
    batch, height, width, channels = image.shape
    rows, columns = -(-height // patch), -(-width // patch)
    image = jnp.pad(image, ((0, 0), (0, rows * patch - height), (0, columns * patch - width), (0, 0)))
    image = image.reshape(batch, rows, patch, columns, patch, channels)
    return image.swapaxes(2, 3).reshape(batch, rows, columns, -1)
