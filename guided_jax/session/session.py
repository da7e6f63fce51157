"""A session: images encoded once, then clicked on many times.

    session = Session(guided_jax.load(path))
    session.add("frame 7", image)              # uint8 [h, w, 3]; the only run of the encoder
    session.click("frame 7", 120, 340, 1)      # row, column, label
    mask = session.mask("frame 8")             # uint8 [h, w], guided by the clicks on all images

The images that carry an annotation are the support, any image is a query. Under late fusion a click costs the guidance
of the clicked image (four cells of the grid for each of its clicks), the merge, and the head. The guidance is built
anew from the image's list of clicks, so that an undo leaves no trace. An annotation by a label map, or a learned mask,
costs a pass over the map instead. Under early fusion there is nothing to keep: each change of an image's annotation
costs a whole pass of the encoder over that image (and with `inference=direct` that image alone can be segmented).
"""

from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree, UInt8

from guided_jax.compiled import CompiledMethod
from guided_jax.episode import UNKNOWN, Click
from guided_jax.episodic import takes_way
from guided_jax.guided_filter import FilterGuide
from guided_jax.guides.clicks import NO_LABEL, PaddedClicks
from guided_jax.guides.guidance import Guidance
from guided_jax.inputs import (
    check_annotation,
    check_canvases,
    check_labels,
    check_rgb,
    check_way,
    check_whole,
    describe,
)
from guided_jax.loaded_model import WithParams, model_and_params
from guided_jax.loading import load
from guided_jax.model_config import (
    check_mode,
    geometry_of,
    guides_by_coordinates,
    places_annotation,
    query_sees_annotation,
)
from guided_jax.observed import Observed
from guided_jax.segmentor import Segmentor
from guided_jax.session.steps import compile_steps, with_features

CAPACITY = 32
"""Clicks on an image that one program takes; with more the capacity doubles, and another program is compiled."""


@dataclass
class _Image:
    """What a session holds of an image.

    Attributes:
        canvas: height and width of its canvas in pixels.
        size: its own height and width in pixels.
        observed: all of it that does not depend on its annotation, on the device.
        edges: what guides the filter of its mask; None: the mask is not filtered.
        refined: whether `observed` is ready to be annotated.
        start: the label map that it was annotated with; None: none.
        clicks: made after that, in their order.
        query: what the head sees of it under its annotation; None until it is needed.
        guidance: what its annotation says of the task; None until it is needed.
    """

    canvas: tuple[int, int]
    size: tuple[int, int]
    observed: Observed
    edges: FilterGuide | None = None
    refined: bool = False
    start: UInt8[np.ndarray, "h w"] | None = None
    clicks: list[Click] = field(default_factory=list)
    query: PyTree = None
    guidance: Guidance | None = None


