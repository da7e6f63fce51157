"""The images of a session with what is encoded of them, under a budget of bytes.

What is encoded of an image follows from its pixels alone. So it may be dropped where the budget is spent, of the image
that was not used for the longest time first, and computed again, to the same bits, when the image is used again.
"""

from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass, field, replace

import jax
import numpy as np
from jaxtyping import Array, Int32, PyTree, UInt8

from guided_jax.guided_filter import FilterGuide
from guided_jax.guides.guidance import Guidance
from guided_jax.inputs import check_rgb
from guided_jax.observed import Observed
from guided_jax.session.scaling import shrink
from guided_jax.session.steps import Steps

Source = UInt8[np.ndarray, "h w 3"] | Callable[[], UInt8[np.ndarray, "h w 3"]]
"""An RGB image, 0 to 255, or what gives it each time that it is called."""


@dataclass
class Encoded:
    """What a session holds of an image, but for the marks on it.

    Attributes:
        canvas: height and width of its canvas in pixels.
        size: its own height and width in pixels.
        shown: height and width at which it is looked at.
        source: gives its pixels anew; None: they are not kept, and what is encoded stays.
        observed: all of it that does not depend on its annotation, on the device; None where it is dropped.
        edges: what guides the filter of its mask; None: the mask is not filtered, or it is dropped.
        refined: whether `observed` is ready to be annotated.
        followed: of a frame of a clip, what is compared with other frames, and its pixels on its canvas; None: it was
            not needed, or it is dropped.
        queries: what the head sees of it under its annotation, by task, as far as it was needed.
        guidance: what its annotation says, by task, as far as it was needed; not dropped.
        held: bytes of it on the device that may be dropped.
    """

    canvas: tuple[int, int]
    size: tuple[int, int]
    shown: tuple[int, int]
    source: Source | None
    observed: Observed | None = None
    edges: FilterGuide | None = None
    refined: bool = False
    followed: tuple[Array, Array] | None = None
    queries: dict[int, PyTree] = field(default_factory=dict)
    guidance: dict[int, Guidance | None] = field(default_factory=dict)
    held: int = 0

    def forget_annotation(self) -> None:
        """Drops what depended on the annotation."""
        self.queries, self.guidance = {}, {}

    def count(self) -> int:
        """Counts and gives the bytes that may be dropped; an array that is shared counts once."""
        leaves = {id(leaf): leaf.nbytes for leaf in jax.tree.leaves(self._droppable())}
        self.held = sum(leaves.values())
        return self.held

    def drop(self) -> None:
        """Drops what can be computed again."""
        self.observed, self.edges, self.followed, self.queries, self.held = None, None, None, {}, 0

    def _droppable(self) -> PyTree:
        return self.observed, self.edges, self.followed, self.queries


