"""Opens the data sets of a configuration, as streams of batches."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from data_pipelines.canvas import parse_canvases
from data_pipelines.compose import CachedFeatures
from data_pipelines.counted import counted
from data_pipelines.datasets.mixture import Source, parse_sources
from data_pipelines.datasets.record import DatasetError
from data_pipelines.datasets.sources import Split, open_source
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import batches
from data_pipelines.points import parse_counts, parse_points, parse_shots
from data_pipelines.selection.classes import (
    ClassChoice,
    balance_classes,
    check_words,
    choose_classes,
    images_by_class,
    parse_classes,
    select_classes,
)
from data_pipelines.selection.lists import Listed, check_listed_classes, read_lists, select_listed, sort_by_image
from data_pipelines.selection.protocols import PROTOCOLS, plan_episodes
from data_pipelines.tasks import Tasks, count_tasks, list_tasks
from data_pipelines.views import View
from experiments.settings.config import Config, DataConfig, EvalConfig
from guided_jax.episode import Episode
from guided_jax.model_config import geometry_of

logger = logging.getLogger(__name__)


class OpenSource(NamedTuple):
    """A built data set with the tasks to pose.

    Attributes:
        source: as configured.
        split: its records.
        tasks: its tasks.
        lines: how many lines of the lists are of the chosen classes; 0 without lists.
        left_out: names of classes with too few images to have support.
        remarks: what the user should know of the tasks; `tell` tells it.
    """

    source: Source
    split: Split
    tasks: Tasks
    lines: int = 0
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def open_evaluation(config: Config) -> OpenSource:
    """Opens the source of the evaluation, and tells its remarks.

    Raises:
        DatasetError: as `open_sources`, or there are several.
    """
    opened = the_only(open_sources(config, "eval"), f"eval.source={config.eval.source!r}")
    tell([opened])
    return opened


def open_training(config: Config) -> list[OpenSource]:
    """Opens the sources of the training, and tells their remarks.

    Raises:
        DatasetError: as `open_sources`.
    """
    opened = open_sources(config, "data")
    tell(opened)
    return opened


def tell(opened: Sequence[OpenSource]) -> None:
    """Warns of what the user should know; where a run opens its sources again, for pictures, nothing is told twice."""
    for each in opened:
        for remark in each.remarks:
            logger.warning("%s", remark)


def the_only(sources: Sequence[Any], given: str) -> Any:
    """The source of a text that may name one alone; `given` is that text, for the message.

    Raises:
        DatasetError: there are several.
    """
    if len(sources) != 1:
        raise DatasetError(f"{given}: one source was expected, not a mixture of {len(sources)}")
    return sources[0]


def open_sources(config: Config, section: str) -> list[OpenSource]:
    """Builds, where that is not done yet, and indexes the sources of `data.train` or of `eval.source`.

    Raises:
        DatasetError: a source is misspelt, missing, empty, has images too small for the model, or lacks what the
            choice of classes or the lists ask for.
    """
    chosen = config.data if section == "data" else config.eval
    field, text = ("data.train", chosen.train) if section == "data" else ("eval.source", chosen.source)
    try:
        sources = parse_sources(text)
    except DatasetError as error:
        raise DatasetError(f"{field}: {error}") from error
    try:
        splits = [build_source(config, each) for each in sources]
    except DatasetError as error:
        raise DatasetError(f"{field}: {error}") from error
    choice = parse_classes(chosen.classes)
    try:
        check_words(choice, [name for split in splits for name in split.class_names])
    except DatasetError as error:
        raise DatasetError(f"{section}.classes: {error}") from error
    listed = read_lists(chosen.lists) if chosen.lists else ()
    try:
        check_listed_classes(listed, [s for each, s in zip(sources, splits, strict=True) if each.unit == "class"])
    except DatasetError as error:
        raise DatasetError(f"{section}.lists: {error}") from error
    opened = []
    for source, split in zip(sources, splits, strict=True):
        tasks = list_tasks(split, source.unit, min_area=chosen.min_area)
        if not count_tasks(tasks):
            raise DatasetError(f"{field}: {split.name} holds no task of unit {source.unit!r}; the other unit may")
        each = _choose(OpenSource(source, split, tasks), section, choice, listed)
        if section == "data" and config.data.balance:
            each = _balance(each, config.seed)
        if section == "eval" and (config.eval.mode or config.data.mode) == "semantic":
            each = _with_support(each, config.eval, choice)
        tasks = each.tasks
        least, needed = int(min(tasks.height.min(), tasks.width.min())), geometry_of(config.model).minimum_size
        if least < needed:
            raise DatasetError(
                f"{field}: {split.name} has an image with a side of {least} px; the grid {config.model.grid!r} of "
                f"stride {config.model.stride} needs {needed} px: leave it out, or use model.grid=taps"
            )
        opened.append(each)
    return opened


def build_source(config: Config, source: Source) -> Split:
    """Opens a source, after building it where that was not done yet.

    Raises:
        DatasetError: as `open_source`.
    """
    root, built = Path(config.data.root), Path(config.data.prepared) / "datasets"
    return open_source(source, root, built, skip_broken=config.data.skip_broken)


def _choose(opened: OpenSource, section: str, choice: ClassChoice, listed: Sequence[Listed]) -> OpenSource:
    split, tasks, lines = opened.split, opened.tasks, 0
    if choice.words and not split.class_names:
        raise DatasetError(f"{section}.classes: {split.name} has no classes to choose among; leave it out")
    classes = choose_classes(choice, split.class_names)
    if listed and opened.source.unit == "class":
        lines = sum(line.class_id in classes for line in listed)
        tasks = select_listed(split, tasks, listed)
    if choice.words:
        tasks = select_classes(tasks, classes)
    found = count_tasks(tasks)
    if not found:
        raise DatasetError(
            f"{section}.{'lists' if lines or listed else 'classes'}: {split.name} has none of the tasks; it has "
            f"{counted(count_tasks(opened.tasks), 'other')}"
        )
    remarks = ()
    if found < lines:
        remarks = (f"{split.name} has {found} of the {counted(lines, 'task')} that {section}.lists asks for",)
    return opened._replace(tasks=tasks, lines=lines, remarks=remarks)


def _balance(opened: OpenSource, seed: int) -> OpenSource:
    if not opened.tasks.class_id.all():
        raise DatasetError(f"data.balance: {opened.split.name} has no classes to balance; leave it out")
    tasks = balance_classes(opened.tasks, seed)
    classes = len(np.unique(tasks.class_id))
    each = counted(count_tasks(tasks) // classes, "task")
    logger.info("%s: %s of each of %s", opened.split.name, each, counted(classes, "class", "classes"))
    return opened._replace(tasks=tasks)


def _with_support(opened: OpenSource, evaluation: EvalConfig, choice: ClassChoice) -> OpenSource:
    """Leaves out classes with too few images, and refuses where they were asked for by name or fold."""
    names, images = opened.split.class_names, images_by_class(opened.tasks)
    protocol = PROTOCOLS[evaluation.protocol]
    needed = 2 if protocol.repeats else evaluation.shots + 1
    asked = choose_classes(choice, names) if choice.words and not choice.excluded else images.keys()
    short = [number for number in sorted(asked) if number and images.get(number, 0) < needed]
    if short:
        told = ", ".join(f"{names[number - 1]} ({images.get(number, 0)})" for number in short)
        problem = (
            f"{opened.split.name}: a class needs {needed} images, for eval.shots={evaluation.shots} support images and "
            f"a query, but there are fewer of {told}"
        )
        if len(short) == len(asked) or (choice.words and not choice.excluded):
            raise DatasetError(f"{problem}; lower eval.shots, or leave these classes out of eval.classes")
        opened = opened._replace(remarks=(*opened.remarks, f"{problem}; they are left out"))
    tasks = select_classes(opened.tasks, frozenset(images) - frozenset(short))
    if protocol.episodes and not evaluation.lists:
        tasks = sort_by_image(opened.split, tasks)
    return opened._replace(tasks=tasks, left_out=tuple(names[number - 1] for number in short))


def task_classes(opened: OpenSource) -> list[str]:
    """The names of the classes that a source poses tasks of; empty where it has none."""
    names = opened.split.class_names
    return [names[number - 1] for number in np.unique(opened.tasks.class_id).tolist() if number]


def data_versions(sources: list[OpenSource]) -> dict[str, str]:
    """Version of each data set by its name."""
    return {each.split.name: each.split.version for each in sources}


def training_stream(config: Config, sources: list[OpenSource], features: CachedFeatures | None) -> EpisodeStream:
    """The endless training episodes of a configuration."""
    data = config.data
    return EpisodeStream(
        [(each.split, each.tasks, each.source.weight) for each in sources],
        mode=data.mode,
        shots=parse_shots(data.shots),
        points=parse_points(data.points),
        canvases=parse_canvases(data.buckets),
        seed=config.seed,
        group=config.train.batch_size,
        max_side=data.max_side,
        flip=data.flip,
        crops=data.crops,
        window=data.window,
        evenness=data.evenness,
        features=features,
    )


def training_views(data: DataConfig) -> list[View]:
    """Every view that the training may show of an image."""
    crops = range(1 + data.crops) if data.mode == "views" else (0,)
    return [View(data.max_side, mirrored, crop) for mirrored in (False, True)[: 1 + data.flip] for crop in crops]


def evaluation_episodes(
    config: Config, opened: OpenSource, features: CachedFeatures | None, *, limit: int, devices: int, draw: int = 0
) -> EvaluationEpisodes:
    """One draw of the evaluation's episodes; the batch size is rounded up to a multiple of the devices."""
    evaluation = config.eval
    batch_size = -(-evaluation.batch_size // devices) * devices
    plan = None
    if PROTOCOLS[evaluation.protocol].episodes:
        plan = plan_episodes(evaluation.protocol, opened.tasks, evaluation.shots, draw)
    return EvaluationEpisodes(
        opened.split,
        opened.tasks,
        mode=evaluation.mode or config.data.mode,
        counts=parse_counts(evaluation.points),
        canvases=parse_canvases(config.data.buckets),
        seed=config.seed,
        batch_size=batch_size,
        shots=evaluation.shots,
        max_side=config.data.max_side,
        limit=limit,
        features=features,
        draw=draw,
        plan=plan,
    )


def count_draws(evaluation: EvalConfig) -> int:
    """How often support and points are drawn."""
    return evaluation.draws or PROTOCOLS[evaluation.protocol].draws


def host_batches(
    config: Config, episodes, batch_size: int, start: int = 0, stop: int | None = None
) -> Iterator[Episode]:
    """This host's share of every batch, from batch `start` on."""
    return batches(
        episodes,
        batch_size,
        start=start,
        stop=stop,
        workers=config.data.workers,
        host=jax.process_index(),
        hosts=jax.process_count(),
    )
