"""Guidance that follows a clip: what a model computes of each frame, and in which order of frames.

Forward: frame after frame, online; each is compared with the annotated ones and with the one before. Both ways: again
backward from the last annotated frame, for what lies before it; between two annotated frames both are weighed by how
near each of these is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, UInt8

from guided_jax.guided_filter import apply_filter, filter_guide, to_blocks
from guided_jax.guides.memory import (
    Remembered,
    certainty_of,
    clip_similarities,
    lose_far_away,
    sum_similarities,
)
from guided_jax.inference.labels import predict_labels
from guided_jax.model_config import ModelConfig
from guided_jax.observed import Observed
from guided_jax.resample import unit
from guided_jax.segmentor import Segmentor
from guided_jax.video.alone import guide_observed_frames

MEMORIES = ("none", "forward", "both")
"""Whether guidance follows a clip, and which way."""

RADIUS = 8
"""Pixels from the centre of the guided filter's windows to their sides."""


FOLLOWS = {"inference": "distance", "locality": "both", "metric": "cosine", "grid": "taps", "support_grid": "same"}
"""Fields of the models whose guidance can follow a clip."""


class ClipGuidance(NamedTuple):
    """What the annotated frames of a clip say, to guidance that follows it.

    Attributes:
        z: prototypes of the k labels of each of t tasks.
        annotated: these frames, certain where they are annotated.
    """

    z: Float[Array, "t k c"]
    annotated: Remembered


class ClipState(NamedTuple):
    """What is remembered of a clip.

    Attributes:
        previous: the frame before the next one, in the order of the way; all 0 where there is none.
        annotated: certainty of each cell of the annotated frames: the annotation, or what it was segmented as.
    """

    previous: Remembered
    annotated: Float[Array, "t k s n m"]


@dataclass
class ClipMemory:
    """A clip that is segmented in several goes, as where an object comes late; each goes on from the one before.

    Attributes:
        frame: number of the next frame, from 0.
        state: what is remembered; None before the first go.
    """

    frame: int = 0
    state: ClipState | None = None


def check_memory(config: ModelConfig, memory: str) -> None:
    """Raises ValueError where there is no such memory, or guidance of the model cannot follow a clip."""
    if memory not in MEMORIES:
        raise ValueError(f"memory={memory!r} is not one of {', '.join(MEMORIES)}")
    if memory == "none":
        return
    for field, value in FOLLOWS.items():
        if (found := getattr(config, field)) != value:
            raise ValueError(
                f"memory={memory}: it compares features of frames as they are, and sums similarities; the model has "
                f"model.{field}={found}, not {value}"
            )


def guide_clip(
    module: Segmentor,
    images: UInt8[Array, "s h w 3"],
    annotation: UInt8[Array, "a s h w"],
    sizes: Int32[Array, "s 2"],
    *,
    canvas: tuple[int, int],
    way: int,
    union: bool,
) -> ClipGuidance:
    """Guidance by annotated frames; the tasks of one annotation follow each other."""
    return guide_observed_clip(module, module.observe(images, canvas, sizes), annotation, way=way, union=union)


def guide_observed_clip(
    module: Segmentor, observed: Observed, annotation: UInt8[Array, "a s h w"], *, way: int, union: bool
) -> ClipGuidance:
    """The same, of frames that are observed already."""
    tasks = guide_observed_frames(module, observed, annotation, way=way, union=union)
    features = unit(observed.support)
    known = tasks.neighbours.of_label.reshape(*tasks.z.shape[:2], *features.shape[:3]).astype(jnp.float32)
    return ClipGuidance(tasks.z, Remembered(features, known))


def score_frame(
    module: Segmentor,
    query: Float[Array, "b n m c"],
    number: Int32[Array, ""],
    guidance: ClipGuidance,
    state: ClipState,
    shot: Int32[Array, ""],
) -> tuple[Float[Array, "t k n m"], ClipState]:
    """Scores of the cells of one frame, and what is remembered after it.

    Args:
        module: the model.
        query: features of some frames.
        number: which of them it is.
        guidance: by the annotated frames.
        state: what is remembered before it.
        shot: which of the annotated frames it is; -1: none.
    """
    features = unit(jax.lax.dynamic_index_in_dim(query, number, keepdims=False))
    index, annotates = jnp.maximum(shot, 0), shot >= 0
    known = jnp.where(annotates, guidance.annotated.certainty[:, :, index], 0.0)
    annotated = guidance.annotated._replace(certainty=state.annotated)
    found = clip_similarities(features, guidance.z, annotated, state.previous, known)
    scores = lose_far_away(sum_similarities(found, jnp.exp(module.head.log_temperature)), known)
    certainty = certainty_of(scores, known)
    completed = jnp.where(annotates, state.annotated.at[:, :, index].set(certainty), state.annotated)
    return scores, ClipState(Remembered(features[None], certainty[:, :, None]), completed)


