"""The vision transformers of DINOv2 and DINOv3, as a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A plain vision transformer with LayerScale and a GELU MLP of four times its width.

    Attributes:
        family: whose it is: `DINOv2` or `DINOv3`.
        width: channels of a token.
        depth: number of blocks.
        heads: heads of the attention.
        patch: side of a patch in pixels.
        registers: tokens beside the class token that stand for no patch (Darcet et al. 2024).
        learned: side of the grid of learned positions, in patches; 0: axial rotary positions, and keys without a bias.
        antialias: whether learned positions are resized with a filter that grows as the grid shrinks.
        eps: that LayerNorm adds to the variance.
    """

    family: str
    width: int
    depth: int
    heads: int
    patch: int
    registers: int
    learned: int
    antialias: bool
    eps: float

    def __str__(self) -> str:
        return describe(self.width, self.depth, self.patch, self.registers, self.learned)


def describe(width: int, depth: int, patch: int, registers: int, learned: int) -> str:
    """A vision transformer in words, as errors name it."""
    tokens = f"{registers} registers" if registers else "no registers"
    positions = f"learned positions of {learned}x{learned}" if learned else "rotary positions"
    return f"a ViT of width {width} with {depth} blocks, patch {patch}, {tokens} and {positions}"


def _dinov2(width: int, depth: int, heads: int, *, registers: bool = False, learned: int = 37) -> Architecture:
    # Meta's models with registers, and HF's, resize by an antialiased filter; those without do not.
    return Architecture("DINOv2", width, depth, heads, 14, 4 if registers else 0, learned, registers, 1e-6)


def _dinov3(width: int, depth: int, heads: int) -> Architecture:
    return Architecture("DINOv3", width, depth, heads, 16, 4, 0, False, 1e-5)


VITS: dict[str, Architecture] = {
    "dinov2-s": _dinov2(384, 12, 6),
    "dinov2-b": _dinov2(768, 12, 12),
    "dinov2-l": _dinov2(1024, 24, 16),
    "dinov2-s-registers": _dinov2(384, 12, 6, registers=True),
    "dinov2-b-registers": _dinov2(768, 12, 12, registers=True),
    "dinov2-l-registers": _dinov2(1024, 24, 16, registers=True),
    "dinov3-s": _dinov3(384, 12, 6),
    "dinov3-b": _dinov3(768, 12, 12),
    "dinov3-l": _dinov3(1024, 24, 16),
    "dinov2-tiny": _dinov2(16, 2, 2, learned=5),
    "dinov2-tiny-registers": _dinov2(16, 2, 2, registers=True, learned=5),
    "dinov3-tiny": _dinov3(16, 2, 2),
}
"""By name: S, B and L of both, and narrow ones to experiment with."""
