"""The pure functions of a session, each a method on the bound model, and their compiled form."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, PyTree, UInt8

from guided_jax.compiled import CompiledMethod
from guided_jax.guided_filter import FilterGuide, apply_filter, filter_guide, to_blocks
from guided_jax.guides.clicks import PaddedClicks
from guided_jax.guides.guidance import Guidance, Task
from guided_jax.inference.union import union_logits
from guided_jax.model_config import guidance_labels
from guided_jax.observed import Observed
from guided_jax.resample import interpolate, valid_cells
from guided_jax.segmentor import Segmentor


class Steps(NamedTuple):
    """The functions below, each from (variables, ...), compiled once for every shape.

    Attributes:
        observe: the encoder, on an image.
        refine: support features of an observed image, as its annotation needs them.
        query: what the head sees of an image, where that depends on the image's annotation.
        guide: guidance of an annotated image; None where nothing guides the model.
        labels: label map of a query.
        apart: what the labels of a query follow from.
        logits: logits of a query.
        probabilities: of the labels of a query.
        uncertainty: of the label map of a query.
        edges: of an image, what guides the filter of its labels; None: they are interpolated.
    """

    observe: CompiledMethod
    refine: Callable
    query: CompiledMethod
    guide: Callable
    labels: CompiledMethod
    apart: CompiledMethod
    logits: CompiledMethod
    probabilities: CompiledMethod
    uncertainty: CompiledMethod
    edges: CompiledMethod | None

    def programs(self) -> int:
        """Number of programs compiled so far."""
        return sum(step.programs for step in self if isinstance(step, CompiledMethod))


def compile_steps(model: Segmentor, *, filtered: bool = False) -> Steps:
    """Compiles the steps of sessions on a model, whose labels may be filtered."""
    step = partial(CompiledMethod, model)
    interpolates, guided = model.config.support_grid == "interpolated", guidance_labels(model.config) > 0
    return Steps(
        observe=step(observe),
        refine=step(refine, "canvas") if interpolates else lambda _, observed, canvas: observed.support,
        query=step(Segmentor.query_observed, "way"),
        guide=step(guide, "way") if guided else lambda *_, way: None,
        labels=step(segment_labels, "canvas"),
        apart=step(segment_apart, "canvas"),
        logits=step(segment_logits, "canvas"),
        probabilities=step(segment_probabilities, "canvas"),
        uncertainty=step(segment_uncertainty, "canvas"),
        edges=step(find_edges) if filtered else None,
    )


def observe(model: Segmentor, image: UInt8[Array, "b h w 3"], size: Int32[Array, "b 2"]) -> Observed:
    """All that does not depend on an annotation, but for the interpolation of the support, which few images need."""
    return model.observe(image, image.shape[1:3], size, refined=False)


def refine(model: Segmentor, observed: Observed, canvas: tuple[int, int]) -> Float[Array, "b n m c"]:
    """The interpolation that `observe` leaves out."""
    return model.refine_observed(observed, canvas).support


def guide(model: Segmentor, observed: Observed, annotation: UInt8[Array, "1 h w"] | PaddedClicks, way: int) -> Guidance:
    """Guidance [1, k, ...] of an annotated image, without the features that `observed` holds, which are not copied."""
    shot = model.guide_observed(observed, annotation, way)
    return shot if observed.support is None else shot._replace(features=None)


def with_features(shot: Guidance, observed: Observed) -> Guidance:
    """Gives guidance of `guide` the features that belong to the weights that it keeps."""
    left_out = shot.weights is not None and shot.features is None
    return shot._replace(features=observed.support) if left_out else shot


def find_edges(model: Segmentor, image: UInt8[Array, "1 h w 3"], size: Int32[Array, "1 2"]) -> FilterGuide:
    """What guides the filter of an image's labels; it depends on the image alone."""
    del model
    return filter_guide(image, size)


Tasks = tuple[tuple[PyTree, tuple[Guidance, ...]], ...]
"""What the head sees of a query and the shots, for each of the tasks whose union is segmented."""