class Session:
    """Images, their annotations, and the masks that follow from them. Not for several threads at once."""

    def __init__(
        self,
        model: Segmentor | WithParams | None = None,
        params: dict | None = None,
        *,
        way: int = 0,
        canvases: Sequence[tuple[int, int]] = (),
        guided_filter: bool = False,
    ):
        """Opens a session; nothing is computed yet.

        Args:
            model: what `guided_jax.load` gives, or the network alone; None: the guide that comes with the package.
            params: of the network where it comes alone.
            way: number of labels, the negative included; 0: the model's own.
            canvases: heights and widths on which images lie, each on the smallest that holds it. A canvas compiles
                once; results do not depend on it. Empty: each image on a canvas of its own size.
            guided_filter: whether masks follow the edges of the image (`guided_jax.guided_filter`), at a few ms a mask;
                else they are interpolated, as the logits are.

        Raises:
            ValueError: the head takes no such number of labels, there are no parameters, or a canvas is no size.
        """
        model, params = model_and_params(load() if model is None else model, params)
        self.way = check_way(way if check_whole(way, "way") else model.config.way)
        if not takes_way(model.config, self.way):
            raise ValueError(
                f"way={way}: the head scores {model.config.way} labels at once; only one metric for every label "
                "(model.sharing=shared or model.inference=distance, late fusion) takes any number from 2 on"
            )
        self._model, self._canvases = model, check_canvases(canvases)
        self._variables = {"params": jax.tree.map(jnp.asarray, params)}
        self._steps = compile_steps(model, self.way, filtered=guided_filter)
        self._images: dict[Hashable, _Image] = {}
        self._history: list[Hashable] = []

    def fresh(self) -> "Session":
        """Another session on the same model, without images; the two share what is compiled."""
        other = copy(self)
        other._images, other._history = {}, []
        return other

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Names of the images, in the order in which they were added."""
        return tuple(self._images)

    def add(self, name: Hashable, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Adds an image and encodes it.

        Args:
            name: of the image; anything hashable but None.
            image: RGB, 0 to 255; of numpy or JAX.

        Raises:
            ValueError: the name is taken or none, this is no RGB image, it is too small for the grid, or no canvas
                holds it.
        """
        if _check_name(name) in self._images:
            raise ValueError(f"the session holds an image {name!r} already; remove it, or give another name")
        image = check_rgb(image, f"image {name!r}")
        size = image.shape[:2]
        canvas = self._canvas(name, size)
        pixels = np.zeros((1, *canvas, 3), np.uint8)
        pixels[0, : size[0], : size[1]] = image
        pixels, sizes = jnp.asarray(pixels), jnp.array([size], jnp.int32)
        observed = self._steps.observe(self._variables, pixels, sizes)
        edges = self._steps.edges and self._steps.edges(self._variables, pixels, sizes)
        self._images[name] = _Image(canvas, size, jax.block_until_ready(observed), edges)

    def remove(self, name: Hashable) -> None:
        """Forgets an image with its annotation and all that is kept of it on the device."""
        self._at(name)  # None would clear all images
        self.clear(name)
        del self._images[name]

    def click(self, name: Hashable, row: SupportsIndex, column: SupportsIndex, label: SupportsIndex) -> None:
        """Adds a click. A later click on the same pixel takes the place of the earlier one.

        Args:
            name: of the image.
            row: in pixels from the top, a whole number.
            column: in pixels from the left, a whole number.
            label: 0 is the negative.

        Raises:
            ValueError: there is no such image or label, row, column or label is no int (of Python, numpy or JAX), or
                the click lies outside the image.
        """
        image, given = self._at(name), {"row": row, "column": column, "label": label}
        click = Click(
            *(check_whole(value, f"the {part} of a click on image {name!r}") for part, value in given.items())
        )
        height, width = image.size
        if not (0 <= click.row < height and 0 <= click.column < width):
            raise ValueError(
                f"the click at row {row}, column {column} lies outside the image {name!r} of {height}x{width} pixels "
                "(height x width; rows and columns count from 0)"
            )
        if not 0 <= click.label < self.way:
            raise ValueError(f"the click has the label {label}; the labels are 0 (the negative) to {self.way - 1}")
        image.clicks.append(click)
        self._history.append(name)
        self._changed(image)

    def undo(self, name: Hashable | None = None) -> Click | None:
        """Takes back the last click, of an image or (None) of all; gives it, or None where there is none."""
        if name is None and not self._history:
            return None
        name = self._history[-1] if name is None else name
        image = self._at(name)
        if not image.clicks:
            return None
        del self._history[len(self._history) - 1 - self._history[::-1].index(name)]
        self._changed(image)
        return image.clicks.pop()

    def annotate(self, name: Hashable, annotation: UInt8[np.ndarray, "h w"], *, negatives_only: bool = False) -> None:
        """Annotates an image by a label map, in place of what it has; further clicks add to it.

        Args:
            name: of the image.
            annotation: labels at the image's own size; 255 where unannotated.
            negatives_only: says that a map of 0 and 255 alone is meant: it shows negatives and no object. Without it
                such a map is refused, for elsewhere it is the mask of an object, which is labelled 1 here.

        Raises:
            ValueError: there is no such image, the map is no uint8 array, the size is another, a label is not the
                session's, or the map shows no object (see `negatives_only`).
        """
        image, what = self._at(name), f"the annotation of image {name!r}"
        wanted = f"{image.size}, as high and wide as the image"
        annotation = check_labels(annotation, what, wanted, lambda shape: shape == image.size)
        check_annotation(annotation, what, self.way, negatives_only=negatives_only)
        self.clear(name)
        image.start = annotation.copy() if (annotation != UNKNOWN).any() else None

    def clear(self, name: Hashable | None = None) -> None:
        """Takes back the whole annotation, of an image or (None) of all; what is encoded stays."""
        for each in self.names if name is None else (name,):
            image = self._at(each)
            image.start, image.clicks = None, []
            self._history = [other for other in self._history if other != each]
            self._changed(image)

    def clicks(self, name: Hashable) -> tuple[Click, ...]:
        """The clicks on an image, in their order."""
        return tuple(self._at(name).clicks)

    def mask(self, name: Hashable) -> UInt8[np.ndarray, "h w"]:
        """The label of every pixel of an image at its own size, on the host.

        Where nothing is annotated: what the model says of an empty annotation.

        Raises:
            ValueError: there is no such image, or another one is annotated and the model segments that one alone.
        """
        return self._segment(self._steps.labels, name, self._at(name).edges)[0]

    def logits(self, name: Hashable) -> Float[np.ndarray, "k h w"]:
        """The logits behind `mask`, label planes first."""
        return self._segment(self._steps.logits, name)[0]

    def compiled(self) -> int:
        """Number of programs compiled so far, by this session and its `fresh` ones together."""
        return self._steps.programs()

    def _segment(self, step: CompiledMethod, name: Hashable, *more: PyTree) -> np.ndarray:
        image = self._at(name)
        shots = self._shots(name)
        result = step(self._variables, self._query(image), shots, image.observed.size, *more, canvas=image.canvas)
        return np.asarray(result)[..., : image.size[0], : image.size[1]].copy()

    def _shots(self, name: Hashable) -> tuple[Guidance, ...]:
        """Guidance of every annotated image; of an empty annotation where there is none."""
        annotated = {each: image for each, image in self._images.items() if image.clicks or image.start is not None}
        if any(each != name for each in annotated):
            check_mode(self._model.config, "video", f"image {name!r}, another one is annotated: mode")
        shots = [self._guidance(image) for image in annotated.values() or [self._at(name)]]
        shots = [shot for shot in shots if shot is not None]
        # Blank shots keep the number of programs low; but `every` counts the shots, and kept features cost time.
        if shots and self._model.config.merge != "every" and shots[0].weights is None:
            blank = jax.tree.map(jnp.zeros_like, shots[0])
            shots += [blank] * (_power_of_two(len(shots)) - len(shots))
        return tuple(shots)

    def _query(self, image: _Image) -> PyTree:
        """What the head sees of an image, which may depend on the image's annotation."""
        config = self._model.config
        if not (query_sees_annotation(config) or places_annotation(config)):
            return image.observed.query
        if image.query is None:
            image.query = self._steps.query(self._variables, image.observed, self._annotation(image))
        return image.query

    def _annotation(self, image: _Image) -> PaddedClicks | UInt8[np.ndarray, "1 h w"]:
        """The annotation in the form that costs the model least: by coordinates where it takes them."""
        by_coordinates = image.start is None and guides_by_coordinates(self._model.config)
        return _padded(image.clicks) if by_coordinates else _painted(image)

    def _guidance(self, image: _Image) -> Guidance | None:
        """What the annotation of an image says; None where nothing guides the model."""
        if image.guidance is None:
            if not image.refined:
                support = self._steps.refine(self._variables, image.observed, canvas=image.canvas)
                image.observed, image.refined = image.observed._replace(support=support), True
            shot = self._steps.guide(self._variables, image.observed, self._annotation(image))
            image.guidance = None if shot is None else with_features(shot, image.observed)
        return image.guidance

    def _changed(self, image: _Image) -> None:
        """Drops what depended on the annotation."""
        image.guidance = image.query = None

    def _canvas(self, name: Hashable, size: tuple[int, int]) -> tuple[int, int]:
        least = geometry_of(self._model.config).minimum_size
        if min(size) < least:
            raise ValueError(f"image {name!r} is {size[0]}x{size[1]}; the model's grid needs sides of {least} pixels")
        fitting = [each for each in self._canvases if each[0] >= size[0] and each[1] >= size[1]]
        if self._canvases and not fitting:
            raise ValueError(
                f"image {name!r} of {size[0]}x{size[1]} pixels (height x width) fits none of the canvases "
                f"{', '.join(f'{h}x{w}' for h, w in self._canvases)}; add a larger one, or scale the image down"
            )
        return min(fitting, key=lambda each: each[0] * each[1], default=size)

    def _at(self, name: Hashable) -> _Image:
        if _check_name(name) not in self._images:
            there = ", ".join(map(repr, self._images)) or "none yet"
            raise ValueError(f"the session holds no image {name!r}; there are: {there}")
        return self._images[name]