class Features:
    """The images by name."""

    def __init__(self, steps: Steps, variables: PyTree, budget: int | None):
        """No images yet.

        Args:
            steps: the compiled ones of the session.
            variables: of the model.
            budget: bytes on the device that may be held of images; None: no bound.
        """
        self._steps, self._variables, self._budget, self._first_budget = steps, variables, budget, budget
        self._images: dict[Hashable, Encoded] = {}
        self._used: dict[Hashable, None] = {}  # those that are encoded, in the order of their last use

    def fresh(self) -> "Features":
        """The same without images."""
        other = copy(self)
        other._images, other._used, other._budget = {}, {}, self._first_budget
        return other

    def __getitem__(self, name: Hashable) -> Encoded:
        return self._images[name]

    def add(
        self,
        name: Hashable,
        source: Source,
        image: UInt8[np.ndarray, "h w 3"],
        shown: tuple[int, int],
        canvas: tuple[int, int],
    ) -> None:
        """Adds an image, and encodes it unless it can be called for when it is first used.

        Args:
            name: of the image, a new one.
            source: as it was given.
            image: its pixels.
            shown: height and width at which it is looked at.
            canvas: on which it lies then.
        """
        size = image.shape[:2]
        if callable(source):
            self.announce(name, source, size, shown, canvas)
            return
        kept = None if self._budget is None else image.copy()  # the caller's may change
        encoded = Encoded(canvas, size, shown, kept)
        self._encode(encoded, image)
        self._images[name] = encoded
        self._use(name)

    def announce(
        self,
        name: Hashable,
        source: Callable[[], UInt8[np.ndarray, "h w 3"]],
        size: tuple[int, int],
        shown: tuple[int, int],
        canvas: tuple[int, int],
    ) -> None:
        """Adds an image that is called for when it is first used; the arguments are those of `add`."""
        self._images[name] = Encoded(canvas, size, shown, source)

    def bound(self, budget: int) -> None:
        """Sets a budget where there is none; of images that were added before, no pixels are kept, and they stay."""
        if self._budget is None:
            self._budget = budget

    def adopt(self, name: Hashable, other: Encoded) -> None:
        """Adds an image of another session on the same model, with what is encoded of it."""
        self._images[name] = replace(other, queries={}, guidance={})
        if other.observed is not None or other.followed is not None:
            self._use(name)

    def remove(self, name: Hashable) -> None:
        """Forgets an image."""
        del self._images[name]
        self._used.pop(name, None)

    def use(self, name: Hashable) -> Encoded:
        """An image with all that is encoded of it, which stays until another one is used."""
        image = self._images[name]
        if image.observed is None:
            self._encode(image, _pixels(name, image))
        self._use(name)
        return image

    def use_followed(self, name: Hashable, encode: Callable[[Array, Array, tuple[int, int]], Array]) -> Encoded:
        """A frame with what following a clip needs of it, which stays until another image is used.

        Args:
            name: of the frame.
            encode: from pixels on a canvas, their size, and that of the canvas to what is compared with other frames.
        """
        image = self._images[name]
        if image.followed is None:
            pixels, size = _lay(image, _pixels(name, image))
            image.followed = jax.block_until_ready(encode(pixels, size, image.canvas)), pixels
        self._use(name)
        return image

    def held(self) -> int:
        """Bytes on the device that are held of images and may be dropped."""
        return sum(self._images[name].count() for name in self._used)

    def _encode(self, image: Encoded, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        on_canvas, sizes = _lay(image, pixels)
        image.edges = self._steps.edges and self._steps.edges(self._variables, on_canvas, sizes)
        image.observed = jax.block_until_ready(self._steps.observe(self._variables, on_canvas, sizes))
        image.refined = False

    def _use(self, name: Hashable) -> None:
        """Notes that an image is used, and drops of others what is beyond the budget."""
        self._used.pop(name, None)
        self._used[name] = None
        if self._budget is None:
            return
        self._images[name].count()
        held = sum(self._images[each].held for each in self._used)
        for each in [each for each in self._used if each != name and self._images[each].source is not None]:
            if held <= self._budget:
                return
            image = self._images[each]
            held -= image.held
            image.drop()
            del self._used[each]


def read_source(source: Source, what: str) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of an image that is given as an array, or by what gives it.

    Raises:
        ValueError: this is no RGB image.
    """
    if callable(source):
        return check_rgb(source(), f"{what}, as its function gives it,")
    return check_rgb(source, what)


def _lay(image: Encoded, pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[UInt8[Array, "1 _ _ 3"], Int32[Array, "1 2"]]:
    """An image on its canvas as it is looked at, and the size that it has there."""
    on_canvas = np.zeros((1, *image.canvas, 3), np.uint8)
    on_canvas[0, : image.shown[0], : image.shown[1]] = shrink(pixels, image.shown)
    return jax.device_put((on_canvas, np.array([image.shown], np.int32)))


def _pixels(name: Hashable, image: Encoded) -> UInt8[np.ndarray, "h w 3"]:
    pixels = read_source(image.source, f"image {name!r}")
    if pixels.shape[:2] != image.size:
        (h, w), (height, width) = pixels.shape[:2], image.size
        raise ValueError(
            f"image {name!r}, as its function gives it, is {h}x{w} pixels (height x width) now and was "
            f"{height}x{width} when it was added; the function must give the same image each time"
        )
    return pixels
