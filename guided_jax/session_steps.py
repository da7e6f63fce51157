"""The pure functions of a session, each a method on the bound model, and their compiled form."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, PyTree, UInt8

from guided_jax.guides.clicks import guide_clicks
from guided_jax.guides.guidance import Guidance, Task
from guided_jax.model_config import guides_early
from guided_jax.resample import interpolate, valid_cells
from guided_jax.segmentor import Segmentor


def compile_steps(model: Segmentor, way: int) -> dict[str, Callable]:
    """The functions below by name, each from (variables, ...) and compiled once for every shape."""

    def step(method, *static):
        return jax.jit(partial(model.apply, method=method), static_argnames=static)

    return {
        "encode": step(encode),
        "refine": step(refine, "canvas"),
        "stacked": step(encode_stacked),
        "guide_clicks": step(partial(guide_by_clicks, way=way)),
        "guide_map": step(partial(guide_by_map, way=way)),
        "guide_early": step(guide_early),
        "labels": step(segment_labels, "canvas"),
        "logits": step(segment_logits, "canvas"),
    }


def encode(
    model: Segmentor, image: UInt8[Array, "b h w 3"], size: Int32[Array, "b 2"]
) -> tuple[PyTree, Float[Array, "b n m c"] | None]:
    """All that does not depend on an annotation: the head's part of a query, and under late fusion the features.

    Features on a grid of the support's own where its trunk makes them; interpolated ones are left to `refine`.
    """
    config, canvas = model.config, image.shape[1:3]
    if config.fusion == "stack" and config.inference == "direct":
        return None, None
    features = model.encode(image, canvas, size)
    query = model.prepare(features)
    if config.fusion != "late":
        return query, None
    return query, model.encode_support(image, canvas, size) if config.support_grid == "dilated" else features


def refine(
    model: Segmentor, features: Float[Array, "b n m c"], size: Int32[Array, "b 2"], canvas: tuple[int, int]
) -> Float[Array, "b n2 m2 c"]:
    """Interpolates the features of `encode` to the support's grid."""
    return model.refine_support(features, canvas, size)


def encode_stacked(
    model: Segmentor, image: UInt8[Array, "b h w 3"], annotation: UInt8[Array, "b h w"], size: Int32[Array, "b 2"]
) -> PyTree:
    """The head's part of a query that is stacked with its annotation: a whole pass."""
    return model.prepare(model.encode_annotated(image, annotation, size))


def guide_by_clicks(
    model: Segmentor,
    features: Float[Array, "1 n m c"],
    points: Int32[Array, "p 2"],
    labels: Int32[Array, " p"],
    size: Int32[Array, "1 2"],
    way: int,
) -> Guidance:
    """Guidance [1, k, ...] of the clicks on an image, by the fixed masks; without its features."""
    config = model.config
    keep = "masks" if config.inference != "distance" and config.locality == "local" else "points"
    shot = guide_clicks(
        features[0],
        points,
        labels,
        size[0],
        model.support_geometry,
        way,
        pooling=config.pooling,
        keep="" if config.locality == "global" else keep,
    )
    return jax.tree.map(lambda leaf: leaf[None], shot)


def guide_by_map(
    model: Segmentor,
    features: Float[Array, "1 n m c"],
    annotation: UInt8[Array, "1 h w"],
    size: Int32[Array, "1 2"],
    way: int,
) -> Guidance:
    """Guidance [1, k, ...] of an image's annotation; without its features, which need not be copied."""
    return model.guide(features, annotation, size, way)._replace(features=None)


def guide_early(
    model: Segmentor, image: UInt8[Array, "1 h w 3"], annotation: UInt8[Array, "1 h w"], size: Int32[Array, "1 2"]
) -> Guidance:
    """Guidance [1, k, ...] of an annotated image under early fusion: a whole pass."""
    return jax.tree.map(lambda leaf: leaf[:, 0], model.guide_early(image[:, None], annotation[:, None], size[:, None]))


def segment_logits(
    model: Segmentor,
    query: PyTree,
    shots: tuple[Guidance, ...],
    size: Int32[Array, "1 2"],
    canvas: tuple[int, int],
) -> Float[Array, "1 k h w"]:
    """Logits at every pixel of the canvas."""
    return model.segment(query, _merge(model, shots), canvas, size)


def segment_labels(
    model: Segmentor,
    query: PyTree,
    shots: tuple[Guidance, ...],
    size: Int32[Array, "1 2"],
    canvas: tuple[int, int],
) -> UInt8[Array, "1 h w"]:
    """The label of the greatest logit at every pixel, on a tie the smallest.

    Interpolation is linear, and the labels share its normaliser, which is positive: so the scores less those of the
    negative are interpolated, one plane less, and never divided.
    """
    scores, _ = model.head(query, _merge(model, shots), None)
    apart = scores[:, 1:] - scores[:, :1]
    inside = valid_cells(apart.shape[-2:], model.geometry.cells(size))[:, None]
    apart = interpolate(jnp.where(inside, apart, 0.0), *(model.geometry.pixel_weights(side) for side in canvas))
    if apart.shape[1] == 1:
        return (apart[:, 0] > 0).astype(jnp.uint8)
    return jnp.where(apart.max(1) > 0, jnp.argmax(apart, 1).astype(jnp.uint8) + jnp.uint8(1), jnp.uint8(0))


def _merge(model: Segmentor, shots: tuple[Guidance, ...]) -> Task:
    """Merges shots whose canvases may differ; none: the model looks at no guidance."""
    if not shots:
        return Task(None)
    if shots[0].weights is not None:
        sides = [max(shot.weights.shape[axis] for shot in shots) for axis in (-2, -1)]
        shots = [_widen(shot, sides) for shot in shots]
    return model.merge(jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *shots))


def _widen(shot: Guidance, sides: list[int]) -> Guidance:
    """Pads what is kept of a shot by cells without weight."""
    more = [(0, side - now) for side, now in zip(sides, shot.weights.shape[-2:], strict=True)]
    features = jnp.pad(shot.features.astype(jnp.float32), ((0, 0), *more, (0, 0)))
    return shot._replace(features=features, weights=jnp.pad(shot.weights, ((0, 0), (0, 0), *more)))


def has_whole_pass(model: Segmentor) -> bool:
    """Whether each change of an annotation costs a pass of the encoder (early fusion)."""
    return guides_early(model.config) or (model.config.fusion == "stack" and model.config.inference == "direct")