def _check_name(name: Hashable) -> Hashable:
    try:
        hash(name)
        if name != name:
            raise ValueError(f"the name of an image is {describe(name)}; it must equal itself, as a str or an int does")
    except TypeError:
        raise ValueError(f"the name of an image is {describe(name)}; it must be hashable, as a str or an int") from None
    if name is None:
        raise ValueError("the name of an image is None; undo and clear take it for all images: give another name")
    return name


def _painted(image: _Image) -> UInt8[np.ndarray, "1 h w"]:
    """The annotation on the canvas: the clicks, in their order, on what it started from."""
    annotation = np.full((1, *image.canvas), UNKNOWN, np.uint8)
    if image.start is not None:
        annotation[0, : image.size[0], : image.size[1]] = image.start
    for click in image.clicks:
        annotation[0, click.row, click.column] = click.label
    return annotation


def _padded(clicks: Sequence[Click]) -> PaddedClicks:
    """Positions and labels of the clicks, the last one of each pixel, filled up to a power of two."""
    last = {(click.row, click.column): click.label for click in clicks}
    number = max(CAPACITY, _power_of_two(len(last)))
    points, labels = np.zeros((number, 2), np.int32), np.full(number, NO_LABEL, np.int32)
    points[: len(last)] = np.array(list(last), np.int32).reshape(-1, 2)
    labels[: len(last)] = list(last.values())
    return PaddedClicks(points, labels)


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
