"""Clips: frames of one size in an order, of a folder, a video file, arrays or a generator; read when needed."""

from guided_jax.clips.clip import Clip
from guided_jax.clips.opening import open_clip

__all__ = ["Clip", "open_clip"]
