"""What follows a clip in a session: the model itself or its trunk alone, compiled, one frame at a time."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PyTree, UInt8

from guided_jax.compiled import CompiledMethod
from guided_jax.episode import UNKNOWN
from guided_jax.observed import Observed
from guided_jax.segmentor import Segmentor
from guided_jax.session.tasks import power_of_two
from guided_jax.video.alone import encode_frames
from guided_jax.video.completing import follower_of
from guided_jax.video.following import ClipGuidance, guide_observed_clip, label_frame, lead_of_labels, score_frame


class Follower(NamedTuple):
    """Functions from (variables, ...), each compiled once for every shape.

    Attributes:
        model: that is followed with.
        variables: of it, on the device.
        encode: what is compared of a frame.
        guide: guidance by annotated frames.
        score: scores of a frame, and what is remembered after it.
        label: labels of a frame from its scores.
        lead: what the labels follow from.
    """

    model: Segmentor
    variables: PyTree
    encode: CompiledMethod
    guide: CompiledMethod
    score: CompiledMethod
    label: CompiledMethod
    lead: CompiledMethod

    def programs(self) -> int:
        """Number of programs compiled so far."""
        return sum(step.programs for step in self if isinstance(step, CompiledMethod))


def compile_follower(model: Segmentor, params: dict) -> Follower | None:
    """What follows a clip for a model with these parameters; None where its guidance cannot."""
    if (found := follower_of(model, params)) is None:
        return None
    model, params = found
    return Follower(
        model,
        {"params": params},
        CompiledMethod(model, encode_frames, "canvas"),
        CompiledMethod(model, guide_features, "way"),
        CompiledMethod(model, score_frame),
        CompiledMethod(model, label_frame, "canvas", "tasks"),
        CompiledMethod(model, lead_of_labels, "canvas"),
    )


def guide_features(
    module: Segmentor,
    features: Float[Array, "s n m c"],
    annotation: UInt8[Array, "1 s h w"],
    sizes: Int32[Array, "s 2"],
    *,
    way: int,
) -> ClipGuidance:
    """Guidance by annotated frames of which the features are at hand."""
    return guide_observed_clip(module, Observed(features, features, None, sizes), annotation, way=way, union=False)


def guide_clip(
    follower: Follower,
    features: list[Float[Array, "1 n m c"]],
    annotation: list[UInt8[np.ndarray, "h w"]],
    canvas: tuple[int, int],
    way: int,
) -> ClipGuidance:
    """Guidance by annotated frames, filled up with blank ones to a power of two, so that few programs are compiled.

    Args:
        follower: that follows the clip.
        features: of the frames, as it encodes them.
        annotation: of the frames, at the size that they have on the canvas.
        canvas: height and width of the canvas.
        way: number of labels.
    """
    (h, w), number = annotation[0].shape, len(features)
    # Blank frames weigh nothing; but `every` counts them.
    filled = number if follower.model.config.merge == "every" else power_of_two(number)
    maps = np.full((1, filled, *canvas), UNKNOWN, np.uint8)
    maps[0, :number, :h, :w] = np.stack(annotation)
    features = [*features, *[jnp.zeros_like(features[0])] * (filled - number)]
    sizes = np.tile(np.array([h, w], np.int32), (filled, 1))
    return follower.guide(follower.variables, jnp.concatenate(features), maps, sizes, way=way)