def segment_logits(
    model: Segmentor, tasks: Tasks, size: Int32[Array, "1 2"], canvas: tuple[int, int]
) -> Float[Array, "1 k h w"]:
    """Logits at every pixel of the canvas; of several tasks those of their union, 0 for the negative."""
    logits = [model.segment(query, _merge(model, shots), canvas, size) for query, shots in tasks]
    return logits[0] if len(logits) == 1 else union_logits(jnp.stack(logits))


def segment_probabilities(
    model: Segmentor, tasks: Tasks, size: Int32[Array, "1 2"], canvas: tuple[int, int]
) -> Float[Array, "1 k h w"]:
    """Probabilities of the labels at every pixel of the canvas, by the softmax of the logits."""
    return jax.nn.softmax(segment_logits(model, tasks, size, canvas), 1)


def segment_uncertainty(
    model: Segmentor, tasks: Tasks, size: Int32[Array, "1 2"], canvas: tuple[int, int]
) -> Float[Array, "1 h w"]:
    """1 less the margin between the two likeliest labels, at every pixel of the canvas."""
    ordered = jnp.sort(segment_probabilities(model, tasks, size, canvas), 1)
    return 1 - (ordered[:, -1] - ordered[:, -2])


def segment_labels(
    model: Segmentor, tasks: Tasks, size: Int32[Array, "1 2"], edges: FilterGuide | None, canvas: tuple[int, int]
) -> UInt8[Array, "1 h w"]:
    """The label of the greatest logit at every pixel, on a tie the smallest."""
    apart = segment_apart(model, tasks, size, edges, canvas)
    if apart.shape[1] == 1:
        return (apart[:, 0] > 0).astype(jnp.uint8)
    return jnp.where(apart.max(1) > 0, jnp.argmax(apart, 1).astype(jnp.uint8) + jnp.uint8(1), jnp.uint8(0))


def segment_apart(
    model: Segmentor, tasks: Tasks, size: Int32[Array, "1 2"], edges: FilterGuide | None, canvas: tuple[int, int]
) -> Float[Array, "1 k h w"]:
    """By how much each positive label leads the negative at every pixel, up to a factor that they share.

    With edges the logits come to the pixels by the guided filter, in place of interpolation.

    Interpolation is linear, and the labels share its normaliser, which is positive: so the scores less those of the
    negative are interpolated, one plane less, and never divided. Where every shot has scores of its own
    (`merge=union`), those of all shots are, and the greatest counts.
    """
    scores = [model.head(query, _merge(model, shots), None)[0] for query, shots in tasks]
    union = model.config.merge == "union"
    apart = jnp.concatenate(scores if union else [each[:, 1:] - each[:, :1] for each in scores], 1)
    inside = valid_cells(apart.shape[-2:], model.geometry.cells(size))[:, None]
    if edges is not None:
        apart = apply_filter(edges, to_blocks(apart, model.geometry, canvas, size))
    else:
        weights = (model.geometry.pixel_weights(side) for side in canvas)
        apart = interpolate(jnp.where(inside, apart, 0.0), *weights)
    if not union:
        return apart
    shots = apart.shape[1] // len(tasks)
    return apart.reshape(apart.shape[0], len(tasks), shots, *apart.shape[2:]).max(2)


def _merge(model: Segmentor, shots: tuple[Guidance, ...]) -> Task:
    """Merges shots whose canvases may differ; none: the model is guided by none."""
    if not shots:
        return model.merge(None)
    if shots[0].weights is not None:
        sides = [max(shot.weights.shape[axis] for shot in shots) for axis in (-2, -1)]
        shots = [_widen(shot, sides) for shot in shots]
    return model.merge(jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *shots))


def _widen(shot: Guidance, sides: list[int]) -> Guidance:
    """Pads what is kept of a shot by cells without weight."""
    more = [(0, side - now) for side, now in zip(sides, shot.weights.shape[-2:], strict=True)]
    features = jnp.pad(shot.features.astype(jnp.float32), ((0, 0), *more, (0, 0)))
    return shot._replace(features=features, weights=jnp.pad(shot.weights, ((0, 0), (0, 0), *more)))
