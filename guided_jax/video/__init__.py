"""Video: annotated frames guide once; each frame is segmented on its own, or guidance follows the clip."""

from guided_jax.video.following import MEMORIES, ClipMemory
from guided_jax.video.segmentor import VideoGuidance, VideoSegmentor

__all__ = ["MEMORIES", "ClipMemory", "VideoGuidance", "VideoSegmentor"]
