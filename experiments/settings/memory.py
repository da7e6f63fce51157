"""Sizes that no machine like this one can hold, found before anything is allocated."""

import os

from data_pipelines.canvas import parse_canvases
from data_pipelines.points import most, parse_counts, parse_shots
from experiments.settings.config import Config
from experiments.settings.parameters import count_parameters

IMAGE, LABELS = 3, 1
"""Bytes a pixel."""


def check_memory(config: Config, *, training: bool) -> None:
    """Raises ValueError, with the fields, where the model's parameters or a batch alone exceed the memory.

    Also where `train.freeze` fits no parameter, since they are counted by it.
    """
    available = physical_memory()
    model = config.model
    total, learning = count_parameters(config)
    # Of float32: gradient, and what the optimiser keeps.
    copies = total + (learning * (2 if config.train.optimizer == "sgd" else 3) if training else 0)
    sizes = ", ".join(f"model.{name}={getattr(model, name)}" for name in ("feature_width", "fc6_kernel", "head_width"))
    _refuse(4 * copies, available, f"{sizes}: {total:,} parameters")
    height, width = max(parse_canvases(config.data.buckets), key=lambda each: each[0] * each[1])
    buckets = f"data.buckets={config.data.buckets}"
    if training:
        shots, episodes = most(parse_shots(config.data.shots)), config.train.batch_size
        size = episodes * (1 + shots) * height * width * (IMAGE + LABELS)
        _refuse(size, available, f"{buckets}, train.batch_size={episodes}, data.shots={shots}: a batch")
    shots, episodes, draws = config.eval.shots, config.eval.batch_size, len(parse_counts(config.eval.points))
    size = episodes * height * width * ((1 + shots) * IMAGE + (1 + draws * shots) * LABELS)
    _refuse(size, available, f"{buckets}, eval.batch_size={episodes}, eval.shots={shots}: a batch")


def physical_memory() -> int | None:
    """Bytes of this machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _refuse(size: int, available: int | None, what: str) -> None:
    if available and size > available:
        raise ValueError(f"{what} would take {size / 1e9:,.0f} GB, and this machine has {available / 1e9:,.0f} GB")
