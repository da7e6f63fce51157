"""Opens the data sets of a configuration, as streams of batches."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from data_pipelines.canvas import parse_buckets
from data_pipelines.compose import CachedFeatures
from data_pipelines.datasets.record import DatasetError
from data_pipelines.datasets.sources import Source, Split, open_source, parse_sources
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import batches
from data_pipelines.points import parse_counts, parse_points, parse_shots
from data_pipelines.tasks import Tasks, count_tasks, list_tasks
from experiments.config import Config, EvalConfig
from guided_jax.episode import Episode
from guided_jax.model_config import geometry_of

logger = logging.getLogger(__name__)


class OpenSource(NamedTuple):
    """A built data set with its task index.

    Attributes:
        source: as configured.
        split: its records.
        tasks: its tasks.
    """

    source: Source
    split: Split
    tasks: Tasks


def open_sources(config: Config, section: str) -> list[OpenSource]:
    """Builds, where that is not done yet, and indexes the sources of `data.train` or of `eval.source`.

    Raises:
        DatasetError: a source is misspelt, missing, empty, or has images too small for the model.
    """
    opened = []
    field, text, min_area = {
        "data": ("data.train", config.data.train, config.data.min_area),
        "eval": ("eval.source", config.eval.source, config.eval.min_area),
    }[section]
    try:
        sources = parse_sources(text)
    except DatasetError as error:
        raise DatasetError(f"{field}: {error}") from error
    for source in sources:
        split = open_source(source, Path(config.data.root), Path(config.data.prepared) / "datasets")
        tasks = list_tasks(split, source.unit, min_area=min_area)
        if not count_tasks(tasks):
            raise DatasetError(f"{field}: {split.name} holds no task of unit {source.unit!r}; the other unit may")
        least, needed = int(min(tasks.height.min(), tasks.width.min())), geometry_of(config.model).minimum_size
        if least < needed:
            raise DatasetError(
                f"{field}: {split.name} has an image with a side of {least} px; the grid {config.model.grid!r} of "
                f"stride {config.model.stride} needs {needed} px: leave it out, or use model.grid=taps"
            )
        logger.info("%s: %d tasks in %d images", split.name, count_tasks(tasks), len(split.records))
        opened.append(OpenSource(source, split, tasks))
    return opened


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
        buckets=parse_buckets(data.buckets),
        seed=config.seed,
        group=config.train.batch_size,
        max_side=data.max_side,
        flip=data.flip,
        features=features,
    )


def evaluation_episodes(
    config: Config, opened: OpenSource, features: CachedFeatures | None, *, limit: int, devices: int
) -> EvaluationEpisodes:
    """The tasks of the evaluation; the batch size is rounded up to a multiple of the devices."""
    evaluation = config.eval
    batch_size = -(-evaluation.batch_size // devices) * devices
    return EvaluationEpisodes(
        opened.split,
        opened.tasks,
        mode=evaluation.mode or config.data.mode,
        counts=parse_counts(evaluation.points),
        buckets=parse_buckets(config.data.buckets),
        seed=config.seed,
        batch_size=batch_size,
        shots=evaluation.shots,
        max_side=config.data.max_side,
        limit=limit,
        features=features,
    )


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


def headline_draw(evaluation: EvalConfig) -> int:
    """Position in `eval.points` of the number of points by which checkpoints are compared."""
    names = [name.strip() for name in evaluation.points.split(",")]
    if not evaluation.headline:
        return 0
    if evaluation.headline not in names:
        raise ValueError(f"eval.headline={evaluation.headline!r} is not one of eval.points={evaluation.points!r}")
    return names.index(evaluation.headline)
