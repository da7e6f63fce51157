"""Trunk features on disk: one file an image, named by what the features were computed from."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float16
from safetensors import SafetensorError
from safetensors.numpy import load, save

from data_pipelines.datasets.record import DatasetError
from data_pipelines.disk import replacing

Maps = tuple[Float16[np.ndarray, "_ _ _"], ...]
"""Feature maps [height, width, channels] of one image, one a tap, finest first."""


MAGNITUDE, INFINITY = 0x7FFF, 0x7C00
"""Bits of a float16 without its sign; those of infinity, which only those of NaN exceed."""


class FeatureStore:
    """Float16 maps under `<directory>/<first two of the key>/<key>.safetensors`.

    The directory stands for the trunk: features of other weights, or of another preprocessing, belong in another one.
    Many processes may read and write the same store.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)

    def read(self, key: str) -> Maps:
        """Reads the maps of an image.

        Raises:
            DatasetError: the store does not hold them, or the file is damaged.
        """
        path = self.path(key)
        try:
            stored = load(path.read_bytes())
        except FileNotFoundError:
            raise DatasetError(
                f"{path} is not there: compute the features of this image (key {key}) before training reads them"
            ) from None
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"{path} cannot be read ({error}); delete it, and it is computed again") from None
        if set(stored) != {str(i) for i in range(len(stored))} or any(m.dtype != np.float16 for m in stored.values()):
            raise DatasetError(f"{path} does not hold float16 maps 0, 1, ...; delete it, and it is computed again")
        if not all(_all_finite(each) for each in stored.values()):
            raise DatasetError(f"{path} holds values that are not finite; delete it, and it is computed again")
        return tuple(stored[str(i)] for i in range(len(stored)))

    def write(self, key: str, maps: Iterable[np.ndarray]) -> None:
        """Writes the maps [height, width, channels] of an image as float16, all or nothing.

        Raises:
            DatasetError: a value is not finite in float16.
        """
        with np.errstate(over="ignore"):
            named = {str(i): np.ascontiguousarray(each, np.float16) for i, each in enumerate(maps)}
        for name, each in named.items():
            if not np.isfinite(each).all():
                raise DatasetError(f"features of {key}: map {name} has values that float16 cannot hold")
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(save(named))

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that the store does not hold, in their order, each once."""
        return [key for key in dict.fromkeys(keys) if not self.path(key).exists()]

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.directory / key[:2] / f"{key}.safetensors"


def _all_finite(values: Float16[np.ndarray, "h w c"]) -> bool:
    """As `np.isfinite(values).all()`, forty times as fast: training reads many of them."""
    return not values.size or bool((values.view(np.uint16) & MAGNITUDE).max() < INFINITY)
