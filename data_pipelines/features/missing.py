"""The distinct images behind a list of tasks, to compute their features once."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from data_pipelines.datasets.record import to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.features.store import FeatureStore
from data_pipelines.tasks import Tasks
from data_pipelines.views import View, view_image, view_key


def count_images(sources: Sequence[tuple[Split, Tasks]], views: Sequence[View]) -> int:
    """How many pairs of an image and a view the sources' tasks need."""
    return sum(len(_records(tasks)) for _, tasks in sources) * len(views)


def images_without_features(
    store: FeatureStore, sources: Sequence[tuple[Split, Tasks]], views: Sequence[View]
) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """Yields the key and the image, as episodes show it, of every view whose features the store lacks, each once."""
    seen = set()
    for split, tasks in sources:
        for row in _records(tasks).tolist():
            record = to_record(split.records[row])
            for view in views:
                key = view_key(record, view)
                if key not in seen and store.missing([key]):
                    seen.add(key)
                    yield key, view_image(record, view)


def _records(tasks: Tasks) -> np.ndarray:
    return np.unique(tasks.record)
