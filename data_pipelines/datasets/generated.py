"""A data set that needs no download: cluttered scenes of several textured objects.

Every object of a scene is a shape family times a texture family, drawn independently, in colours chosen
anew; the background is a patchwork of the same textures. Nothing about an object says that it is the one
that is meant, so that a task can only come from its guidance: predicting every object of n scores about
1 / n positive IU. Within one scene the objects differ in hue (global guidance forgets where a dot was),
while shape and texture may repeat.
"""

import colorsys
import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Float, UInt8
from numpy.random import Generator, SeedSequence, default_rng

from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.record import Record, encode_layer, find_segments
from data_pipelines.datasets.shards import Lazy

SIZE = 96
"""Height and width of a generated image in pixels."""

SPLITS = {"train": 2000, "val": 100, "test": 200}
"""Images in each split; the scenes of "test" are made of held-out pairs of shape and texture."""

OBJECTS = (3, 4)
"""Least and greatest number of objects in a scene."""

AREA = (0.11, 0.14)
"""Range of an object's whole area as a share of the image; one draw a scene, so that sizes tell nothing."""

VISIBLE = 0.6
"""Least share of its area that an object shows; the rest may be occluded or outside the image."""

Coordinates = Float[np.ndarray, "n"]


def _disc(rng: Generator, angle: np.ndarray) -> np.ndarray:
    return np.ones_like(angle)


def _regular(angle: np.ndarray, sides: int) -> np.ndarray:
    step = 2 * np.pi / sides
    return 1 / np.cos(angle % step - step / 2)


def _triangle(rng: Generator, angle: np.ndarray) -> np.ndarray:
    return _regular(angle, 3)


def _square(rng: Generator, angle: np.ndarray) -> np.ndarray:
    return _regular(angle, 4)


def _star(rng: Generator, angle: np.ndarray) -> np.ndarray:
    return 1 + 0.3 * np.cos(rng.integers(4, 7) * angle)


def _blob(rng: Generator, angle: np.ndarray) -> np.ndarray:
    phase = rng.uniform(0, 2 * np.pi, 3)
    return 1 + sum(0.4 / k * np.cos(k * angle + phase[k - 2]) for k in (2, 3, 4))


SHAPES: dict[str, Callable[[Generator, np.ndarray], np.ndarray]] = {
    "disc": _disc,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "ring": _disc,
    "blob": _blob,
}
"""Shape families by name: the outline's radius over the angle. They are the classes of the data set."""

RING_HOLE = 0.4
"""Radius of a ring's hole over that of the ring."""


def _gradient(rng: Generator, u: Coordinates, v: Coordinates) -> Coordinates:
    return (u - u.min()) / (np.ptp(u) + 1)


def _stripes(rng: Generator, u: Coordinates, v: Coordinates) -> Coordinates:
    return (u % 1 < 0.5).astype(float)


def _waves(rng: Generator, u: Coordinates, v: Coordinates) -> Coordinates:
    return _stripes(rng, u + 0.4 * np.sin(2.5 * v), v)


def _checks(rng: Generator, u: Coordinates, v: Coordinates) -> Coordinates:
    return (np.floor(1.5 * u) + np.floor(1.5 * v)) % 2


def _dots(rng: Generator, u: Coordinates, v: Coordinates) -> Coordinates:
    return ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.1).astype(float)


def _grain(rng: Generator, u: Coordinates, v: Coordinates) -> Coordinates:
    table = rng.random((64, 64))
    return table[np.floor(3 * u).astype(int) % 64, np.floor(3 * v).astype(int) % 64]


TEXTURES: dict[str, Callable[[Generator, Coordinates, Coordinates], Coordinates]] = {
    "gradient": _gradient,
    "stripes": _stripes,
    "waves": _waves,
    "checks": _checks,
    "dots": _dots,
    "grain": _grain,
}
"""Texture families by name: share of the second colour over coordinates in periods."""


def pairs(*, held_out: bool) -> list[tuple[str, str]]:
    """Lists the (shape, texture) pairs of the test split, or those of the others.

    A third of all pairs is held out, such that every shape and every texture stays in both lists.
    """
    return [
        (shape, texture)
        for i, shape in enumerate(SHAPES)
        for j, texture in enumerate(TEXTURES)
        if ((i - j) % len(TEXTURES) < 2) == held_out
    ]


def render(
    seed: int, number: int, split: str = "train", size: int = SIZE
) -> tuple[UInt8[np.ndarray, "size size 3"], UInt8[np.ndarray, "size size"], dict[int, int]]:
    """Renders one scene, a pure function of its arguments.

    Args:
        seed: of the data set.
        number: of the image in its split, from 0.
        split: name of the split; "test" draws from the held-out pairs of shape and texture.
        size: height and width in pixels.

    Returns:
        The RGB image, the visible part of every object as a label map (0 background, 1, 2, ... from the
        rearmost to the foremost object), and the class id of each object: 1 + its place in `SHAPES`.
    """
    rng = default_rng(SeedSequence((seed, list(SPLITS).index(split), number)))
    choices = pairs(held_out=split == "test")
    objects = [choices[i] for i in rng.integers(len(choices), size=rng.integers(OBJECTS[0], OBJECTS[1] + 1))]
    layer = _arrange(rng, [shape for shape, _ in objects], size)
    # Two hues more than objects: these are the background's.
    count = len(objects) + 2
    hues = rng.permutation(np.arange(count) + rng.uniform(-0.1, 0.1, count)) / count + rng.random()
    canvas = np.empty((size, size, 3))
    patches = _patchwork(rng, size)
    for patch in range(patches.max() + 1):
        texture = list(TEXTURES)[rng.integers(len(TEXTURES))]
        _paint(rng, canvas, patches == patch, texture, hues[rng.integers(len(objects), count)])
    _scribble(rng, canvas, hues[len(objects) :])
    for value, (_, texture) in enumerate(objects, start=1):
        _paint(rng, canvas, layer == value, texture, hues[value - 1])
    classes = {value: 1 + list(SHAPES).index(shape) for value, (shape, _) in enumerate(objects, start=1)}
    return _expose(rng, canvas), layer, classes