def label_frame(
    module: Segmentor,
    scores: Float[Array, "t k n m"],
    image: UInt8[Array, "1 h w 3"],
    size: Int32[Array, "1 2"],
    *,
    canvas: tuple[int, int],
    tasks: int,
) -> UInt8[Array, "a h w"]:
    """Labels of the pixels of a frame: by the scores of the positive labels above the negative's, along its edges.

    Args:
        module: the model.
        scores: of the cells, in `tasks` tasks of each annotation.
        image: the frame on its canvas.
        size: its height and width.
        canvas: height and width of the canvas.
        tasks: more than one is a union of binary tasks.
    """
    above = scores[:, 1:] - scores[:, :1]
    planes = above.reshape(-1, tasks * above.shape[1], *above.shape[2:])
    guide = filter_guide(image, size, radius=RADIUS)

    def label(of_annotation):
        filtered = _filter(module, of_annotation, guide, size, canvas)
        return predict_labels(jnp.concatenate([jnp.zeros_like(filtered[:1]), filtered]))

    return jax.lax.map(label, planes)


def lead_of_labels(
    module: Segmentor,
    scores: Float[Array, "1 k n m"],
    image: UInt8[Array, "1 h w 3"],
    size: Int32[Array, "1 2"],
    *,
    canvas: tuple[int, int],
) -> Float[Array, "l h w"]:
    """By how much each positive label of a task leads the negative at the pixels of a frame: labels follow from it."""
    guide = filter_guide(image, size, radius=RADIUS)
    return _filter(module, scores[0, 1:] - scores[0, :1], guide, size, canvas)


def _filter(module, planes: Float[Array, "l n m"], guide, size, canvas) -> Float[Array, "l h w"]:
    blocks = to_blocks(planes[None], module.geometry, canvas, size)
    return apply_filter(guide, blocks, radius=RADIUS)[0]


def begin(guidance: ClipGuidance, before: ClipState | None, tasks: int) -> ClipState:
    """What is remembered when a go begins: nothing but the annotated frames, or what the go before left.

    Nothing is remembered of labels, tasks and annotated frames that were not there before.

    Args:
        guidance: of this go.
        before: of the go before, of no more labels, tasks and annotated frames; None: it is the first.
        tasks: of each annotation; they are the ones that may have become more.
    """
    features, certainty = guidance.annotated
    if before is None:
        nothing = Remembered(jnp.zeros_like(features[:1]), jnp.zeros_like(certainty[:, :, :1]))
        return ClipState(nothing, certainty)

    def grown(values, like):
        new, old = (each.reshape(-1, o, *each.shape[1:]) for each, o in ((like, tasks), (values, old_tasks)))
        _, o, k, s = old.shape[:4]
        return new.at[:, :o, :k, :s].set(old).reshape(like.shape)

    old_tasks = tasks * len(before.annotated) // len(certainty)
    previous = grown(before.previous.certainty, jnp.zeros_like(certainty[:, :, :1]))
    return ClipState(before.previous._replace(certainty=previous), grown(before.annotated, certainty))


Score = Callable[[int, ClipState], tuple[Float[Array, "t k n m"], ClipState]]
"""From the number of a frame and what is remembered to its scores and what is remembered after it."""


def score_both_ways(
    score: Score, frames: range, annotated: list[int], state: ClipState, *, goes_on: bool
) -> tuple[list[Float[Array, "t k n m"]], ClipState]:
    """Scores of frames, and what is remembered of the last one.

    Args:
        score: of a frame.
        frames: their numbers.
        annotated: numbers of the annotated ones of them, ascending.
        state: what is remembered before them.
        goes_on: whether that holds the frame before them; else the way forward begins at the first annotated one.
    """
    forward, backward, nothing = {}, {}, jax.tree.map(jnp.zeros_like, state.previous)
    for number in frames if goes_on or not annotated else range(annotated[0], frames.stop):
        forward[number], state = score(number, state)
    if annotated:
        back = state._replace(previous=nothing)
        for number in range(annotated[-1], frames.start - 1, -1):
            backward[number], back = score(number, back)

    def join(number):
        if number not in forward or number not in backward:
            return forward.get(number, backward.get(number))
        return join_ways(forward[number], backward[number], number, annotated, first=frames.start)

    return [join(number) for number in frames], state


def join_ways(
    forward: Float[Array, "t k n m"],
    backward: Float[Array, "t k n m"],
    number: int,
    annotated: list[int],
    *,
    first: int = 0,
) -> Float[Array, "t k n m"]:
    """Scores of a frame on both ways, each weighed by how near the annotated frame is that it comes from.

    Args:
        forward: scores on the way forward.
        backward: scores on the way backward.
        number: of the frame.
        annotated: numbers of the annotated frames, ascending; one of them at least is not before the frame.
        first: number of the frame that stands for an annotated one before the first of these.
    """
    behind = max((each for each in annotated if each <= number), default=first)
    ahead = min(each for each in annotated if each >= number)
    part = (number - behind) / max(ahead - behind, 1)
    return (1 - part) * forward + part * backward
