"""Evaluation: every task once or episodes drawn beforehand, with annotations that depend on no batch and no order."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import Canvas, scale_labels, scaled_size
from data_pipelines.compose import CachedFeatures, Shown, compose_episode
from data_pipelines.datasets.record import DatasetError, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.partners import draw_support, first_support, in_first
from data_pipelines.points import SHORT, nested_points
from data_pipelines.pools import MODES, make_pools
from data_pipelines.selection.protocols import Plan
from data_pipelines.streams import Stream, generator
from data_pipelines.tasks import Task, Tasks, get_task, task_target
from data_pipelines.views import View
from guided_jax.episode import UNKNOWN, Episode

FILLER = -1


class TaskName(NamedTuple):
    """A task as it is called in results.

    Attributes:
        dataset: name of the split.
        image_id: of the query.
        class_name: empty where the data set has no classes.
        instance: 1-based instance or object, 0 for a class region.
        video: name of the clip, empty for stills.
        frame: number of the query frame in its clip.
    """

    dataset: str
    image_id: str
    class_name: str
    instance: int
    video: str
    frame: int


class EvaluationEpisodes:
    """Every task of a split once, grouped by canvas, each with A annotations of growing size.

    The support and the points of a task follow from (seed, draw, row among the tasks) alone. Support is chosen as in
    training, except in video mode: the first `shots` frames that show the object are its support, and never queries.
    With a plan, its episodes take the place of the tasks, and support is as planned; only points are drawn.
    The last batch of a canvas is filled up with episodes that have `real` False and a target of nothing but void.

    Attributes:
        group: the batch size; the episodes of a batch share a canvas.
        canvases: height and width of the canvases.
        counts: points per label of each of the A annotations.
    """

    def __init__(
        self,
        split: Split,
        tasks: Tasks,
        *,
        mode: str,
        counts: Sequence[int],
        canvases: Sequence[Canvas],
        seed: int,
        batch_size: int,
        shots: int = 1,
        max_side: int = 0,
        limit: int = 0,
        features: CachedFeatures | None = None,
        allow_self: bool = False,
        short: str = "all",
        draw: int = 0,
        plan: Plan | None = None,
    ):
        """Prepares the episodes; reads no image.

        Args:
            split: the split to evaluate on.
            tasks: its task index.
            mode: 'interactive', 'semantic' or 'video'.
            counts: points per label of the A annotations (`parse_counts`).
            canvases: height and width of the canvases.
            seed: of support and points.
            batch_size: global batch size.
            shots: support images S; 1 in interactive mode.
            max_side: images are scaled down to this longer side in pixels; 0 keeps their size.
            limit: evaluates on this many tasks only, drawn once by the seed; 0 takes all.
            features: takes trunk features instead of images.
            allow_self: in semantic mode, the query may be its own support.
            short: see `nested_points`.
            draw: which of several draws of support and points; the tasks are the same in each.
            plan: episodes to evaluate instead of every task, in semantic mode.

        Raises:
            ValueError: an argument out of range.
            DatasetError: the split cannot pose tasks in this mode, or an image fits no canvas.
        """
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
        if shots < 1 or (mode == "interactive" and shots != 1):
            raise ValueError(f"shots is {shots}; it must be 1 in interactive mode, and 1 or more in the others")
        if batch_size < 1 or limit < 0 or not counts:
            raise ValueError(
                f"batch_size is {batch_size} (1 or more), limit {limit} (0 for all, or more), "
                f"counts {tuple(counts)} (one or more)"
            )
        if short not in SHORT:
            raise ValueError(f"short is {short!r}; it must be one of {', '.join(SHORT)}")
        if draw < 0 or (plan is not None and (mode != "semantic" or plan.support.shape[1] != shots)):
            raise ValueError(f"draw is {draw} (0 or more); a plan is for semantic mode and as many shots ({shots})")
        self.group, self.canvases, self.counts = batch_size, tuple(canvases), tuple(counts)
        self._split, self._tasks, self._mode = split, tasks, mode
        self._seed, self._shots, self._short, self._draw = seed, shots, short, draw
        self._max_side, self._features, self._allow_self = max_side, features, allow_self
        # In video mode an object of a single frame has support (that frame) but no query, hence no rule of two.
        allow_single = allow_self or mode == "video"
        (pool,) = make_pools([(split, tasks)], mode, self.canvases, max_side, allow_self=allow_single)
        self._partners = pool.partners
        # An episode's number is the row of its task, or its position in the plan.
        numbers, canvas = pool.rows, pool.canvas
        if plan is not None:
            where = np.searchsorted(pool.rows, plan.query)
            numbers, canvas = np.arange(len(plan.query), dtype=np.int32), pool.canvas[where]
        if mode == "video":
            queries = ~in_first(pool.partners, shots)[numbers]
            numbers, canvas = numbers[queries], canvas[queries]
        if limit and limit < len(numbers):
            chosen = np.sort(generator(seed, Stream.LIMIT).permutation(len(numbers))[:limit])
            numbers, canvas = numbers[chosen], canvas[chosen]
        if not len(numbers):
            raise DatasetError(f"{split.name}: no object is seen in more than {shots} frames, the support; lower shots")
        self.tasks_total = len(numbers)
        """The number of tasks, fillers not counted."""
        self._plan = plan
        self._order, self._canvas = _fill_batches(numbers, canvas, batch_size)

    def __len__(self) -> int:
        """Tasks and fillers: a multiple of the batch size."""
        return len(self._order)

    def __getitem__(self, i: int) -> Episode:
        if not 0 <= i < len(self):
            raise IndexError(f"episode {i} of {len(self)}")
        number = self._number(i)
        stream = Stream.TASK if self._plan is None else Stream.PLAN
        rng = generator(self._seed, stream, number, self._draw)
        view, support = View(self._max_side), self._support(rng, number)
        episode = compose_episode(
            self._split,
            Shown(self._query(number), view),
            None if support is None else [Shown(each, view) for each in support],
            canvas=self.canvases[self._canvas[i]],
            features=self._features,
            annotate=lambda target: nested_points(rng, target, self.counts, short=self._short),
            shots=self._shots,
            others=UNKNOWN if self._mode == "video" else 0,
            index=number,
        )
        if self._order[i] == FILLER:
            episode = episode._replace(target=np.full_like(episode.target, UNKNOWN), real=np.array(False))
        return episode

    def is_real(self, i: int) -> bool:
        """Whether episode i is a task, not a filler."""
        return bool(self._order[i] != FILLER)

    def task(self, i: int) -> TaskName:
        """Names the task of episode i (for a filler: of the task that it repeats)."""
        task = self._query(self._number(i))
        record = to_record(self._split.records[task.record])
        name = self._split.class_names[task.class_id - 1] if task.class_id else ""
        return TaskName(self._split.name, record.image_id, name, task.instance, record.video, record.frame)

    @property
    def planned(self) -> bool:
        """Whether the episodes are of a plan, in which a task may come more than once."""
        return self._plan is not None

    def number(self, i: int) -> int:
        """The number of episode i, which is its `index`: the row of its task, or its position in the plan."""
        return self._number(i)

    def class_id(self, i: int) -> int:
        """The class of episode i, 0 where the data set has none."""
        return self._query(self._number(i)).class_id

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of the query of episode i in pixels, as scaled."""
        task = self._query(self._number(i))
        return scaled_size(task.height, task.width, self._max_side)

    def truth(self, i: int) -> UInt8[np.ndarray, "h w"]:
        """The target of the task of episode i without its canvas; no image is decoded."""
        task = self._query(self._number(i))
        return scale_labels(task_target(to_record(self._split.records[task.record]), task), self._max_side)

    def _number(self, i: int) -> int:
        while self._order[i] == FILLER:
            i -= 1
        return int(self._order[i])

    def _query(self, number: int) -> Task:
        return get_task(self._tasks, number if self._plan is None else int(self._plan.query[number]))

    def _support(self, rng: np.random.Generator, number: int) -> list[Task] | None:
        if self._mode == "interactive":
            return None
        if self._plan is not None:
            rows = self._plan.support[number].tolist()
        elif self._mode == "video":
            rows = first_support(self._partners, number, self._shots)
        else:
            rows = draw_support(rng, self._partners, number, self._shots, allow_self=self._allow_self)
        return [get_task(self._tasks, each) for each in rows]


def _fill_batches(rows: np.ndarray, canvas: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    orders, canvases = [], []
    for each in np.unique(canvas):
        members = rows[canvas == each]
        length = -(-len(members) // batch_size) * batch_size
        orders.append(np.append(members, np.full(length - len(members), FILLER, members.dtype)))
        canvases.append(np.full(length, each))
    empty = np.zeros(0, np.int32)
    return np.concatenate([empty, *orders]), np.concatenate([empty, *canvases])
