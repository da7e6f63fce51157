"""The distinct images behind a list of tasks, to compute their features once."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from data_pipelines.canvas import scale_image
from data_pipelines.datasets.record import decode_image, to_record
from data_pipelines.datasets.sources import Split
from data_pipelines.feature_store import FeatureStore, feature_key
from data_pipelines.tasks import Tasks


def count_images(sources: Sequence[tuple[Split, Tasks]], *, flip: bool) -> int:
    """How many images, mirror images included, an epoch over the sources' tasks shows."""
    return sum(len(_records(tasks)) for _, tasks in sources) * (2 if flip else 1)


def images_without_features(
    store: FeatureStore, sources: Sequence[tuple[Split, Tasks]], *, max_side: int, flip: bool
) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """Yields key and image, scaled and mirrored as episodes show it, for each image that the store lacks.

    An image whose features are there is not decoded; one that occurs twice is yielded once.
    """
    seen = set()
    for split, tasks in sources:
        for row in _records(tasks).tolist():
            record = to_record(split.records[row])
            for mirrored in (False, True) if flip else (False,):
                key = feature_key(record.image, max_side, mirrored)
                if key in seen or not store.missing([key]):
                    continue
                seen.add(key)
                image = scale_image(decode_image(record.image), max_side)
                yield key, np.ascontiguousarray(image[:, ::-1]) if mirrored else image


def _records(tasks: Tasks) -> np.ndarray:
    return np.unique(tasks.record)
