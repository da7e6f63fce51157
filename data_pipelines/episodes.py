"""The training stream: episode i is a pure function of (seed, i)."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from data_pipelines.canvas import Canvas
from data_pipelines.compose import CachedFeatures, Shown, compose_episode
from data_pipelines.datasets.sources import Split
from data_pipelines.partners import draw_support
from data_pipelines.points import CLICKS, SHORT, CountDistribution, draw_count, draw_points, draws_clicks, most
from data_pipelines.pools import Pool, make_pools
from data_pipelines.selection.user_clicks import draw_clicks
from data_pipelines.streams import Stream, generator
from data_pipelines.tasks import Tasks, get_task
from data_pipelines.views import View, draw_window
from guided_jax.episode import UNKNOWN, Episode


class Choice(NamedTuple):
    """What an episode is about: the number of its source, the row of its task there, and its canvas."""

    source: int
    row: int
    canvas: Canvas


class EpisodeStream:
    """Endless training episodes over a mixture of sources.

    A source is drawn by its weight, then one of its tasks uniformly: tasks are masks, not images, so an image with
    more of them comes more often, as in the reference. The episodes of a group, one global batch, share a canvas,
    itself drawn by the share of the tasks that need it; this leaves the distribution over tasks as it is.

    Support by mode. Interactive: the query image itself, `draws` annotations of it. Semantic: other images of the
    class in the same split, never the query. Video: other frames of the clip that show the object; the other objects
    are unknown there, and negative in the query. Views: other views of the query image (the whole, and its crops),
    so that stills stand in for video.

    Attributes:
        group: episodes per group.
        canvases: height and width of the canvases.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Split, Tasks, float]],
        *,
        mode: str,
        shots: CountDistribution,
        points: CountDistribution,
        canvases: Sequence[Canvas],
        seed: int,
        group: int,
        max_side: int = 0,
        draws: int = 1,
        flip: bool = False,
        crops: int = 0,
        window: int = 0,
        evenness: float = 0.0,
        features: CachedFeatures | None = None,
        allow_self: bool = False,
        short: str = "skip",
    ):
        """Prepares the stream; reads no image.

        Args:
            sources: split, its task index, and its weight in the mixture.
            mode: one of `TRAINING_MODES`.
            shots: distribution of support images per episode; their arrays have the largest number, and the shots
                beyond the drawn one are annotated nowhere. 1 in interactive mode.
            points: distribution of points per label, drawn anew for each annotation of each support image.
            canvases: height and width of the canvases.
            seed: of the whole stream.
            group: the global batch size.
            max_side: images are scaled down to this longer side in pixels; 0 keeps their size.
            draws: annotations A of the same support.
            flip: mirrors half of the episodes left to right.
            crops: in mode views, how many random crops an image has; at least one a shot.
            window: of each image no more than so many pixels a side are seen, around some of the task; 0: all of it.
            evenness: tasks are drawn with a weight of (number of tasks of the class) ** -evenness: 0 all alike, 1 every
                class alike. Where there are no classes, it has no effect.
            features: takes trunk features instead of images; then no image is decoded.
            allow_self: the query may be its own support (the reference allows it).
            short: see `draw_points`.

        Raises:
            ValueError: an argument out of range.
            DatasetError: a source cannot pose tasks in this mode, or an image fits no canvas.
        """
        weights = np.array([weight for *_, weight in sources], float)
        if not len(weights) or not (np.isfinite(weights) & (weights > 0)).all():
            raise ValueError(f"weights of the sources are {weights.tolist()}; one or more, each above 0, are needed")
        if mode == "interactive" and most(shots) != 1:
            raise ValueError(f"shots go up to {most(shots)}; interactive mode has one, the query image: set shots to 1")
        if mode == "views" and most(shots) > crops:
            raise ValueError(f"crops is {crops}, shots go up to {most(shots)}; mode views needs a crop for each shot")
        if group < 1 or draws < 1:
            raise ValueError(f"group is {group} and draws {draws}; each must be 1 or more")
        if short not in SHORT:
            raise ValueError(f"short is {short!r}; it must be one of {', '.join(SHORT)}")
        self.group, self.canvases = group, tuple(canvases)
        self._mode, self._shots, self._points, self._seed = mode, shots, points, seed
        self._max_side, self._draws, self._flip, self._crops, self._features = max_side, draws, flip, crops, features
        self._allow_self, self._short = allow_self, short
        self._window = window
        opened = [(split, tasks) for split, tasks, _ in sources]
        self._pools = make_pools(opened, mode, self.canvases, max_side, allow_self=allow_self, window=window)
        shares = np.zeros((len(self.canvases), len(weights)))
        whole = [_weigh(pool, evenness) for pool in self._pools] if evenness else []
        self._rows, self._bounds = [], []
        for canvas in range(len(self.canvases)):
            on_canvas = [pool.canvas == canvas for pool in self._pools]
            self._rows.append([pool.rows[on] for pool, on in zip(self._pools, on_canvas, strict=True)])
            self._bounds.append([None] * len(weights))
            shares[canvas] = [on.mean() for on in on_canvas]
            if evenness:
                some = [each[on] for each, on in zip(whole, on_canvas, strict=True)]
                shares[canvas] = [part.sum() / each.sum() for part, each in zip(some, whole, strict=True)]
                self._bounds[canvas] = [_bounds(each) if len(each) else None for each in some]
        self._shares = shares * (weights / weights.sum())

    def __len__(self) -> int:
        """As many as `Episode.index` can count."""
        return 2**32

    def choose(self, i: int) -> Choice:
        """What episode i is about."""
        return self._choose(i)[0]

    def __getitem__(self, i: int) -> Episode:
        choice, rng = self._choose(i)
        pool, row = self._pools[choice.source], choice.row
        task, rows, crops = get_task(pool.tasks, row), None, None
        if pool.partners is not None:
            shots = draw_count(rng, self._shots)
            rows = draw_support(rng, pool.partners, row, shots, allow_self=self._allow_self)
        elif self._mode == "views":
            rows = [row] * draw_count(rng, self._shots)
            crops = rng.permutation(1 + self._crops)[: 1 + len(rows)].tolist()
        whole = View(self._max_side, self._flip and bool(rng.random() < 0.5))
        query, *views = [whole] * (1 + len(rows or ())) if crops is None else [whole._replace(crop=n) for n in crops]
        support = rows and [Shown(get_task(pool.tasks, each), view) for each, view in zip(rows, views, strict=True)]
        return compose_episode(
            pool.split,
            Shown(task, query),
            support,
            canvas=choice.canvas,
            features=self._features,
            annotate=functools.partial(_annotate, rng, self._points, self._draws, self._short),
            shots=most(self._shots),
            others=UNKNOWN if self._mode == "video" else 0,
            index=i,
            objects=draws_clicks(self._points),
            place=functools.partial(draw_window, rng, side=self._window) if self._window else None,
        )

    def _choose(self, i: int) -> tuple[Choice, np.random.Generator]:
        if not 0 <= i < len(self):
            raise IndexError(f"episode {i} of a stream of {len(self)}")
        group = generator(self._seed, Stream.CANVAS, i // self.group)
        canvas = _draw(group, self._shares.sum(1))
        rng = generator(self._seed, Stream.EPISODE, i)
        source = _draw(rng, self._shares[canvas])
        rows = self._rows[canvas][source]
        bounds = self._bounds[canvas][source]
        number = rng.integers(len(rows)) if bounds is None else bounds.searchsorted(rng.random(), side="right")
        return Choice(source, int(rows[number]), self.canvases[canvas]), rng


def _weigh(pool: Pool, evenness: float) -> Float64[np.ndarray, " m"]:
    """The weight of each of the pool's rows."""
    _, which, counts = np.unique(pool.tasks.class_id[pool.rows], return_inverse=True, return_counts=True)
    return counts[which.ravel()].astype(np.float64) ** -evenness


def _annotate(
    rng: np.random.Generator,
    points: CountDistribution,
    draws: int,
    short: str,
    target: UInt8[np.ndarray, "h w"],
    objects: UInt8[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "a h w"]:
    def draw() -> UInt8[np.ndarray, "h w"]:
        count = draw_count(rng, points)
        if count == CLICKS:
            return draw_clicks(rng, target, objects)
        return draw_points(rng, target, count, short=short)

    return np.stack([draw() for _ in range(draws)])


def _draw(rng: np.random.Generator, shares: np.ndarray) -> int:
    return int(_bounds(shares).searchsorted(rng.random(), side="right"))


def _bounds(shares: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Where the part of each in [0, 1) ends; a search in them draws as `rng.choice`, which adds them up each time."""
    bounds = (shares / shares.sum()).cumsum()
    return bounds / bounds[-1]
