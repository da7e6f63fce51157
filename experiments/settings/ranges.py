"""What each field of a configuration may be on its own: numbers within bounds, texts that can be read."""

from collections.abc import Callable
from typing import Any

from data_pipelines.canvas import parse_canvases
from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.record import DatasetError
from data_pipelines.points import most, parse_counts, parse_points, parse_shots
from data_pipelines.pools import MODES, TRAINING_MODES
from data_pipelines.safe_paths import LONGEST
from data_pipelines.selection.classes import parse_classes
from data_pipelines.selection.protocols import PROTOCOLS
from experiments.settings.config import Config
from experiments.settings.fields import flatten, to_dict
from guided_jax.backbones.preprocessing import PREPROCESSINGS

NO_LIMIT = 2**63 - 1
MOST_TIMES = 1000
"""Most draws, seeds, clicks or corrections: more only fails once memory or patience is spent."""
LEAST_AND_MOST = {
    # As many as there are keys of jax.random.
    "seed": (0, 2**32 - 1),
    "data.crops": (0, 1000),
    "data.min_area": (0, NO_LIMIT),
    "data.max_side": (0, NO_LIMIT),
    "data.window": (0, NO_LIMIT),
    "data.evenness": (0, 100),
    "data.workers": (0, 1024),
    "eval.draws": (0, MOST_TIMES),
    "eval.shots": (1, 1000),
    "eval.min_area": (0, NO_LIMIT),
    "eval.batch_size": (1, NO_LIMIT),
    "eval.limit": (0, NO_LIMIT),
    "eval.during": (0, NO_LIMIT),
}
"""Of the whole numbers outside `model` and `train`, which check their own."""

ZERO = {
    "data.max_side": "never scaled",
    "data.window": "the whole image",
    "data.workers": "threads of this process",
    "eval.draws": "as many as the protocol says",
    "eval.limit": "all",
    "eval.during": "all",
}
"""What 0 means, for the messages."""

CHOICES = {
    "data.mode": TRAINING_MODES,
    "eval.mode": ("", *MODES),
    "eval.protocol": tuple(PROTOCOLS),
    "eval.checkpoint": ("last", "best"),
    "weights_preprocessing": ("", *PREPROCESSINGS),
}

MOST_POINTS = 2**31 - 1
LONGEST_PATH = 4096
"""Bytes, on Linux; on others fewer."""


def _one_source(text: str) -> None:
    if len(sources := parse_sources(text)) != 1:
        raise ValueError(f"{text!r}: one source was expected, not a mixture of {len(sources)}")


def _read_points(text: str) -> None:
    if most(parse_points(text)) > MOST_POINTS:
        raise ValueError(f"points {text!r}: at most {MOST_POINTS}")


def _read_counts(text: str) -> None:
    if max(parse_counts(text)) > MOST_POINTS:
        raise ValueError(f"points {text!r}: at most {MOST_POINTS}")


TEXTS: dict[str, Callable[[str], Any]] = {
    "data.train": parse_sources,
    "data.classes": parse_classes,
    "data.points": _read_points,
    "data.shots": parse_shots,
    "data.buckets": parse_canvases,
    "eval.source": _one_source,
    "eval.classes": parse_classes,
    "eval.points": _read_counts,
}
"""What reads a field, raising ValueError or DatasetError where it cannot."""


def check_ranges(config: Config) -> None:
    """Raises ValueError, naming the field, where one is wrong whatever the others are; opens nothing."""
    values = flatten(to_dict(config))
    for field, (least, most_) in LEAST_AND_MOST.items():
        if not least <= values[field] <= most_:
            bound = f"at least {least}" if values[field] < least else f"at most {most_}"
            zero = f" (0: {ZERO[field]})" if field in ZERO else ""
            raise ValueError(f"{field}={values[field]}: must be {bound}{zero}")
    for field, allowed in CHOICES.items():
        if values[field] not in allowed:
            raise ValueError(f"{field}={values[field]!r} is not one of {', '.join(filter(None, allowed))}")
    for field, read in TEXTS.items():
        try:
            read(values[field])
        except (ValueError, DatasetError) as error:
            raise ValueError(f"{field}: {error}") from error
    for field in ("data.root", "data.prepared"):
        if not values[field]:
            raise ValueError(f"{field}={values[field]!r}: must be a folder")
    for field in ("data.root", "data.prepared", "weights", "start_from", "eval.save"):
        check_path(values[field], field)
    for field in ("data.lists", "eval.lists"):
        for path in values[field].split(","):
            check_path(path, field)


def check_path(path: str, field: str) -> None:
    """Raises ValueError where no file system has such a path."""
    if "\0" in path or len(path.encode(errors="replace")) >= LONGEST_PATH:
        raise ValueError(f"{field}={path[:40]!r}...: is no path: it holds a null, or {LONGEST_PATH} bytes and more")
    if long := [part for part in path.split("/") if len(part.encode(errors="replace")) > LONGEST]:
        raise ValueError(f"{field}: {long[0][:40]!r}... is longer than {LONGEST} bytes, and can be no file or folder")