def _arrange(rng: Generator, shapes: list[str], size: int) -> UInt8[np.ndarray, "size size"]:
    """Places objects one upon the other until each shows enough of itself."""
    area = rng.uniform(*AREA) * size**2
    while True:
        layer = np.zeros((size, size), np.uint8)
        for value, shape in enumerate(shapes, start=1):
            layer[_outline(rng, shape, area, size)] = value
        if np.bincount(layer.ravel(), minlength=len(shapes) + 1)[1:].min() >= VISIBLE * area:
            return layer


def _outline(rng: Generator, shape: str, area: float, size: int) -> Bool[np.ndarray, "size size"]:
    """Rasterises one object somewhere, turned and squeezed at random, its area in pixels as given."""
    angle = np.arange(180) * np.pi / 90
    profile = SHAPES[shape](rng, angle)
    hole = RING_HOLE if shape == "ring" else 0.0
    radius = np.sqrt(area / (np.pi * np.mean(profile**2) * (1 - hole**2)))
    squeeze, turn = rng.uniform(0.85, 1.18), rng.uniform(0, 2 * np.pi)
    u, v = radius * profile * np.cos(angle) * squeeze, radius * profile * np.sin(angle) / squeeze
    rim = np.stack([np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u], axis=1)
    centre = rng.uniform(0.12, 0.88, 2) * size
    # Two contours: fillPoly leaves the inner one empty.
    contours = [rim, hole * rim] if hole else [rim]
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.rint(contour + centre).astype(np.int32) for contour in contours], 1)
    return mask > 0


def _patchwork(rng: Generator, size: int) -> np.ndarray:
    """Splits the background into patches of about the size of the objects, by the nearest of some seeds."""
    y, x = rng.uniform(0, size, (2, rng.integers(6, 10), 1, 1))
    rows, columns = np.indices((size, size))
    return np.argmin((rows - y) ** 2 + (columns - x) ** 2, axis=0)


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _paint(
    rng: Generator,
    canvas: Float[np.ndarray, "size size 3"],
    region: Bool[np.ndarray, "size size"],
    texture: str,
    hue: float,
) -> None:
    """Fills a region with a texture: a bright colour of the hue, with a dark or a pale one."""
    bright = _colour(hue, rng.uniform(0.6, 1), rng.uniform(0.75, 1))
    dark = _colour(hue, rng.uniform(0.7, 1), rng.uniform(0.3, 0.5))
    pale = _colour(hue, rng.uniform(0.2, 0.45), rng.uniform(0.8, 1))
    other = dark if rng.random() < 0.5 else pale
    y, x = np.nonzero(region)
    period, turn = rng.uniform(6, 10), rng.uniform(0, 2 * np.pi)
    u = (np.cos(turn) * y + np.sin(turn) * x) / period
    v = (np.cos(turn) * x - np.sin(turn) * y) / period
    share = TEXTURES[texture](rng, u, v)[:, None]
    canvas[region] = (1 - share) * bright + share * other


def _scribble(rng: Generator, canvas: Float[np.ndarray, "size size 3"], hues: np.ndarray) -> None:
    """Paints broken lines over the background."""
    for hue in rng.choice(hues, rng.integers(4, 8)):
        colour = _colour(hue, rng.uniform(0, 1), rng.uniform(0, 1))
        line = rng.integers(len(canvas), size=(3, 1, 2), dtype=np.int32)
        cv2.polylines(canvas, [line], False, tuple(colour.tolist()), thickness=int(rng.integers(1, 4)))


def _expose(rng: Generator, canvas: Float[np.ndarray, "size size 3"]) -> UInt8[np.ndarray, "size size 3"]:
    """Lights the scene from one side and adds the noise of a sensor."""
    axis = np.linspace(-1, 1, len(canvas))
    turn = rng.uniform(0, 2 * np.pi)
    light = 0.85 + 0.1 * (np.cos(turn) * axis[:, None] + np.sin(turn) * axis)
    noise = 6 * rng.standard_normal(canvas.shape, dtype=np.float32)
    return np.clip(canvas * light[..., None] + noise, 0, 255).astype(np.uint8)


class Generated(RecordBuilder):
    """The generated scenes as a data set: one layer of instances, whose classes are the shape families."""

    VERSION = tfds.core.Version("1.0.0")
    SEED = 0

    def _class_names(self) -> list[str]:
        return list(SHAPES)

    def _split_names(self) -> list[str]:
        return list(SPLITS)

    def _records(self, split: str) -> Lazy:
        return Lazy(range(SPLITS[split]), functools.partial(make_scene, self.SEED, split), _originals)

    def _inputs(self, split: str) -> list[Path]:
        del split
        return _originals()


def _originals(*_: int) -> list[Path]:
    return [Path(__file__)]  # this code: a change of it is built anew


def make_scene(seed: int, split: str, number: int) -> Record:
    """One scene as a record; what it is made from: `render`."""
    image, layer, classes = render(seed, number, split)
    return Record(
        image_id=f"{split}-{number:05d}",
        video="",
        frame=0,
        height=image.shape[0],
        width=image.shape[1],
        image=cv2.imencode(".png", image[..., ::-1])[1].tobytes(),
        layers=(encode_layer(layer),),
        segments=tuple(find_segments(layer, 0, classes, instances=True)),
    )
